// SPDX-License-Identifier: ISC
// postmap_message_fuzz.c: any bytes as a message split into lookup keys.
#include "commands/postmap_message.h"
#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), line;
    struct message_key keys[2];
    struct message_keys k;
    size_t total = 0; // makes every byte of a key be read
    message_keys_init(&k, size % 2 == 0, 200);
    while (rest.len > 0) {
        (void)str_cut(&rest, '\n', &line);
        size_t count = message_keys_line(&k, line, keys);
        for (size_t i = 0; i < count; i++)
            total += str_hash(keys[i].text) & 1;
    }
    total += message_keys_finish(&k, keys);
    message_keys_release(&k);
    if (total > size * 2 + 2)
        bug("more keys than input");
    return 0;
}
