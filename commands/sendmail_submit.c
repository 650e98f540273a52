// SPDX-License-Identifier: ISC
// sendmail_submit.c: the records of one submission go to postdrop, its answer comes back.
//
// Trust: postdrop runs with the rights of setgid_group; this program has the caller's rights only.
#include <errno.h>
#include <unistd.h>

#include "commands/sendmail.h"
#include "lib/agent/postdrop.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_record.h"
#include "lib/sys/sys.h"

#define CHUNK_SIZE (64 * 1024)

struct submission {
    const struct settings *settings;
    const struct sendmail_options *options;
    const struct sendmail_user *user;
    struct arena arena;
    struct buf records;
    struct postdrop postdrop;
};

static int fail(struct submission *s, struct err *err, const char *text)
{
    return err_set(err, ERR_PERMANENT, "%s(%ld): %s", s->user->name, s->user->uid, text);
}

static void flush_records(struct submission *s)
{
    postdrop_write(&s->postdrop, buf_str(&s->records));
    buf_clear(&s->records);
}

static int add_text(struct submission *s, enum record_type type, struct str text, struct err *err)
{
    if (queue_record_add_text(&s->records, type, text) == 0)
        return 0;
    return fail(s, err, "line break or NUL in an address or name");
}

static void add_attr(struct submission *s, const char *name, struct str value)
{
    if (value.len > 0 && queue_record_add_attr(&s->records, name, value) != 0)
        log_warn("attribute %s is ignored: it holds a line break", name);
}

static void add_number(struct submission *s, const char *name, int value)
{
    if (value != 0)
        queue_record_addf(&s->records, REC_ATTR, "%s=%d", name, value);
}

static int add_recipients(struct submission *s, struct str text, size_t *count, struct err *err)
{
    struct address_list list;
    if (address_list_parse(text, &s->arena, &list, err) != 0)
        return fail(s, err, "malformed recipient list");
    for (size_t i = 0; i < list.count; i++) {
        add_number(s, "notify_flags", s->options->notify);
        if (add_text(s, REC_RCPT, list.items[i], err) != 0)
            return -1;
    }
    *count += list.count;
    return 0;
}

// The envelope sender: -f, or the login name.
static int find_sender(struct submission *s, struct str *sender_r, struct err *err)
{
    struct address_list list;
    struct str given = s->options->sender;
    *sender_r = STR("");
    if (given.ptr == NULL) {
        *sender_r = str_from(s->user->name);
        return 0;
    }
    if (str_trim(given).len == 0 || str_is(str_trim(given), STR("<>")))
        return 0;
    if (address_list_parse(given, &s->arena, &list, err) != 0)
        return fail(s, err, "malformed sender address");
    if (list.count > 1)
        log_warn("-f option specified malformed sender: " STR_FMT, STR_ARG(given));
    if (list.count > 0)
        *sender_r = list.items[0];
    return 0;
}

static int add_envelope(struct submission *s, struct str sender, size_t *recipients, struct err *err)
{
    const struct sendmail_options *o = s->options;
    if (o->sendopts != 0)
        queue_record_addf(&s->records, REC_SIZE, "%15ld %15ld %15ld %15ld %15ld %15ld", -1L, -1L, -1L, -1L, -1L,
                          (long)o->sendopts);
    add_attr(s, "envelope_id", o->envelope_id);
    add_number(s, "ret_flags", o->ret_flags);
    add_attr(s, "rewrite_context", o->is_gateway ? STR("remote") : STR("local"));
    struct str fullname = o->fullname.ptr != NULL ? o->fullname : str_from(s->user->fullname);
    if (fullname.len > 0 && queue_record_add_text(&s->records, REC_FULLNAME, fullname) != 0)
        log_warn("the full name is ignored: it holds a line break");
    if (add_text(s, REC_FROM, sender, err) != 0)
        return -1;
    add_attr(s, "encoding", o->encoding);
    add_number(s, "trace_flags", o->trace_flags);
    if (o->verp.ptr != NULL) {
        if (sender.len == 0)
            return fail(s, err, "-V option requires non-null sender address");
        struct str delimiters = o->verp.len == 2 ? o->verp : s->settings->default_verp_delimiters;
        for (size_t i = 0; i < delimiters.len; i++)
            if (str_find(s->settings->verp_delimiter_filter, delimiters.ptr[i]) < 0)
                return fail(s, err, "-V requires two characters from verp_delimiter_filter");
        queue_record_add(&s->records, REC_VERP, delimiters);
    }
    for (size_t i = 0; i < o->recipient_count; i++)
        if (add_recipients(s, o->recipients[i], recipients, err) != 0)
            return -1;
    return 0;
}

