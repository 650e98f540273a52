// SPDX-License-Identifier: ISC
// queue_record.c: the codec for queue-file records.
// Trust: input may be garbage. Limits: RECORD_MAX.
#include "lib/mail/queue_record.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/err.h"

static size_t encode_length(char *out, size_t len)
{
    size_t n = 0;
    do {
        out[n++] = (char)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
        len >>= 7;
    } while (len > 0);
    return n;
}

// Type and length in front of `len` bytes that the caller adds.
static void add_head(struct buf *b, enum record_type type, size_t len)
{
    char head[12];
    if (len > RECORD_MAX)
        bug("queue record of %zu bytes", len);
    head[0] = (char)type;
    buf_add(b, head, 1 + encode_length(head + 1, len));
}

void queue_record_add(struct buf *b, enum record_type type, struct str data)
{
    add_head(b, type, data.len);
    buf_add_str(b, data);
}

void queue_record_addf(struct buf *b, enum record_type type, const char *format, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    queue_record_add(b, type, buf_str(&text));
    buf_release(&text);
}

static bool is_one_line(struct str data)
{
    if (data.len == 0)
        return true;
    return memchr(data.ptr, '\0', data.len) == NULL && memchr(data.ptr, '\n', data.len) == NULL &&
           memchr(data.ptr, '\r', data.len) == NULL;
}

int queue_record_add_text(struct buf *b, enum record_type type, struct str data)
{
    if (!is_one_line(data) || data.len > RECORD_MAX)
        return -1;
    queue_record_add(b, type, data);
    return 0;
}

int queue_record_add_attr(struct buf *b, const char *name, struct str value)
{
    size_t name_len = strlen(name);
    if (!is_one_line(value) || value.len > RECORD_MAX - 1 - name_len)
        return -1;
    add_head(b, REC_ATTR, name_len + 1 + value.len);
    buf_add(b, name, name_len);
    buf_add_char(b, '=');
    buf_add_str(b, value);
    return 0;
}

// Adds what stands before a line's end in pieces of `limit`: all but the last become L records.
static struct str add_long_pieces(struct buf *b, struct str line, size_t limit)
{
    while (line.len > limit) {
        queue_record_add(b, REC_CONT, str_slice(line, 0, limit));
        line = str_slice(line, limit, line.len);
    }
    return line;
}

void queue_record_add_content(struct buf *b, struct str text, size_t line_limit, bool *in_line)
{
    size_t limit = line_limit < 1 || line_limit > RECORD_MAX ? RECORD_MAX : line_limit;
    buf_reserve(b, text.len + text.len / 16 + 16);
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        struct str piece = add_long_pieces(b, str_of(text.ptr, len), limit);
        queue_record_add(b, end ? REC_NORM : REC_CONT, piece);
        *in_line = end == NULL;
        if (end == NULL)
            return;
        text = str_slice(text, len + 1, text.len);
    }
}

void queue_record_add_lines(struct buf *b, struct str text, size_t line_limit)
{
    size_t limit = line_limit < 1 || line_limit > RECORD_MAX ? RECORD_MAX : line_limit;
    struct str line;
    for (bool more = true; more;) {
        more = str_cut(&text, '\n', &line);
        queue_record_add(b, REC_NORM, add_long_pieces(b, line, limit));
    }
}

int queue_record_decode(struct raw input, struct record *record_r)
{
    uint64_t len = 0;
    size_t at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= input.len)
            return 0;
        if (shift > 28)
            return -1;
        unsigned char c = input.ptr[at++];
        len |= (uint64_t)(c & 0x7f) << shift;
        if ((c & 0x80) == 0)
            break;
    }
    if (len > RECORD_MAX)
        return -1;
    if (input.len - at < len)
        return 0;
    *record_r = (struct record){.type = (char)input.ptr[0],
                                .data = str_of((const char *)input.ptr + at, (size_t)len),
                                .size = at + (size_t)len};
    return 1;
}

const char *queue_record_name(char type) /* long: table */
{
    static const struct {
        char type;
        const char *name;
    } names[] = {
        {REC_SIZE, "message_size"},
        {REC_TIME, "message_arrival_time"},
        {REC_CREATE, "queue_file_create_time"},
        {REC_FULLNAME, "sender_fullname"},
        {REC_INSPECT, "content_inspector"},
        {REC_FILTER, "content_filter"},
        {REC_FROM, "sender"},
        {REC_VERP, "verp_delimiters"},
        {REC_WARN, "warning_message_time"},
        {REC_ATTR, "named_attribute"},
        {REC_ORCPT, "original_recipient"},
        {REC_RCPT, "recipient"},
        {REC_DONE, "done_recipient"},
        {REC_DROPPED, "canceled_recipient"},
        {REC_KILLED, "killed_record"},
        {REC_MESSAGE, "message_content"},
        {REC_NORM, "regular_text"},
        {REC_PAD, "padding"},
        {REC_EXTRACTED, "extracted_info"},
        {REC_RETURN, "return_receipt"},
        {REC_ERRORS_TO, "errors_to"},
        {REC_PRIORITY, "priority"},
        {REC_POINTER, "pointer_record"},
        {REC_REDIRECT, "redirect_to"},
        {REC_FLAGS, "flags"},
        {REC_DELAY, "delay"},
        {REC_MILTER_COUNT, "milter_count"},
        {REC_DSN_RET, "dsn_return_flags"},
        {REC_DSN_ENVID, "dsn_envelope_id"},
        {REC_DSN_ORCPT, "dsn_original_recipient"},
        {REC_DSN_NOTIFY, "dsn_notify_flags"},
        {REC_END, "message_end"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].type == type)
            return names[i].name;
    return NULL;
}
