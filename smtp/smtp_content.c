// SPDX-License-Identifier: ISC
// smtp_content.c: writes message content for the wire.
#include "smtp/smtp_content.h"

// One piece that fits the line; stray CR and LF become blanks.
static void add_clean(struct buf *out, struct str text)
{
    size_t start = out->len;

    buf_add_str(out, text);
    if (text.len > 0 && (memchr(text.ptr, '\r', text.len) != NULL || memchr(text.ptr, '\n', text.len) != NULL))
        for (size_t i = start; i < out->len; i++)
            if (out->ptr[i] == '\r' || out->ptr[i] == '\n')
                out->ptr[i] = ' ';
}

void smtp_content_add(struct smtp_content *c, struct buf *out, struct str text, bool line_ended)
{
    while (text.len > 0) {
        size_t limit = c->line_limit == 1 ? 2 : c->line_limit; // a blank and a byte
        size_t room = limit == 0 ? text.len : limit - c->column;
        if (c->column == 0 && text.ptr[0] == '.')
            buf_add_char(out, '.'); // stuffing does not count: the receiver takes it away
        size_t part = text.len < room ? text.len : room;
        add_clean(out, str_slice(text, 0, part));
        c->column += part;
        text = str_slice(text, part, text.len);
        if (text.len > 0) {
            buf_add_cstr(out, "\r\n ");
            c->column = 1;
        }
    }
    if (line_ended) {
        buf_add_cstr(out, "\r\n");
        c->column = 0;
    }
}

void smtp_content_end(struct smtp_content *c, struct buf *out)
{
    if (c->column > 0)
        buf_add_cstr(out, "\r\n");
    c->column = 0;
    buf_add_cstr(out, ".\r\n");
}
