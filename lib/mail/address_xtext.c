// SPDX-License-Identifier: ISC
// address_xtext.c: xtext of RFC 3461: printable ASCII with +XX for everything else.
// Trust: parameters of a peer.
#include <stdio.h>

#include "lib/mail/address.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int address_xtext_decode(struct str text, struct arena *arena, struct str *out_r)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '+') {
            int high = -1, low = -1;
            if (text.len - i > 2) {
                high = hex_digit(text.ptr[i + 1]);
                low = hex_digit(text.ptr[i + 2]);
            }
            if (high < 0 || low < 0)
                return -1;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        } else if (c <= 32 || c == '=' || c == 127) {
            return -1;
        }
        if (c < 32 || c == 127)
            return -1; // ends up in records, headers and logs
        out[len++] = (char)c;
    }
    *out_r = str_of(out, len);
    return 0;
}

void address_xtext_add(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 32 || c >= 127 || c == '+' || c == '=')
            buf_addf(b, "+%02X", c);
        else
            buf_add_char(b, (char)c);
    }
}
