// SPDX-License-Identifier: ISC
// json.c: strings of JSON (RFC 8259 7) from any bytes. Output is ASCII: what reads it need not know how it was encoded.
#include "lib/base/str.h"

static unsigned code_point(struct str text, size_t *at)
{
    unsigned char c = (unsigned char)text.ptr[*at];
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    unsigned value = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;
    (*at)++;
    for (; more > 0 && *at < text.len; more--)
        value = value << 6 | ((unsigned char)text.ptr[(*at)++] & 63u);
    return value;
}

void buf_add_json(struct buf *b, struct str text)
{
    buf_add_char(b, '"');
    for (size_t at = 0; at < text.len;) {
        unsigned c = code_point(text, &at);
        if (c == '"' || c == '\\')
            buf_addf(b, "\\%c", (char)c);
        else if (c >= ' ' && c < 127)
            buf_add_char(b, (char)c);
        else if (c < 0x10000)
            buf_addf(b, "\\u%04X", c);
        else
            buf_addf(b, "\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    }
    buf_add_char(b, '"');
}

void buf_add_json_pair(struct buf *b, const char *name, struct str value)
{
    buf_addf(b, "\"%s\": ", name);
    buf_add_json(b, value);
}
