// SPDX-License-Identifier: ISC
// mailbox.c: what mailbox files and Maildirs share: the content, the headers in front, errors as reports.
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/agent/mailbox.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_file.h"
#include "lib/sys/sys.h"

#define OUT_SIZE             (256 * 1024)
#define DELIVERED_TO_HEADERS 1000

// ---- Content

int mailbox_content_load(struct mailbox_content *c, int fd, int64_t data_offset, struct err *err)
{
    struct queue_reader *reader;
    struct str text;
    bool line_ended;
    int more = 1;

    *c = (struct mailbox_content){.fd = fd, .data_offset = data_offset};
    reader = queue_reader_open(fd, data_offset, err);
    if (reader == NULL)
        return -1;
    while (c->text.len < MAILBOX_CONTENT_HELD && (more = queue_reader_next(reader, &text, &line_ended, err)) > 0) {
        buf_add_str(&c->text, text);
        if (line_ended)
            buf_add_char(&c->text, '\n');
    }
    queue_reader_close(reader);
    if (more < 0)
        mailbox_content_release(c);
    c->is_whole = more == 0;
    return more < 0 ? -1 : 0;
}

void mailbox_content_release(struct mailbox_content *c)
{
    buf_release(&c->text);
}

bool mailbox_content_was_delivered_to(const struct mailbox_content *c, struct str address)
{
    struct str rest = buf_str(&c->text), line;

    for (unsigned seen = 0; seen < DELIVERED_TO_HEADERS && rest.len > 0;) {
        str_cut(&rest, '\n', &line);
        if (line.len == 0)
            return false; // the header has ended
        if (!str_starts_nocase(line, STR("Delivered-To:")))
            continue;
        seen++;
        if (str_is_nocase(str_trim(str_slice(line, 13, line.len)), address))
            return true;
    }
    return false;
}

// ---- The writer

static int add_lock(struct mailbox_writer *w, struct str name, struct err *err)
{
    if (str_is_nocase(name, STR("fcntl")))
        w->locks |= MAILBOX_LOCK_FCNTL;
    else if (str_is_nocase(name, STR("flock")))
        w->locks |= MAILBOX_LOCK_FLOCK;
    else if (str_is_nocase(name, STR("dotlock")))
        w->locks |= MAILBOX_LOCK_DOTLOCK;
    else
        return err_set(err, ERR_PERMANENT, "unknown mailbox lock \"" STR_FMT "\": use fcntl, flock or dotlock",
                       STR_ARG(name));
    return 0;
}

// '/' and ':' may not stand in the name of a Maildir file.
static void set_host(struct mailbox_writer *w)
{
    char name[sizeof(w->host)] = "";
    size_t used = 0;

    if (gethostname(name, sizeof(name) - 1) < 0 || name[0] == '\0')
        strcpy(name, "localhost");
    for (const char *c = name; *c != '\0' && used + 5 < sizeof(w->host); c++)
        if (*c == '/' || *c == ':')
            used += (size_t)snprintf(w->host + used, sizeof(w->host) - used, "\\%03o", (unsigned)*c);
        else
            w->host[used++] = *c;
    w->host[used] = '\0';
}

int mailbox_writer_init(struct mailbox_writer *w, const struct settings *settings, struct str locks, int64_t size_limit,
                        struct err *err)
{
    struct str name;

    *w = (struct mailbox_writer){.pid = (unsigned)getpid(),
                                 .lock_attempts = settings->deliver_lock_attempts,
                                 .lock_delay = settings->deliver_lock_delay,
                                 .stale_lock_time = settings->stale_lock_time,
                                 .strict_ownership = settings->strict_mailbox_ownership,
                                 .size_limit = size_limit};
    set_host(w);
    while (str_token(&locks, ", \t\r\n", &name))
        if (add_lock(w, name, err) < 0)
            return -1;
    return 0;
}

void mailbox_writer_release(struct mailbox_writer *w)
{
    buf_release(&w->out);
}

// ---- Output

static int flush(struct mailbox_out *o)
{
    struct buf *pending = &o->writer->out;

    if (o->limit > 0 && o->written + (int64_t)pending->len > o->limit) {
        errno = EFBIG;
        return -1;
    }
    if (sys_write_all(o->fd, pending->ptr, pending->len) < 0)
        return -1;
    o->written += (int64_t)pending->len;
    buf_clear(pending);
    return 0;
}

