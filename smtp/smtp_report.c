// SPDX-License-Identifier: ISC
// smtp_report.c: what is told about each recipient: reasons, status codes, feedback to the queue manager.
// Trust: reply texts come from hostile servers and were made printable when they were read.
// Suspends: settling a recipient.
#include "smtp/smtp.h"

#define REPLY_TEXT_MAX 800                                    // of a server's words in a reason
enum { SYNTAX_ERROR = 500, PARAMETER_NOT_IMPLEMENTED = 504 }; // RFC 5321 4.2.3: the first and the last of a kind

static const struct {
    const char *command; // "in reply to COMMAND"
    const char *doing;   // "lost connection while DOING"
} steps[] = {
    [SMTP_STEP_GREETING] = {"initial greeting", "receiving the initial server greeting"},
    [SMTP_STEP_EHLO] = {"EHLO command", "performing the EHLO handshake"},
    [SMTP_STEP_HELO] = {"HELO command", "performing the HELO handshake"},
    [SMTP_STEP_LHLO] = {"LHLO command", "performing the LHLO handshake"},
    [SMTP_STEP_STARTTLS] = {"STARTTLS command", "receiving the STARTTLS response"},
    [SMTP_STEP_XFORWARD_NAME] = {"XFORWARD name/address command", "sending XFORWARD name/address"},
    [SMTP_STEP_XFORWARD_PROTO] = {"XFORWARD helo/protocol command", "sending XFORWARD protocol/helo_name"},
    [SMTP_STEP_MAIL] = {"MAIL FROM command", "sending MAIL FROM"},
    [SMTP_STEP_RCPT] = {"RCPT TO command", "sending RCPT TO"},
    [SMTP_STEP_DATA] = {"DATA command", "sending DATA command"},
    [SMTP_STEP_BODY] = {"message body", "sending message body"},
    [SMTP_STEP_END] = {"end of DATA command", "sending end of data -- message may be sent more than once"},
    [SMTP_STEP_RSET] = {"final RSET command", "sending final RSET"},
    [SMTP_STEP_QUIT] = {"QUIT command", "sending QUIT"},
};

struct smtp_failure *smtp_failure_new(struct smtp_delivery *sd, bool is_permanent, const char *dsn, const char *format,
                                      ...)
{
    struct smtp_failure *f = ARENA_NEW(sd->arena, struct smtp_failure);
    struct buf text = BUF_INIT;
    va_list ap;

    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    f->report.status = is_permanent ? DELIVERY_BOUNCED : DELIVERY_DEFERRED;
    f->report.dsn = arena_str(sd->arena, str_from(dsn));
    f->report.text = arena_str(sd->arena, str_slice(buf_str(&text), 0, DELIVERY_TEXT_MAX));
    f->report.relay = STR("none");
    f->report.connected_us = sd->connected_us;
    f->report.start_us = sd->start_us;
    if (sd->client->profile.log_tls_feature_status)
        f->report.tls = sd->tls_status;
    buf_release(&text);
    return f;
}

struct smtp_failure *smtp_failure_with_session(struct smtp_failure *f, struct smtp_delivery *sd,
                                               const struct smtp_session *s)
{
    f->report.relay = arena_str(sd->arena, str_from(s->relay));
    f->report.mta_name = arena_str(sd->arena, str_from(s->name));
    f->report.connection_uses = s->uses;
    f->report.start_us = sd->start_us;
    return f;
}

static struct str reply_text(struct smtp_delivery *sd, const struct smtp_session *s)
{
    return str_slice(smtp_reply_joined(&s->reply, sd->arena), 0, REPLY_TEXT_MAX);
}

struct smtp_failure *smtp_failure_said(struct smtp_delivery *sd, const struct smtp_session *s, enum smtp_step step)
{
    bool is_hello = step <= SMTP_STEP_LHLO;
    bool is_permanent = s->reply.code >= 500 && !(is_hello && sd->client->profile.skip_5xx_greeting);
    struct str dsn = smtp_reply_dsn(&s->reply, is_permanent ? '5' : '4', sd->arena);
    struct str text = reply_text(sd, s);
    struct smtp_failure *f;

