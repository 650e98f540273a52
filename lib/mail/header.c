// SPDX-License-Identifier: ISC
// header.c: recognising and unfolding message headers.
// Trust: content of a peer. Limits: header_scan.max bytes a logical header.
#include "lib/mail/header.h"

#include "lib/base/clock.h"

bool header_split(struct str line, struct str *name_r, struct str *value_r)
{
    size_t end = 0;
    while (end < line.len && line.ptr[end] > 32 && line.ptr[end] < 127 && line.ptr[end] != ':')
        end++;
    size_t colon = end;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t'))
        colon++;
    if (end == 0 || colon == line.len || line.ptr[colon] != ':')
        return false;
    *name_r = str_slice(line, 0, end);
    *value_r = str_trim(str_slice(line, colon + 1, line.len));
    return true;
}

bool header_is_continuation(struct str line)
{
    return line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
}

void header_scan_init(struct header_scan *h, size_t max)
{
    *h = (struct header_scan){.pending = BUF_INIT, .done = BUF_INIT, .max = max, .in_header = true};
}

void header_scan_release(struct header_scan *h)
{
    buf_release(&h->pending);
    buf_release(&h->done);
}

// Moves the pending header to `done`, whose bytes stay while the next one is collected.
static struct str take_pending(struct header_scan *h)
{
    struct buf spare = h->done;
    h->done = h->pending;
    h->pending = spare;
    buf_clear(&h->pending);
    return buf_str(&h->done);
}

static void add_bounded(struct header_scan *h, struct str text)
{
    size_t room = h->pending.len < h->max ? h->max - h->pending.len : 0;
    buf_add_str(&h->pending, str_slice(text, 0, text.len < room ? text.len : room));
}

enum header_event header_scan_line(struct header_scan *h, struct str line, struct str *header_r)
{
    struct str name, value;
    *header_r = STR("");
    if (!h->in_header)
        return HEADER_END;
    if (header_is_continuation(line) && h->pending.len > 0) {
        if (h->pending.len < h->max)
            buf_add_char(&h->pending, '\n');
        add_bounded(h, line);
        return HEADER_PENDING;
    }
    bool had_one = h->pending.len > 0;
    if (had_one)
        *header_r = take_pending(h);
    if (!header_split(line, &name, &value)) {
        h->in_header = false;
        return HEADER_END;
    }
    add_bounded(h, line);
    return had_one ? HEADER_DONE : HEADER_PENDING;
}

struct str header_scan_finish(struct header_scan *h)
{
    h->in_header = false;
    return take_pending(h);
}

void header_add_received_by(struct buf *b, struct str hostname, struct str mail_name, struct str id, int64_t wall)
{
    buf_addf(b, "Received: by " STR_FMT " (" STR_FMT ")\n\tid " STR_FMT "; ", STR_ARG(hostname), STR_ARG(mail_name),
             STR_ARG(id));
    clock_add_rfc5322(b, wall);
}
