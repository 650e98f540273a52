// SPDX-License-Identifier: ISC
// smtp_transaction.c: one message to one server: envelope, content, replies.
//
// Where the server offers PIPELINING, MAIL, the RCPTs and DATA travel in one packet; else one command at a time, by the
// same code with a window of one. Replies come in the order of the commands.
// Trust: the server is hostile. The queue file may be garbage: then the connection is cut before the final dot.
// Suspends: everywhere. Limits: a window of WINDOW_BYTES, content flushed at CONTENT_FLUSH.
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"
#include "smtp/smtp.h"
#include "smtp/smtp_content.h"

#define WINDOW_BYTES  (16 * 1024)
#define CONTENT_FLUSH (64 * 1024)

enum probe { PROBE_NONE, PROBE_TO_RCPT, PROBE_TO_DATA }; // how far an address verification probe goes
enum recipient_state { RCPT_UNSENT, RCPT_WAITING, RCPT_ACCEPTED, RCPT_REFUSED };
enum command_state { COMMAND_UNSENT, COMMAND_WAITING, COMMAND_ACCEPTED, COMMAND_REFUSED };

struct transaction {
    struct smtp_delivery *sd;
    struct smtp_session *s;
    const struct smtp_profile *profile;
    const struct delivery_request *request;
    bool keep;
    enum probe probe;
    bool is_answered; // the server has answered something in this transaction
    bool is_stale;
    enum command_state mail, data;
    unsigned char *recipients; // enum recipient_state of each in the request
    size_t next_send, next_answer;
    size_t accepted;
};

// ---- Failures

static void fail_all(struct transaction *t, struct smtp_failure *f)
{
    for (size_t i = 0; i < t->request->recipient_count; i++)
        if (smtp_is_open(t->sd, i) && t->recipients[i] != RCPT_REFUSED)
            t->sd->failures[i] = f;
}

// The connection broke. A kept one that never answered says nothing about the destination.
static int lost(struct transaction *t, enum smtp_step step, const struct err *err)
{
    struct smtp_failure *f = smtp_failure_lost(t->sd, t->s, step, err);

    if (!t->is_answered && t->s->uses > 1 && err->kind != ERR_CANCELLED && err->kind != ERR_TIMEOUT) {
        t->is_stale = true;
        return -1;
    }
    f->is_final = step == SMTP_STEP_END;
    if (t->mail != COMMAND_REFUSED) // else the reason is known already
        fail_all(t, f);
    return -1;
}

static int read_reply(struct transaction *t, enum smtp_step step, int64_t seconds) CO
{
    struct err err = ERR_INIT;

    if (smtp_session_reply(t->s, seconds, &err) < 0)
        return lost(t, step, &err);
    if (t->s->reply.code == 421) {
        if (!t->is_answered && t->s->uses > 1)
            t->is_stale = true; // the server had enough of this connection, not of this message
        else if (t->mail != COMMAND_REFUSED)
            fail_all(t, smtp_failure_said(t->sd, t->s, step));
        return -1;
    }
    t->is_answered = true;
    return 0;
}

// ---- Envelope

static size_t next_open(const struct transaction *t, size_t from)
{
    while (from < t->request->recipient_count && !smtp_is_open(t->sd, from))
        from++;
    return from;
}

static void queue_recipient(struct transaction *t, struct buf *out)
{
    size_t i = t->next_send;
    const struct delivery_recipient *rcpt = &t->request->recipients[i];

    t->next_send = next_open(t, i + 1);
    if (!smtp_address_is_sendable(rcpt->address)) {
        t->sd->failures[i] = smtp_failure_new(t->sd, true, "5.1.3", "bad recipient address syntax");
        t->recipients[i] = RCPT_REFUSED;
        return;
    }
    smtp_command_rcpt(out, rcpt, t->s->features, t->profile->quote_rfc821_envelope);
    t->recipients[i] = RCPT_WAITING;
}

