// SPDX-License-Identifier: ISC
// verify_entry_fuzz.c: entries of the address verification cache: what can be read can be written and read again.
#include "services/verify/verify_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verify_entry entry, again;
    struct buf b = BUF_INIT;

    if (verify_entry_parse(str_of((const char *)data, size), &entry)) {
        verify_entry_add(&b, &entry);
        if (!verify_entry_parse(buf_str(&b), &again) || again.status != entry.status || again.probed != entry.probed ||
            again.updated != entry.updated || again.text.len > VERIFY_TEXT_MAX)
            bug("an entry changed its meaning");
    }
    buf_release(&b);
    return 0;
}
