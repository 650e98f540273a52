// SPDX-License-Identifier: ISC
// smtp_session.c: one connection to a server: connecting, greeting, hello, replies, the end.
// Trust: the server is hostile: lines and replies are bounded, every wait has a deadline.
// Suspends: everything but new and drop.
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "smtp/smtp.h"

#define GREETING_CODE 220
#define CUTS_MAX      64 // pieces of SMTP_REPLY_LINE_MAX bytes of one reply line that are read past

struct smtp_session *smtp_session_new(const struct smtp_client *client, struct stream *stream, struct str key,
                                      const struct smtp_host *host)
{
    struct smtp_session *s = MEM_NEW(struct smtp_session);

    list_init(&s->link);
    s->client = client;
    s->stream = stream;
    s->key = mem_dup_str(key);
    s->name = mem_dup_str(host->name);
    s->place = mem_dup_str(host->place);
    s->relay = mem_dup_str(host->relay);
    s->tls_status = mem_strdup("none");
    s->transcript = smtp_transcript_new(client);
    s->retire_ms = clock_deadline(client->profile.connection_reuse_time_limit);
    return s;
}

static void session_free(struct smtp_session *s)
{
    smtp_transcript_end(s->transcript, s->client, s->relay);
    stream_free(s->stream);
    smtp_reply_release(&s->reply);
    mem_free(s->key);
    mem_free(s->name);
    mem_free(s->place);
    mem_free(s->relay);
    mem_free(s->mechanisms);
    mem_free(s->tls_status);
    mem_free(s->tls_session);
    mem_free(s);
}

int smtp_session_flush(struct smtp_session *s, int64_t seconds, struct err *err)
{
    stream_set_deadline(s->stream, clock_deadline(seconds));
    smtp_transcript_sent(s->transcript, buf_str(stream_output(s->stream)));
    return stream_flush(s->stream, err);
}

// Reads past the rest of a line that is longer than any reply may be.
static int skip_rest_of_line(struct smtp_session *s, struct err *err) CO
{
    struct raw rest;
    enum line_end end;

    for (int i = 0; i < CUTS_MAX; i++) {
        int got = stream_read_line(s->stream, SMTP_REPLY_LINE_MAX, &rest, &end, err);
        if (got <= 0)
            return got < 0 ? -1 : err_set(err, ERR_PROTOCOL, "connection closed");
        if (end != LINE_CUT)
            return 0;
    }
    s->reply.is_malformed = true;
    return err_set(err, ERR_PROTOCOL, "endless reply line");
}

int smtp_session_reply(struct smtp_session *s, int64_t seconds, struct err *err)
{
    struct raw line;
    enum line_end end;

    smtp_reply_clear(&s->reply);
    stream_set_deadline(s->stream, clock_deadline(seconds)); // for the whole reply, however many lines
    for (;;) {
        int got = stream_read_line(s->stream, SMTP_REPLY_LINE_MAX, &line, &end, err);
        if (got < 0)
            return -1;
        if (got == 0 || end == LINE_EOF)
            return err_set(err, ERR_PROTOCOL, "connection closed");
        smtp_transcript_heard(s->transcript, line);
        int complete = smtp_reply_add_line(&s->reply, line);
        if (complete < 0)
            return err_set(err, ERR_PROTOCOL, "malformed reply");
        if (end == LINE_CUT && skip_rest_of_line(s, err) < 0)
            return -1;
        if (complete)
            break;
    }
    if (s->reply.code == 421)
        s->must_close = true;
    return 0;
}

int smtp_session_command(struct smtp_session *s, int64_t seconds, struct err *err)
{
    if (smtp_session_flush(s, seconds, err) < 0)
        return -1;
    return smtp_session_reply(s, seconds, err);
}

// Is mail for this port guarded against loops? As everywhere: only on the port of public mail.
static bool detects_loops(const struct smtp_delivery *sd, const struct smtp_session *s)
{
    return !sd->client->profile.is_lmtp && str_ends(str_from(s->relay), STR(":25"));
}

// Sends one hello. 1 accepted, 0 refused (the reply is in s->reply), -1 lost.
static int say_hello(struct smtp_session *s, const char *verb, struct err *err) CO
{
    const struct smtp_profile *p = &s->client->profile;

    stream_printf(s->stream, "%s " STR_FMT "\r\n", verb, STR_ARG(p->helo_name));
    if (smtp_session_command(s, p->helo_timeout, err) < 0)
        return -1;
    return s->reply.code / 100 == 2;
}