static int copy_input(struct submission *s, struct sendmail_message *m, struct err *err)
{
    struct buf chunk = BUF_INIT;
    int status = 0;
    buf_reserve(&chunk, CHUNK_SIZE);
    while (!m->has_ended && !s->postdrop.is_broken) {
        ssize_t got = read(0, chunk.ptr, CHUNK_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = err_errno(err, "%s(%ld): error reading input", s->user->name, s->user->uid);
        if (got <= 0)
            break;
        sendmail_message_add(m, str_of(chunk.ptr, (size_t)got));
        if (s->records.len >= CHUNK_SIZE)
            flush_records(s);
    }
    sendmail_message_end(m);
    buf_release(&chunk);
    return status;
}

static void add_probe_text(struct submission *s, struct str sender)
{
    queue_record_addf(&s->records, REC_NORM, "From: " STR_FMT, STR_ARG(sender));
    queue_record_add(&s->records, REC_NORM, STR("Subject: probe"));
    struct buf to = BUF_INIT;
    buf_add_cstr(&to, "To:");
    for (size_t i = 0; i < s->options->recipient_count; i++)
        buf_addf(&to, "%s\t" STR_FMT, i > 0 ? ",\n" : "", STR_ARG(s->options->recipients[i]));
    struct str rest = buf_str(&to), line;
    bool has_more = true;
    while (has_more) {
        has_more = str_cut(&rest, '\n', &line);
        queue_record_add(&s->records, REC_NORM, line);
    }
    buf_release(&to);
}

static int add_content(struct submission *s, struct str sender, size_t *recipients, struct err *err)
{
    struct sendmail_message message;
    int status = 0;
    sendmail_message_init(&message, s->settings, s->options, &s->records);
    queue_record_add(&s->records, REC_MESSAGE, STR(""));
    if (s->options->trace_flags & TRACE_PROBE)
        add_probe_text(s, sender);
    else
        status = copy_input(s, &message, err);
    queue_record_add(&s->records, REC_EXTRACTED, STR(""));
    if (status == 0 && s->options->extracts) {
        if (message.is_header_too_long)
            status = fail(s, err, "message header length exceeds header_size_limit");
        else
            status = add_recipients(s, sendmail_message_recipients(&message), recipients, err);
        if (status == 0 && *recipients == 0)
            status = fail(s, err, "No recipient addresses found in message header");
    }
    sendmail_message_release(&message);
    return status;
}

static int read_answer(struct submission *s, struct err *err)
{
    struct postdrop_answer answer;
    postdrop_read_answer(&s->postdrop, &answer);
    int result = 0;
    if (answer.status < 0)
        result = fail(s, err, "postdrop ended without an answer: the message is not stored; see the mail log");
    else if (answer.status != 0 && answer.reason.len > 0)
        result = err_set(err, ERR_PERMANENT, "%s(%ld): " STR_FMT, s->user->name, s->user->uid, STR_ARG(answer.reason));
    else if (answer.status == POSTDROP_STATUS_SIZE)
        result = fail(s, err, "message file too big");
    else if (answer.status != 0)
        result = fail(s, err, "queue file write error");
    buf_release(&answer.text);
    return result;
}

int sendmail_submit(const struct settings *settings, const struct sendmail_options *o, const struct sendmail_user *user,
                    struct err *err)
{
    struct submission s = {
        .settings = settings, .options = o, .user = user, .arena = ARENA_INIT, .postdrop = {.input = -1, .output = -1}};
    struct str sender = STR("");
    size_t recipients = 0;
    int status = find_sender(&s, &sender, err);
    if (status == 0 && o->recipient_count == 0 && !o->extracts)
        status = fail(&s, err, "Recipient addresses must be specified on the command line or via the -t option");
    if (status == 0)
        status = add_envelope(&s, sender, &recipients, err);
    if (status == 0)
        status = postdrop_open(&s.postdrop, settings->command_directory, o->verbose > 1, err);
    if (status == 0)
        status = add_content(&s, sender, &recipients, err);
    if (status == 0) {
        queue_record_add(&s.records, REC_END, STR(""));
        flush_records(&s);
        status = read_answer(&s, err);
    }
    postdrop_close(&s.postdrop);
    if (status == 0 && o->trace_flags != 0) {
        struct buf text = BUF_INIT;
        buf_add_cstr(&text, "Mail Delivery Status Report will be mailed to <");
        buf_add_printable(&text, sender, 0);
        buf_add_cstr(&text, ">.\n");
        (void)sys_write_all(1, text.ptr, text.len);
        buf_release(&text);
    }
    buf_release(&s.records);
    arena_release(&s.arena);
    return status;
}