    if (is_hello)
        f = smtp_failure_new(sd, is_permanent, dsn.ptr, "host %s refused to talk to me: " STR_FMT, s->place,
                             STR_ARG(text));
    else
        f = smtp_failure_new(sd, is_permanent, dsn.ptr, "host %s said: " STR_FMT " (in reply to %s)", s->place,
                             STR_ARG(text), steps[step].command);
    f->is_destination = is_hello || s->reply.code == 421;
    if (s->reply.code < 400 || (s->reply.code >= SYNTAX_ERROR && s->reply.code <= PARAMETER_NOT_IMPLEMENTED))
        smtp_transcript_trouble(s->transcript); // one of us does not know the protocol
    f->report.diag_type = STR("smtp");
    f->report.diag_text = text;
    return smtp_failure_with_session(f, sd, s);
}

struct smtp_failure *smtp_failure_lost(struct smtp_delivery *sd, struct smtp_session *s, enum smtp_step step,
                                       const struct err *err)
{
    const char *doing = steps[step].doing;
    struct smtp_failure *f;

    if (err->kind == ERR_TIMEOUT)
        f = smtp_failure_new(sd, false, "4.4.2", "conversation with %s timed out while %s", s->place, doing);
    else if (s->reply.is_malformed)
        f = smtp_failure_new(sd, false, "4.5.0", "host %s sent a malformed reply while %s", s->place, doing);
    else
        f = smtp_failure_new(sd, false, "4.4.2", "lost connection with %s while %s", s->place, doing);
    s->must_close = true;
    f->is_destination = true;
    return smtp_failure_with_session(f, sd, s);
}

void smtp_failure_apply(struct smtp_delivery *sd, struct smtp_failure *f)
{
    for (size_t i = 0; i < sd->delivery->request.recipient_count; i++)
        if (smtp_is_open(sd, i))
            sd->failures[i] = f;
}

static struct str tls_text(const struct smtp_delivery *sd, const struct smtp_session *s)
{
    if (!sd->client->profile.log_tls_feature_status)
        return STR("");
    return s->delivery_status.len > 0 ? s->delivery_status : str_from(s->tls_status);
}

void smtp_report_sent(struct smtp_delivery *sd, const struct smtp_session *s, size_t i)
{
    struct str text = reply_text(sd, s);
    struct delivery_report report = {
        .status = DELIVERY_SENT,
        .dsn = smtp_reply_dsn(&s->reply, '2', sd->arena),
        .text = text,
        .relay = str_from(s->relay),
        .mta_name = str_from(s->name),
        .diag_type = STR("smtp"),
        .diag_text = text,
        .connected_us = sd->connected_us,
        .start_us = sd->start_us,
        .connection_uses = s->uses,
        .tls = tls_text(sd, s),
        .relays_dsn = (s->features & SMTP_HAS_DSN) != 0,
        .action = sd->client->profile.assume_final && !(s->features & SMTP_HAS_DSN) ? "delivered" : "relayed",
    };

    delivery_settle(sd->delivery, i, &report);
}

void smtp_report_failures(struct smtp_delivery *sd, bool all)
{
    struct delivery *d = sd->delivery;

    for (size_t i = 0; i < d->request.recipient_count; i++) {
        struct smtp_failure *f = sd->failures[i];
        if (!smtp_is_open(sd, i) || f == NULL ||
            !(all || f->is_final || (f->report.status == DELIVERY_BOUNCED && !f->asks_others)))
            continue;
        if (f->is_destination && f->report.status == DELIVERY_DEFERRED && !d->destination_failed)
            delivery_destination_failed(d, f->report.dsn, f->report.text);
        delivery_settle(d, i, &f->report);
    }
}
