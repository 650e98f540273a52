// SPDX-License-Identifier: ISC
// smtpd_content_fuzz.c: content split anywhere gives the same text as in one piece, and no CR is ever stored.
#include <stdlib.h>

#include "smtpd/smtpd_content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *data, size_t size, size_t piece, struct buf *out, struct smtpd_content *c)
{
    size_t at = 0, have = piece;
    while (!c->is_done && at < size) {
        size_t n = have < size - at ? have : size - at;
        size_t used = smtpd_content_feed(c, (struct raw){data + at, n}, out);
        if (used > n || (used < n && !c->is_done && n - used >= 3))
            abort();
        at += used;
        if (used < n && at + (n - used) >= size)
            break;
        have = used < n ? n - used + piece : piece;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct buf whole = BUF_INIT, parts = BUF_INIT;
    struct smtpd_content a, b;
    smtpd_content_init(&a, data[0] & 1);
    smtpd_content_init(&b, data[0] & 1);
    run(data + 2, size - 2, size, &whole, &a);
    run(data + 2, size - 2, 1 + data[1] % 16, &parts, &b);
    if (!str_is(buf_str(&whole), buf_str(&parts)) || a.is_done != b.is_done || str_find(buf_str(&whole), '\r') >= 0)
        abort();
    buf_release(&whole);
    buf_release(&parts);
    return 0;
}
