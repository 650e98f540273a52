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

// "x{10C}" at `text`: the code point, and how long the text was. 0 or -1.
static int unitext_point(struct str text, uint32_t *point_r, size_t *len_r)
{
    uint32_t point = 0;
    size_t i = 2;
    if (!str_starts(text, STR("x{")))
        return -1;
    for (; i < text.len && i < 8 && hex_digit(text.ptr[i]) >= 0; i++)
        point = point * 16 + (uint32_t)hex_digit(text.ptr[i]);
    if (i == 2 || i >= text.len || text.ptr[i] != '}' || point > 0x10FFFF || point < 32 || point == 127)
        return -1;
    *point_r = point;
    *len_r = i + 1;
    return 0;
}

static void add_utf8(struct buf *b, uint32_t point)
{
    if (point < 0x80) {
        buf_add_char(b, (char)point);
        return;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    buf_add_char(b, (char)(lead[more] | (point >> (6 * more))));
    for (int shift = 6 * (more - 1); shift >= 0; shift -= 6)
        buf_add_char(b, (char)(0x80 | ((point >> shift) & 0x3F)));
}

int address_unitext_decode(struct str text, struct arena *arena, struct str *out_r)
{
    struct buf out = BUF_INIT;
    int rc = 0;
    for (size_t i = 0; i < text.len && rc == 0; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        uint32_t point = c;
        size_t len = 0;
        if (c == '\\')
            rc = unitext_point(str_slice(text, i + 1, text.len), &point, &len);
        else if (c <= 32 || c == 127 || c == '+' || c == '=')
            rc = -1;
        if (rc == 0 && len > 0)
            add_utf8(&out, point);
        else if (rc == 0)
            buf_add_char(&out, (char)c);
        i += len;
    }
    if (rc == 0 && !str_is_utf8(buf_str(&out))) // surrogates among them
        rc = -1;
    if (rc == 0)
        *out_r = arena_str(arena, buf_str(&out));
    buf_release(&out);
    return rc;
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
