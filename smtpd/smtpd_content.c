// SPDX-License-Identifier: ISC
// smtpd_content.c: the lexer for message content (see smtpd_content.h).
// Trust: input is what the client sends.
#include "smtpd/smtpd_content.h"

void smtpd_content_init(struct smtpd_content *c, bool has_dots)
{
    *c = (struct smtpd_content){.has_dots = has_dots, .is_line_start = true, .follows_crlf = true};
}

// Copies a piece of a line, every CR in it (none is part of a line end) made a blank.
static void add_without_cr(struct smtpd_content *c, const char *text, size_t len, struct buf *out)
{
    size_t start = out->len;
    buf_add(out, text, len);
    char *at = out->ptr + start, *end = out->ptr + out->len;
    while (at < end && (at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
        *at++ = ' ';
        c->saw_bare_cr = true;
    }
}

static void flush_pending_cr(struct smtpd_content *c, struct buf *out)
{
    if (!c->has_pending_cr)
        return;
    buf_add_char(out, ' ');
    c->has_pending_cr = false;
    c->saw_bare_cr = true;
}

// The rest of a line up to its LF at `lf`.
static void add_line_end(struct smtpd_content *c, const char *text, const char *lf, struct buf *out)
{
    size_t len = (size_t)(lf - text);
    bool is_crlf = len > 0 ? lf[-1] == '\r' : c->has_pending_cr;
    if (len > 0) {
        flush_pending_cr(c, out);
        add_without_cr(c, text, is_crlf ? len - 1 : len, out);
    }
    c->has_pending_cr = false;
    buf_add_char(out, '\n');
    c->is_line_start = true;
    c->follows_crlf = is_crlf;
    c->saw_bare_lf |= !is_crlf;
}

// A piece of a line whose end has not arrived; a CR at its end waits for the next byte.
static void add_partial(struct smtpd_content *c, const char *text, size_t len, struct buf *out)
{
    flush_pending_cr(c, out);
    c->has_pending_cr = text[len - 1] == '\r';
    add_without_cr(c, text, c->has_pending_cr ? len - 1 : len, out);
    c->is_line_start = false;
}

// At a line's start in DATA: the length of the end of data, 0 an ordinary line, -1 too short to tell.
static int end_of_data(const struct smtpd_content *c, const char *at, size_t len)
{
    if (at[0] != '.' || !(c->follows_crlf || c->takes_lf_end))
        return 0;
    if (len >= 2 && at[1] == '\n' && c->takes_lf_end)
        return 2;
    if (len >= 3)
        return at[1] == '\r' && at[2] == '\n' ? 3 : 0;
    return len == 1 || at[1] == '\r' ? -1 : 0;
}

size_t smtpd_content_feed(struct smtpd_content *c, struct raw input, struct buf *out)
{
    const char *at = (const char *)input.ptr, *end = at + input.len;

    while (at < end && !c->is_done) {
        if (c->is_line_start && c->has_dots) {
            int length = end_of_data(c, at, (size_t)(end - at));
            if (length < 0)
                break;
            if (length > 0) {
                c->is_done = true;
                c->saw_bare_lf |= length == 2;
                at += length;
                break;
            }
            if (*at == '.') { // RFC 5321 4.5.2: a leading dot was added by the sender
                at++;
                c->is_line_start = false;
                continue;
            }
        }
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL) {
            add_partial(c, at, (size_t)(end - at), out);
            at = end;
        } else {
            add_line_end(c, at, lf, out);
            at = lf + 1;
        }
    }
    return input.len - (size_t)(end - at);
}

void smtpd_content_end(struct smtpd_content *c, struct buf *out)
{
    if (c->has_pending_cr)
        c->is_line_start = false;
    flush_pending_cr(c, out);
    if (!c->is_line_start)
        buf_add_char(out, '\n');
    c->is_line_start = true;
}
