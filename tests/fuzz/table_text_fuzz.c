// SPDX-License-Identifier: ISC
// table_text_fuzz.c: both source grammars of tables; the first byte chooses.
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table_text *text;
    struct str key, value;
    unsigned line;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (size < 1 || fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1 || lseek(fd, 0, SEEK_SET) != 0)
        return close(fd), 0;
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    text = table_text_open_fd(fd, "fuzz", data[0] & 7);
    while (table_text_next(text, &key, &value, &line, NULL) > 0)
        if (key.len == 0 || key.len > TABLE_KEY_MAX || memchr(key.ptr, 0, key.len) != NULL || line == 0)
            bug("malformed key passed");
    table_text_close(text);
    return 0;
}