// One piece of text. In mailbox files a line that starts with "From " gets a '>' in front.
static void add_text(struct mailbox_out *o, struct str text)
{
    struct buf *pending = &o->writer->out;

    if (!o->quotes_from) {
        buf_add_str(pending, text);
        return;
    }
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) + 1 : text.len;
        if (o->at_line_start && str_starts(text, STR("From ")))
            buf_add_char(pending, '>');
        buf_add(pending, text.ptr, len);
        o->at_line_start = end != NULL;
        text = str_slice(text, len, text.len);
    }
}

static int add_streamed(struct mailbox_out *o, const struct mailbox_content *c)
{
    struct err err = ERR_INIT;
    struct queue_reader *reader = queue_reader_open(c->fd, c->data_offset, &err);
    struct str text;
    bool line_ended;
    int more;

    if (reader == NULL)
        return -1;
    while ((more = queue_reader_next(reader, &text, &line_ended, &err)) > 0) {
        add_text(o, text);
        if (line_ended)
            add_text(o, STR("\n"));
        if (o->writer->out.len >= OUT_SIZE && flush(o) < 0)
            break;
    }
    queue_reader_close(reader);
    if (more < 0)
        errno = err.errnum ? err.errnum : EBADMSG;
    return more == 0 ? 0 : -1;
}

static void add_from_line(struct buf *b, struct str sender)
{
    buf_add_cstr(b, "From ");
    if (sender.len == 0)
        buf_add_cstr(b, "MAILER-DAEMON");
    else
        address_add_external(b, sender);
    buf_add_cstr(b, "  ");
    clock_add_asctime(b, clock_wall());
    buf_add_char(b, '\n');
}

static void add_address_header(struct buf *b, const char *name, struct str address)
{
    buf_add_cstr(b, name);
    address_add_external(b, address);
    buf_add_char(b, '\n');
}

int mailbox_write_message(struct mailbox_out *o, const struct mailbox_message *m, bool has_from_line)
{
    struct buf *b = &o->writer->out;

    buf_clear(b);
    if (has_from_line)
        add_from_line(b, m->sender);
    buf_add_cstr(b, "Return-Path: <");
    address_add_external(b, m->sender);
    buf_add_cstr(b, ">\n");
    if (m->original_to.len > 0)
        add_address_header(b, "X-Original-To: ", m->original_to);
    if (m->delivered_to.len > 0)
        add_address_header(b, "Delivered-To: ", m->delivered_to);
    o->at_line_start = true;
    if (m->content->is_whole)
        add_text(o, buf_str(&m->content->text));
    else if (add_streamed(o, m->content) < 0)
        return -1;
    if (has_from_line)
        buf_add_char(b, '\n');
    return flush(o);
}

// ---- Reports

void mailbox_report(struct delivery_report *report_r, enum delivery_status status, const char *dsn, struct str text)
{
    report_r->status = status;
    report_r->dsn = str_from(dsn);
    report_r->text = text;
}

struct verdict {
    int errnum;
    const char *dsn;
};

static const char *dsn_of_errno(int errnum)
{
    static const struct verdict verdicts[] = {
        {EFBIG, "5.2.2"},   {EDQUOT, "5.2.2"}, {ENOSPC, "4.3.0"}, {EACCES, "5.2.0"},       {EPERM, "5.2.0"},
        {ENOTDIR, "5.2.0"}, {EISDIR, "5.2.0"}, {ELOOP, "5.2.0"},  {ENAMETOOLONG, "5.2.0"}, {EBADMSG, "4.3.0"},
    };
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (verdicts[i].errnum == errnum)
            return verdicts[i].dsn;
    return "4.2.0"; // what is not understood is temporary
}

void mailbox_report_errno(struct delivery_report *report_r, int errnum, struct arena *arena, const char *format, ...)
{
    const char *dsn = dsn_of_errno(errnum);
    struct buf text = BUF_INIT;
    va_list ap;

    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    buf_add_cstr(&text, errnum == EBADMSG ? "queue file is damaged" : strerror(errnum));
    mailbox_report(report_r, dsn[0] == '5' ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, dsn,
                   arena_str(arena, buf_str(&text)));
    buf_release(&text);
}
