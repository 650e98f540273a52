// SPDX-License-Identifier: ISC
// smtpd_reply.c: replies to the client and the lines that explain refusals in the log.
// Suspends: smtpd_flush.
#include "smtpd/smtpd.h"

#define REPLY_MAX 510 // RFC 5321 4.5.3.1.5, without CR LF

// What a refusal means to notify_classes, read from its enhanced status (RFC 3463).
static unsigned trouble_of(const char *status)
{
    if (strncmp(status + 1, ".3.5", 4) == 0)
        return SMTPD_TROUBLE_SOFTWARE;
    if (status[0] == '4' && strncmp(status + 1, ".3.", 3) == 0)
        return SMTPD_TROUBLE_RESOURCE;
    if (strncmp(status + 1, ".5.", 3) == 0)
        return SMTPD_TROUBLE_PROTOCOL;
    return strncmp(status + 1, ".6.", 3) == 0 ? SMTPD_TROUBLE_DATA : SMTPD_TROUBLE_POLICY;
}

static void note_code(struct smtpd_session *s, const char *reply)
{
    if (reply[0] == '4' || reply[0] == '5') {
        s->command_failed = true;
        s->troubles |= strlen(reply) > 8 && strncmp(reply, "421", 3) != 0 ? trouble_of(reply + 4) : 0;
    }
    if (strncmp(reply, "421", 3) == 0 || strncmp(reply, "521", 3) == 0)
        s->is_closing = true;
}

// soft_bounce turns a permanent refusal, and its enhanced status, into a temporary one.
static void soften(const struct smtpd_session *s, struct buf *reply)
{
    if (!s->settings->soft_bounce || reply->len < 4 || reply->ptr[0] != '5')
        return;
    reply->ptr[0] = '4';
    if (reply->len > 5 && reply->ptr[4] == '5' && reply->ptr[5] == '.')
        reply->ptr[4] = '4';
}

void smtpd_reply(struct smtpd_session *s, const char *format, ...)
{
    struct buf line = BUF_INIT, clean = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_vaddf(&line, format, ap);
    va_end(ap);
    soften(s, &line);
    buf_add_printable(&clean, buf_str(&line), REPLY_MAX);
    note_code(s, buf_cstr(&clean));
    s->reply_start = stream_unflushed(s->stream);
    stream_write_str(s->stream, buf_str(&clean));
    stream_write(s->stream, "\r\n", 2);
    buf_release(&line);
    buf_release(&clean);
}

void smtpd_reply_lines(struct smtpd_session *s, int code, const char *const *lines, size_t count)
{
    s->reply_start = stream_unflushed(s->stream);
    for (size_t i = 0; i < count; i++)
        stream_printf(s->stream, "%d%c%s\r\n", code, i + 1 < count ? '-' : ' ', lines[i]);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void smtpd_limit_wait(struct smtpd_session *s)
{
    int64_t deadline =
        s->settings->smtpd_per_request_deadline ? s->request_deadline : clock_deadline(s->settings->smtpd_timeout);
    stream_set_deadline(s->stream, earlier(deadline, s->deadline));
}

void smtpd_limit_request(struct smtpd_session *s)
{
    s->request_deadline = clock_deadline(s->settings->smtpd_timeout);
    smtpd_limit_wait(s);
}

void smtpd_limit_progress(struct smtpd_session *s, size_t bytes)
{
    if (s->settings->smtpd_min_data_rate > 0)
        s->request_deadline = earlier(s->request_deadline + (int64_t)bytes * 1000 / s->settings->smtpd_min_data_rate,
                                      clock_deadline(s->settings->smtpd_timeout));
}

int smtpd_flush(struct smtpd_session *s)
{
    struct err err = ERR_INIT;
    if (stream_unflushed(s->stream) == 0)
        return 0;
    stream_set_deadline(s->stream, earlier(clock_deadline(s->settings->smtpd_timeout), s->deadline));
    if (stream_flush(s->stream, &err) == 0) {
        s->reply_start = 0;
        return 0;
    }
    smtpd_lost(s, &err);
    return -1;
}

static void add_context(struct buf *b, const struct smtpd_session *s, struct str recipient)
{
    if (s->transaction.has_sender) {
        buf_add_cstr(b, " from=<");
        address_add_log(b, s->transaction.sender);
        buf_add_char(b, '>');
    }
    if (recipient.ptr != NULL) {
        buf_add_cstr(b, " to=<");
        address_add_log(b, recipient);
        buf_add_char(b, '>');
    }
    buf_addf(b, " proto=%s", s->protocol);
    if (s->helo.len > 0)
        buf_addf(b, " helo=<" STR_FMT ">", STR_ARG(s->helo));
    const struct {
        const char *name;
        struct str value;
    } login[] = {{"sasl_method", s->sasl.method}, {"sasl_username", s->sasl.username}, {"sasl_sender", s->sasl.sender}};
    for (size_t i = 0; i < sizeof(login) / sizeof(login[0]); i++)
        if (login[i].value.len > 0) {
            buf_addf(b, " %s=", login[i].name);
            buf_add_printable(b, login[i].value, 0);
        }
}

void smtpd_log_decision(struct smtpd_session *s, const char *verb, const struct access_reason *reason, struct str text,
                        struct str recipient)
{
    struct buf context = BUF_INIT;
    add_context(&context, s, recipient);
    if (s->settings->smtpd_log_decision && reason->parameter != NULL) {
        buf_add_cstr(&context, " decision=<");
        access_reason_add(&context, reason);
        buf_add_char(&context, '>');
    }
    struct str id = smtpd_queue_id(s);
    log_info(STR_FMT ": %s: %s from " STR_FMT ": " STR_FMT ";%s", STR_ARG(id), verb, s->stage, STR_ARG(s->client_log),
             STR_ARG(text), buf_cstr(&context));
    buf_release(&context);
}

void smtpd_reject(struct smtpd_session *s, const struct access_verdict *v, struct str recipient)
{
    struct buf reply = BUF_INIT;
    s->troubles |= SMTPD_TROUBLE_POLICY;
    buf_clear(&s->refused_recipient);
    buf_add_str(&s->refused_recipient, recipient);
    buf_addf(&reply, "%d %s %s", v->code, v->status, v->text);
    soften(s, &reply);
    smtpd_log_decision(s, "reject", &v->reason, buf_str(&reply), recipient);
    smtpd_reply(s, "%s", buf_cstr(&reply));
    buf_release(&reply);
}
