// SPDX-License-Identifier: ISC
// cleanup_body.c: the content as it streams in: its first line, the header section line by line, then the body as it
// comes. Trust: content is the author's. Suspends: in tables. Limits: message_size_limit, header_size_limit.
#include "cleanup/cleanup.h"

enum { WRITE_ABOVE = 256 * 1024 }; // larger messages go to the file in pieces of this size

void cleanup_put_lines(struct cleanup_message *m, struct str lines)
{
    queue_record_add_lines(&m->out, lines, (size_t)m->daemon->settings->line_length_limit);
    cleanup_flush(m, WRITE_ABOVE);
}

static void put_text(struct cleanup_message *m, struct str text)
{
    queue_record_add_content(&m->out, text, (size_t)m->daemon->settings->line_length_limit, &m->in_line);
    cleanup_flush(m, WRITE_ABOVE);
}

void cleanup_begin_content(struct cleanup_message *m)
{
    if (!cleanup_is_good(m))
        return;
    m->has_content = m->is_first_line = true;
    queue_record_add(&m->out, REC_MESSAGE, STR(""));
    m->data_offset = cleanup_offset(m);
    for (size_t i = 0; i < m->prepended_count; i++)
        cleanup_header(m, m->prepended[i]);
    if (m->received_before.len == 0)
        return;
    buf_clear(&m->scratch);
    buf_add_str(&m->scratch, m->received_before);
    buf_add_str(&m->scratch, buf_str(&m->id));
    buf_add_str(&m->scratch, m->received_after);
    struct str received = arena_str(&m->arena, buf_str(&m->scratch)); // scratch is used on the way
    cleanup_header(m, received);
}

// ---- The header section

static void end_headers(struct cleanup_message *m, struct str line, bool is_cut) CO
{
    m->in_body = true;
    cleanup_header_end(m);
    cleanup_put_lines(m, STR(""));
    if (line.len == 0)
        return; // the line that ends a header section
    if (is_cut)
        put_text(m, line);
    else
        cleanup_put_lines(m, line);
}

// A whole line, or (is_cut) the beginning of one that is too long to wait for its end.
static void take_line(struct cleanup_message *m, struct str line, bool is_cut) CO
{
    struct str header, shown = line;
    if (m->is_first_line) {
        size_t marks = 0;
        while (marks < line.len && line.ptr[marks] == '>')
            marks++;
        if (str_starts(str_slice(line, marks, line.len), STR("From ")))
            shown = arena_strf(&m->arena, "X-Mailbox-Line: " STR_FMT, STR_ARG(line));
        m->is_first_line = false;
    }
    // What is beyond the limit decides nothing, whether it is here already or not.
    struct str start = str_slice(shown, 0, m->scan.max);
    enum header_event event = header_scan_line(&m->scan, start, &header);
    if (header.len > 0)
        cleanup_header(m, header);
    if (event == HEADER_END) {
        end_headers(m, shown, is_cut);
    } else if (is_cut) {
        m->skips_line = true; // the rest is beyond header_size_limit
    }
}

// Takes one line off *text, or what there is of it.
static void take_header_text(struct cleanup_message *m, struct str *text) CO
{
    size_t limit = (size_t)m->daemon->settings->header_size_limit + 1;
    struct str piece;
    bool is_whole = str_cut(text, '\n', &piece);
    if (m->skips_line) {
        m->skips_line = !is_whole;
        return;
    }
    if (is_whole && m->line.len == 0) {
        take_line(m, piece, false);
        return;
    }
    buf_add_str(&m->line, piece);
    if (!is_whole && m->line.len < limit)
        return;
    struct buf line = m->line; // take_line may come back here only with a line of its own
    m->line = BUF_INIT;
    take_line(m, buf_str(&line), !is_whole);
    buf_release(&m->line);
    m->line = line;
    buf_clear(&m->line);
}

// ---- Text

static void count_bytes(struct cleanup_message *m, size_t len)
{
    int64_t limit = m->daemon->settings->message_size_limit;
    m->content_bytes += (int64_t)len;
    bool is_notice = (m->flags & SUBMIT_BOUNCE) != 0; // wraps a message of up to the limit: bounded by its own rules
    if (limit <= 0 || m->content_bytes <= limit || is_notice || !cleanup_is_good(m))
        return;
    cleanup_warn(m, "queue file size limit exceeded");
    cleanup_refuse(m, 552, "5.3.4", "Error: message file too big");
}

// Stray carriage returns become blanks; LF cannot be stray, it is what separates lines.
static struct str replace_returns(struct cleanup_message *m, struct str text, struct buf *copy)
{
    if (!m->daemon->settings->cleanup_replace_stray_cr_lf || text.len == 0 || memchr(text.ptr, '\r', text.len) == NULL)
        return text;
    buf_add_str(copy, text);
    for (size_t i = 0; i < copy->len; i++)
        if (copy->ptr[i] == '\r')
            copy->ptr[i] = ' ';
    return buf_str(copy);
}

void cleanup_take_text(struct cleanup_message *m, struct str text)
{
    struct buf copy = BUF_INIT;
    count_bytes(m, text.len);
    text = replace_returns(m, text, &copy);
    while (text.len > 0 && !m->in_body && cleanup_is_good(m))
        take_header_text(m, &text);
    if (text.len > 0 && cleanup_is_good(m))
        put_text(m, text);
    buf_release(&copy);
}

void cleanup_end_content(struct cleanup_message *m)
{
    if (cleanup_is_good(m) && !m->in_body) {
        if (m->line.len > 0) {
            struct buf line = m->line;
            m->line = BUF_INIT;
            take_line(m, buf_str(&line), false);
            buf_release(&line);
        }
        if (!m->in_body) { // headers only
            struct str header = header_scan_finish(&m->scan);
            if (header.len > 0)
                cleanup_header(m, header);
            cleanup_header_end(m);
        }
    }
    if (cleanup_is_good(m) && m->in_line)
        put_text(m, STR("\n"));
}
