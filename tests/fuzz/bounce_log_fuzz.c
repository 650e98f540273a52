// SPDX-License-Identifier: ISC
// bounce_log_fuzz.c: per-recipient blocks: any file is read to its end, and what is read can be written.
#include <stdlib.h>

#include "lib/mail/bounce_log.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct bounce_entry e;
    struct str rest = str_of((const char *)data, size);
    while (bounce_log_next(&rest, true, &arena, &e) > 0)
        if (bounce_log_add(&b, &e, true) < 0)
            continue; // control characters: refused
    struct str again = buf_str(&b);
    while (bounce_log_next(&again, true, &arena, &e) > 0)
        if (e.action.len == 0 || e.status.len == 0)
            abort();
    buf_release(&b);
    arena_release(&arena);
    return 0;
}
