// SPDX-License-Identifier: ISC
// sendmail_message.c: message text on standard input becomes content records; recipient headers are collected for -t.
//
// Limits: a line is kept to line_length_limit and passed on in parts; collected headers to header_size_limit.
#include "commands/sendmail.h"
#include "lib/mail/header.h"
#include "lib/mail/queue_record.h"

void sendmail_message_init(struct sendmail_message *m, const struct settings *s, const struct sendmail_options *o,
                           struct buf *records)
{
    *m = (struct sendmail_message){
        .line_limit = (size_t)s->line_length_limit,
        .header_limit = (size_t)s->header_size_limit,
        .ends_at_dot = !o->keeps_dot,
        .extracts = o->extracts,
        .records = records,
        .in_header = true,
    };
    if (str_is(s->sendmail_fix_line_endings, STR("never")) || str_is(s->sendmail_fix_line_endings, STR("no")))
        m->endings = LINE_ENDINGS_NEVER;
    else if (str_is(s->sendmail_fix_line_endings, STR("strict")))
        m->endings = LINE_ENDINGS_STRICT;
    m->strips_cr = m->endings == LINE_ENDINGS_ALWAYS;
}

void sendmail_message_release(struct sendmail_message *m)
{
    buf_release(&m->line);
    buf_release(&m->to);
    buf_release(&m->resent_to);
}

// ">From " and "From " lines at the very start are left over from a mailbox.
static bool is_mailbox_separator(struct str line)
{
    while (line.len > 0 && line.ptr[0] == '>')
        line = str_slice(line, 1, line.len);
    return str_starts(line, STR("From "));
}

static struct buf *recipient_header(struct sendmail_message *m, struct str name)
{
    static const struct {
        struct str name;
        bool is_resent;
    } headers[] = {{STR("To"), false},       {STR("Cc"), false},       {STR("Bcc"), false},
                   {STR("Resent-To"), true}, {STR("Resent-Cc"), true}, {STR("Resent-Bcc"), true}};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (!str_is_nocase(name, headers[i].name))
            continue;
        m->has_resent = m->has_resent || headers[i].is_resent;
        return headers[i].is_resent ? &m->resent_to : &m->to;
    }
    return NULL;
}

// Adds a header line's text to the list of its kind; starts_header: a new header line, not a continuation.
static void collect(struct sendmail_message *m, struct buf *list, struct str text, bool starts_header)
{
    if (list->len + text.len + 2 > m->header_limit) {
        m->is_header_too_long = true;
        return;
    }
    if (starts_header && list->len > 0)
        buf_add_cstr(list, ", ");
    buf_add_str(list, text);
}

// One piece of a header line; `is_first` tells the beginning of a line from the rest of a long one.
static void read_header(struct sendmail_message *m, struct str line, bool is_first)
{
    struct str name, value;
    struct buf *list = m->has_resent ? &m->resent_to : &m->to;
    if (!is_first || header_is_continuation(line)) {
        if (m->in_recipient_header)
            collect(m, list, line, false);
        return;
    }
    m->in_recipient_header = false;
    if (!header_split(line, &name, &value)) {
        m->in_header = false;
        return;
    }
    bool had_resent = m->has_resent;
    list = recipient_header(m, name);
    if (list == NULL || (had_resent && list == &m->to)) // Resent headers alone count once there are any
        return;
    m->in_recipient_header = true;
    if (value.len > 0) // with the blanks at its end: the line may go on in the next piece
        value = str_slice(line, (size_t)(value.ptr - line.ptr), line.len);
    collect(m, list, value, true);
}

// A whole line, or a part of one (is_end false).
static void pass_line(struct sendmail_message *m, struct str text, bool is_end)
{
    bool is_first = !m->in_long_line;
    if (is_first && !m->has_started && is_mailbox_separator(text) && is_end)
        return;
    if (is_first && is_end && m->ends_at_dot && str_is(text, STR("."))) {
        m->has_ended = true;
        return;
    }
    m->has_started = true;
    if (m->in_header && m->extracts)
        read_header(m, text, is_first);
    queue_record_add(m->records, is_end ? REC_NORM : REC_CONT, text);
    m->in_long_line = !is_end;
}

static void end_line(struct sendmail_message *m)
{
    struct str text = buf_str(&m->line);
    bool has_cr = str_ends(text, STR("\r"));
    if (!m->has_first_line && m->endings == LINE_ENDINGS_STRICT)
        m->strips_cr = has_cr;
    m->has_first_line = true;
    if (has_cr && m->strips_cr)
        text.len--;
    pass_line(m, text, true);
    buf_clear(&m->line);
}

void sendmail_message_add(struct sendmail_message *m, struct str chunk)
{
    while (chunk.len > 0 && !m->has_ended) {
        long newline = str_find(chunk, '\n');
        size_t part = newline < 0 ? chunk.len : (size_t)newline;
        size_t room = m->line_limit + 1 - m->line.len; // one byte more: a CR before the end is no part of the line
        if (part > room) {
            buf_add(&m->line, chunk.ptr, room);
            chunk = str_slice(chunk, room, chunk.len);
            pass_line(m, str_slice(buf_str(&m->line), 0, m->line_limit), false);
            buf_consume(&m->line, m->line_limit);
            continue;
        }
        buf_add(&m->line, chunk.ptr, part);
        chunk = str_slice(chunk, newline < 0 ? part : part + 1, chunk.len);
        if (newline >= 0)
            end_line(m);
    }
}

void sendmail_message_end(struct sendmail_message *m)
{
    if (m->line.len > 0 && !m->has_ended)
        end_line(m);
    else if (m->in_long_line)
        pass_line(m, STR(""), true);
}

struct str sendmail_message_recipients(const struct sendmail_message *m)
{
    return m->has_resent ? buf_str(&m->resent_to) : buf_str(&m->to);
}