// Puts the next window of commands into the write buffer.
static void queue_commands(struct transaction *t)
{
    struct buf *out = stream_output(t->s->stream);
    bool pipelines = (t->s->features & SMTP_HAS_PIPELINING) != 0;
    size_t waiting = 0;

    if (t->mail == COMMAND_UNSENT) {
        smtp_command_mail(out, t->request, t->s->features & ~smtp_requiretls_unwanted(t->sd),
                          t->profile->quote_rfc821_envelope);
        t->mail = COMMAND_WAITING;
        if (!pipelines)
            return;
    }
    while (t->next_send < t->request->recipient_count && out->len < WINDOW_BYTES) {
        size_t before = out->len;
        queue_recipient(t, out);
        waiting += out->len > before;
        if (!pipelines && out->len > 0)
            return;
    }
    if (t->next_send < t->request->recipient_count || t->probe == PROBE_TO_RCPT || t->accepted + waiting == 0)
        return;
    buf_add_cstr(out, "DATA\r\n");
    t->data = COMMAND_WAITING;
}

static int read_mail(struct transaction *t) CO
{
    if (read_reply(t, SMTP_STEP_MAIL, t->profile->mail_timeout) < 0)
        return -1;
    t->mail = t->s->reply.code / 100 == 2 ? COMMAND_ACCEPTED : COMMAND_REFUSED;
    if (t->mail == COMMAND_REFUSED)
        fail_all(t, smtp_failure_said(t->sd, t->s, SMTP_STEP_MAIL));
    else
        t->s->needs_reset = true;
    return 0;
}

static int read_recipient(struct transaction *t, size_t i) CO
{
    if (read_reply(t, SMTP_STEP_RCPT, t->profile->rcpt_timeout) < 0)
        return -1;
    if (t->mail == COMMAND_REFUSED)
        return 0;
    if (t->s->reply.code / 100 != 2) {
        t->recipients[i] = RCPT_REFUSED;
        t->sd->failures[i] = smtp_failure_said(t->sd, t->s, SMTP_STEP_RCPT);
        return 0;
    }
    t->recipients[i] = RCPT_ACCEPTED;
    t->accepted++;
    if (t->probe == PROBE_TO_RCPT)
        smtp_report_sent(t->sd, t->s, i);
    return 0;
}

static int read_data(struct transaction *t) CO
{
    if (read_reply(t, SMTP_STEP_DATA, t->profile->data_init_timeout) < 0)
        return -1;
    t->data = t->s->reply.code / 100 == 3 ? COMMAND_ACCEPTED : COMMAND_REFUSED;
    if (t->data == COMMAND_REFUSED && t->accepted > 0)
        fail_all(t, smtp_failure_said(t->sd, t->s, SMTP_STEP_DATA));
    return 0;
}

// Reads the replies to everything that was sent.
static int read_answers(struct transaction *t) CO
{
    if (t->mail == COMMAND_WAITING && read_mail(t) < 0)
        return -1;
    for (; t->next_answer < t->next_send; t->next_answer++)
        if (t->recipients[t->next_answer] == RCPT_WAITING && read_recipient(t, t->next_answer) < 0)
            return -1;
    if (t->data == COMMAND_WAITING)
        return read_data(t);
    return 0;
}

static enum smtp_step first_unanswered(const struct transaction *t)
{
    if (t->mail == COMMAND_WAITING)
        return SMTP_STEP_MAIL;
    return t->data == COMMAND_WAITING ? SMTP_STEP_DATA : SMTP_STEP_RCPT;
}

// 0 when the envelope has been answered, -1 when the connection is gone.
static int send_envelope(struct transaction *t) CO
{
    struct err err = ERR_INIT;

    for (;;) {
        queue_commands(t);
        if (stream_unflushed(t->s->stream) == 0)
            return 0; // nothing is left to say
        if (smtp_session_flush(t->s, t->profile->mail_timeout, &err) < 0)
            return lost(t, first_unanswered(t), &err);
        if (read_answers(t) < 0)
            return -1;
        if (t->mail == COMMAND_REFUSED || t->data != COMMAND_UNSENT)
            return 0;
    }
}

// ---- Content

