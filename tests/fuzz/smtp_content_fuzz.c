// SPDX-License-Identifier: ISC
// smtp_content_fuzz.c: whatever a queue file holds, the wire carries no bare CR or LF and one final dot.
#include <stdlib.h>

#include "smtp/smtp_content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The first byte is the line limit; then pieces: a byte of length with the line-end flag, and the text.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = BUF_INIT;
    if (size < 1)
        return 0;
    struct smtp_content c = {.line_limit = data[0]};
    size_t limit = data[0] == 1 ? 2 : data[0], at = 1, line = 0;

    while (at < size) {
        size_t length = data[at] & 0x7f, left = size - at - 1;
        bool ended = data[at] >> 7;
        at++;
        if (length > left)
            length = left;
        smtp_content_add(&c, &out, str_of((const char *)data + at, length), ended);
        at += length;
    }
    smtp_content_end(&c, &out);
    for (size_t i = 0; i < out.len; i++) {
        if (out.ptr[i] == '\n' && (i == 0 || out.ptr[i - 1] != '\r'))
            abort();
        if (out.ptr[i] != '\r')
            continue;
        if (i + 1 == out.len || out.ptr[i + 1] != '\n')
            abort();
        struct str text = str_of(out.ptr + line, i - line);
        if (limit > 0 && text.len > limit + (text.len > 0 && text.ptr[0] == '.'))
            abort();
        if (str_is(text, STR(".")) && i + 2 != out.len)
            abort(); // the end of data before the end
        line = i + 2;
    }
    buf_release(&out);
    return 0;
}