static void take_features(struct smtp_session *s)
{
    struct buf mechanisms = BUF_INIT;

    s->features = smtp_reply_features(&s->reply, s->client->profile.discard_ehlo_keywords, &s->size_limit);
    smtp_reply_add_mechanisms(&s->reply, &mechanisms);
    mem_free(s->mechanisms);
    s->mechanisms = mem_dup_str(buf_str(&mechanisms));
    buf_release(&mechanisms);
}

static struct smtp_failure *introduce(struct smtp_delivery *sd, struct smtp_session *s, bool greets_esmtp) CO
{
    const struct smtp_profile *p = &s->client->profile;
    struct err err = ERR_INIT;
    enum smtp_step step = p->is_lmtp ? SMTP_STEP_LHLO : SMTP_STEP_EHLO;
    int accepted = 0;

    if (p->is_lmtp || (!p->never_send_ehlo && (p->always_send_ehlo || greets_esmtp))) {
        accepted = say_hello(s, p->is_lmtp ? "LHLO" : "EHLO", &err);
        if (accepted > 0)
            take_features(s);
        else if (accepted == 0 && (p->is_lmtp || s->reply.code / 100 != 5 || s->must_close))
            return smtp_failure_said(sd, s, step);
    }
    if (accepted == 0) {
        step = SMTP_STEP_HELO;
        accepted = say_hello(s, "HELO", &err);
    }
    if (accepted < 0)
        return smtp_failure_lost(sd, s, step, &err);
    if (accepted == 0)
        return smtp_failure_said(sd, s, step);
    if (detects_loops(sd, s) && str_is_nocase(smtp_reply_first_word(&s->reply), sd->client->settings->myhostname)) {
        log_warn("host %s replied to HELO/EHLO with my own hostname " STR_FMT, s->relay,
                 STR_ARG(sd->client->settings->myhostname));
        return smtp_failure_with_session(
            smtp_failure_new(sd, true, "5.4.6", "mail for " STR_FMT " loops back to myself", STR_ARG(sd->domain)), sd,
            s);
    }
    return NULL;
}

// ---- TLS

static struct smtp_failure *unprotected(struct smtp_delivery *sd, struct smtp_session *s, struct smtp_failure *f)
{
    f->is_destination = true;
    return smtp_failure_with_session(f, sd, s);
}

static void note_plain(struct smtp_delivery *sd, struct smtp_session *s, const char *final)
{
    enum tls_level configured = sd->tls_need->configured;

    sd->tls_status = smtp_tls_status(configured, configured > TLS_LEVEL_NONE ? final : NULL,
                                     sd->tls_need->level > TLS_LEVEL_MAY, sd->arena);
    mem_free(s->tls_status);
    s->tls_status = mem_dup_str(sd->tls_status);
}

// STARTTLS and its answer. 1: go on with the handshake, 0: the server would rather not, -1: *failure_r.
static int ask_for_tls(struct smtp_delivery *sd, struct smtp_session *s, struct smtp_failure **failure_r) CO
{
    struct err err = ERR_INIT;

    stream_write_str(s->stream, STR("STARTTLS\r\n"));
    if (smtp_session_command(s, s->client->profile.starttls_timeout, &err) < 0) {
        *failure_r = smtp_failure_lost(sd, s, SMTP_STEP_STARTTLS, &err);
        return -1;
    }
    if (s->must_close) {
        *failure_r = smtp_failure_said(sd, s, SMTP_STEP_STARTTLS);
        return -1;
    }
    return s->reply.code == GREETING_CODE;
}

static struct smtp_failure *secure(struct smtp_delivery *sd, struct smtp_session *s) CO
{
    bool is_required = sd->tls_need->level > TLS_LEVEL_MAY;
    struct smtp_failure *f = NULL;

    if (!(s->features & SMTP_HAS_STARTTLS)) {
        note_plain(sd, s, is_required ? "nostarttls" : "none");
        return !is_required
                   ? NULL
                   : unprotected(sd, s,
                                 smtp_failure_new(sd, false, "4.7.4", "TLS is required, but was not offered by host %s",
                                                  s->place));
    }
    if (sd->client->tls.context == NULL) {
        note_plain(sd, s, "noencryption");
        return !is_required ? NULL
                            : unprotected(sd, s,
                                          smtp_failure_new(sd, false, "4.7.5",
                                                           "TLS is required, but our TLS engine is unavailable"));
    }
    int answer = ask_for_tls(sd, s, &f);
    if (answer < 0)
        return f;
    if (answer == 0) {
        note_plain(sd, s, "noencryption");
        struct str dsn = smtp_reply_dsn(&s->reply, '4', sd->arena), text = smtp_reply_joined(&s->reply, sd->arena);
        return !is_required
                   ? NULL
                   : unprotected(sd, s,
                                 smtp_failure_new(sd, false, dsn.ptr,
                                                  "TLS is required, but host %s refused to start TLS: " STR_FMT,
                                                  s->place, STR_ARG(text)));
    }
    f = smtp_tls_start(sd, s);
    if (f != NULL)
        return f;
    s->features = 0; // what was said in the clear is forgotten (RFC 3207 4.2)
    return introduce(sd, s, true);
}