static int write_content(struct transaction *t, struct queue_reader *reader) CO
{
    struct smtp_content content = {.line_limit = (size_t)t->profile->line_length_limit};
    struct buf *out = stream_output(t->s->stream);
    struct err err = ERR_INIT;
    struct str text;
    bool line_ended;
    int got;

    while ((got = queue_reader_next(reader, &text, &line_ended, &err)) > 0) {
        smtp_content_add(&content, out, text, line_ended);
        if (out->len >= CONTENT_FLUSH && smtp_session_flush(t->s, t->profile->data_xfer_timeout, &err) < 0)
            return lost(t, SMTP_STEP_BODY, &err);
    }
    if (got < 0) { // without the final dot the server drops what it has
        t->s->must_close = true;
        fail_all(t, smtp_failure_with_session(smtp_failure_new(t->sd, false, "4.3.0", "queue file: %s", err.text),
                                              t->sd, t->s));
        return -1;
    }
    smtp_content_end(&content, out);
    return 0;
}

static int send_content(struct transaction *t) CO
{
    struct err err = ERR_INIT;
    struct queue_reader *reader = queue_reader_open(t->sd->delivery->fd, t->request->data_offset, &err);
    int result = -1;

    if (reader == NULL) {
        t->s->must_close = true;
        fail_all(t, smtp_failure_new(t->sd, false, "4.3.0", "queue file: %s", err.text));
        return -1;
    }
    smtp_transcript_private(t->s->transcript, true);
    result = write_content(t, reader);
    queue_reader_close(reader);
    if (result < 0)
        return -1;
    bool quits =
        !t->keep && !t->profile->is_lmtp && t->profile->skip_quit_response && (t->s->features & SMTP_HAS_PIPELINING);
    if (quits)
        stream_write_str(t->s->stream, STR("QUIT\r\n"));
    if (smtp_session_flush(t->s, t->profile->data_xfer_timeout, &err) < 0)
        return lost(t, SMTP_STEP_END, &err);
    smtp_transcript_private(t->s->transcript, false);
    t->s->must_close = t->s->must_close || quits;
    return 0;
}

// The last reply was good for all accepted recipients.
static void report_accepted(struct transaction *t) CO
{
    for (size_t i = 0; i < t->request->recipient_count; i++)
        if (t->recipients[i] == RCPT_ACCEPTED)
            smtp_report_sent(t->sd, t->s, i);
}

// One reply decides over all accepted recipients (SMTP).
static int read_end(struct transaction *t) CO
{
    if (read_reply(t, SMTP_STEP_END, t->profile->data_done_timeout) < 0)
        return -1;
    if (t->s->reply.code / 100 != 2) {
        fail_all(t, smtp_failure_said(t->sd, t->s, SMTP_STEP_END));
        return 0;
    }
    report_accepted(t);
    return 0;
}

// One reply for each accepted recipient (LMTP, RFC 2033 4.2).
static int read_ends(struct transaction *t) CO
{
    for (size_t i = 0; i < t->request->recipient_count; i++) {
        if (t->recipients[i] != RCPT_ACCEPTED)
            continue;
        if (read_reply(t, SMTP_STEP_END, t->profile->data_done_timeout) < 0)
            return -1;
        if (t->s->reply.code / 100 == 2)
            smtp_report_sent(t->sd, t->s, i);
        else
            t->sd->failures[i] = smtp_failure_said(t->sd, t->s, SMTP_STEP_END);
        t->recipients[i] = RCPT_REFUSED; // its fate is known
    }
    return 0;
}

// The server wants content though no recipient was accepted (it was told DATA in the same packet): none is given.
static void send_nothing(struct transaction *t) CO
{
    struct err err = ERR_INIT;

    stream_write_str(t->s->stream, STR(".\r\n"));
    if (smtp_session_flush(t->s, t->profile->data_xfer_timeout, &err) < 0 ||
        (!t->profile->is_lmtp && smtp_session_reply(t->s, t->profile->data_done_timeout, &err) < 0))
        t->s->must_close = true;
}

// ---- The whole

