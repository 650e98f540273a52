// SPDX-License-Identifier: ISC
// xtext_fuzz.c: xtext of DSN parameters: what decodes must encode and decode to the same.
#include <stdlib.h>

#include "lib/mail/address.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct str out, again;
    if (address_xtext_decode(str_of((const char *)data, size), &arena, &out) == 0) {
        address_xtext_add(&b, out);
        if (address_xtext_decode(buf_str(&b), &arena, &again) < 0 || !str_is(again, out))
            abort();
    }
    buf_release(&b);
    arena_release(&arena);
    return 0;
}