// Without TLS: by the level, or because it failed a moment ago.
static void note_no_tls(struct smtp_delivery *sd, struct smtp_session *s)
{
    note_plain(sd, s, "noencryption");
    if (sd->tls_need->configured == TLS_LEVEL_NONE && s->client->profile.tls_note_starttls_offer &&
        (s->features & SMTP_HAS_STARTTLS))
        log_info("Host offered STARTTLS: [%s]", s->name);
}

struct smtp_failure *smtp_session_hello(struct smtp_delivery *sd, struct smtp_session *s)
{
    struct err err = ERR_INIT;
    bool wants_tls = sd->tls_need != NULL && sd->tls_need->level > TLS_LEVEL_NONE;
    struct smtp_failure *f = NULL;

    if (wants_tls && s->client->profile.tls_wrappermode) {
        if (sd->client->tls.context == NULL) {
            s->must_close = true;
            return unprotected(
                sd, s, smtp_failure_new(sd, false, "4.7.5", "TLS is required, but our TLS engine is unavailable"));
        }
        f = smtp_tls_start(sd, s);
        if (f != NULL)
            return f;
    }
    if (smtp_session_reply(s, s->client->profile.helo_timeout, &err) < 0)
        return smtp_failure_lost(sd, s, SMTP_STEP_GREETING, &err);
    if (s->reply.code != GREETING_CODE)
        return smtp_failure_said(sd, s, SMTP_STEP_GREETING);
    f = introduce(sd, s, str_find_str(buf_str(&s->reply.text), STR("ESMTP")) >= 0);
    if (f == NULL && wants_tls && stream_tls_info(s->stream) == NULL)
        f = secure(sd, s);
    else if (f == NULL && sd->tls_need != NULL && stream_tls_info(s->stream) == NULL)
        note_no_tls(sd, s);
    if (stream_tls_info(s->stream) == NULL)
        s->features &= ~(unsigned)SMTP_HAS_REQUIRETLS; // RFC 8689 2: it means nothing in the clear
    return f != NULL ? f : smtp_sasl_login(sd, s);
}

static const struct net_addr *source_for(const struct smtp_client *client, const struct net_addr *to)
{
    if (net_addr_family(to) == AF_INET && client->has_source4)
        return &client->source4;
    if (net_addr_family(to) == AF_INET6 && client->has_source6)
        return &client->source6;
    return NULL;
}

struct smtp_session *smtp_session_open(struct smtp_delivery *sd, const struct smtp_host *host,
                                       struct smtp_failure **failure_r)
{
    const struct smtp_client *client = sd->client;
    struct err err = ERR_INIT;
    // A limit of zero leaves it to the kernel, which gives up by itself.
    int64_t deadline = clock_deadline(client->profile.connect_timeout);
    struct stream *stream = stream_connect(&host->addr, source_for(client, &host->addr), deadline, &err);

    sd->start_us = 0;
    if (stream == NULL) {
        const char *why = err.kind == ERR_TIMEOUT ? strerror(ETIMEDOUT)
                          : err.errnum != 0       ? strerror(err.errnum)
                                                  : err.text;
        *failure_r = smtp_failure_new(sd, false, "4.4.1", "connect to " STR_FMT ": %s", STR_ARG(host->relay), why);
        (*failure_r)->is_destination = true;
        log_info("connect to " STR_FMT ": %s", STR_ARG(host->relay), why);
        return NULL;
    }
    struct smtp_session *s = smtp_session_new(client, stream, sd->key, host);
    s->uses = 1;
    *failure_r = smtp_session_hello(sd, s);
    if (*failure_r == NULL)
        return s;
    smtp_session_drop(s);
    return NULL;
}

void smtp_session_quit(struct smtp_session *s)
{
    const struct smtp_profile *p = &s->client->profile;
    struct err err = ERR_INIT;

    if (!s->must_close && !p->skip_quit_response) {
        stream_write_str(s->stream, STR("QUIT\r\n"));
        (void)!smtp_session_command(s, p->quit_timeout, &err); // whatever it says, this is the end
        s->must_close = true;
    }
    smtp_session_drop(s);
}

void smtp_session_drop(struct smtp_session *s)
{
    if (!s->must_close && stream_unflushed(s->stream) == 0)
        stream_send_last(s->stream, STR("QUIT\r\n")); // a courtesy
    session_free(s);
}