static int forward_client(struct transaction *t) CO
{
    struct buf *out = stream_output(t->s->stream);

    for (enum smtp_step step = SMTP_STEP_XFORWARD_NAME; step <= SMTP_STEP_XFORWARD_PROTO; step++) {
        struct err err = ERR_INIT;
        bool has_any = step == SMTP_STEP_XFORWARD_NAME ? smtp_command_xforward_name(out, t->request, t->s->features)
                                                       : smtp_command_xforward_proto(out, t->request, t->s->features);
        if (!has_any)
            continue;
        if (smtp_session_flush(t->s, t->profile->xforward_timeout, &err) < 0)
            return lost(t, step, &err);
        if (read_reply(t, step, t->profile->xforward_timeout) < 0)
            return -1;
        if (t->s->reply.code / 100 != 2) {
            fail_all(t, smtp_failure_said(t->sd, t->s, step));
            return -1;
        }
    }
    return 0;
}

// What this server cannot take at all. NULL: nothing speaks against it.
static struct smtp_failure *check_message(struct transaction *t)
{
    const struct delivery_request *r = t->request;
    const struct smtp_session *s = t->s;

    if (!smtp_address_is_sendable(r->sender))
        return smtp_failure_new(t->sd, true, "5.1.7", "bad sender address syntax");
    struct smtp_failure *f = smtp_requiretls_check(t->sd, t->s);
    if (f != NULL)
        return f;
    if (s->size_limit > 0 && r->message_size > s->size_limit)
        return smtp_failure_new(t->sd, true, "5.3.4", "message size %lld exceeds size limit %lld of server %s",
                                (long long)r->message_size, (long long)s->size_limit, s->place);
    if (!(s->features & SMTP_HAS_SMTPUTF8) && smtp_needs_smtputf8(r))
        return smtp_failure_new(t->sd, true, "5.6.7", "SMTPUTF8 is required, but was not offered by host %s", s->place);
    return NULL;
}

// An answer before the first question of a TLS session was given to somebody who spoke before us (CVE-2009-3555).
static bool is_hijacked(struct transaction *t)
{
    struct smtp_session *s = t->s;

    if (!t->profile->tls_block_early_mail_reply || s->uses > 1 || stream_tls_info(s->stream) == NULL ||
        !stream_is_readable_now(s->stream))
        return false;
    log_warn("%s: a reply came ahead of the MAIL command: the TLS session may have been hijacked", s->relay);
    s->must_close = true;
    fail_all(t,
             smtp_failure_with_session(smtp_failure_new(t->sd, false, "4.7.0", "unexpected server message"), t->sd, s));
    return true;
}

static void converse(struct transaction *t) CO
{
    if (is_hijacked(t))
        return;
    if (t->profile->send_xforward_command && forward_client(t) < 0)
        return;
    if (send_envelope(t) < 0 || t->data != COMMAND_ACCEPTED)
        return;
    if (t->accepted == 0) {
        send_nothing(t);
        return;
    }
    if (t->probe == PROBE_TO_DATA) {
        report_accepted(t);
        t->s->must_close = true; // without the final dot the server drops the message
        return;
    }
    if (send_content(t) < 0 || (t->profile->is_lmtp ? read_ends(t) : read_end(t)) < 0)
        return;
    t->s->needs_reset = false;
}

static enum probe probe_of(const struct smtp_delivery *sd)
{
    if ((sd->delivery->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER)) == 0)
        return PROBE_NONE;
    return str_is_nocase(sd->client->profile.address_verify_target, STR("data")) ? PROBE_TO_DATA : PROBE_TO_RCPT;
}

enum smtp_outcome smtp_transaction(struct smtp_delivery *sd, struct smtp_session *s, bool keep)
{
    const struct delivery_request *request = &sd->delivery->request;
    struct transaction t = {
        .sd = sd,
        .s = s,
        .profile = &sd->client->profile,
        .request = request,
        .keep = keep,
        .probe = probe_of(sd),
    };

    t.recipients = arena_alloc(sd->arena, request->recipient_count);
    t.next_send = next_open(&t, 0);
    sd->start_us = clock_wall_us();
    struct smtp_failure *f = check_message(&t);
    if (f != NULL)
        smtp_failure_apply(sd, smtp_failure_with_session(f, sd, s));
    else
        converse(&t);
    return t.is_stale ? SMTP_OUTCOME_STALE : SMTP_OUTCOME_DONE;
}
