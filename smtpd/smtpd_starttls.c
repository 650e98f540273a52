// SPDX-License-Identifier: ISC
// smtpd_starttls.c: STARTTLS and wrapper mode: the handshake, its log lines, what the client proved, the text for
// Received:.
// Trust: the client. Suspends: the handshake, bounded by smtpd_starttls_timeout.
#include "smtpd/smtpd.h"
#include "smtpd/smtpd_tls.h"

// ---- Log lines

static void log_lines(struct str text, const char *prefix, bool is_warning)
{
    struct str line;
    while (str_token(&text, "\n", &line)) {
        if (is_warning)
            log_warn("%s" STR_FMT, prefix, STR_ARG(line));
        else
            log_info("%s" STR_FMT, prefix, STR_ARG(line));
    }
}

static void log_failure(struct smtpd_session *s, const struct err *err)
{
    bool is_timeout = err->kind == ERR_TIMEOUT;
    log_info("SSL_accept error from " STR_FMT ": %s", STR_ARG(s->client_log),
             is_timeout ? "Connection timed out" : err->text);
    log_lines(stream_tls_problems(s->stream), "TLS library problem: ", true);
}

// Only where trust is asked for.
static void log_distrust(struct smtpd_session *s, const struct tls_info *info)
{
    bool is_issuer = strstr(info->trouble, "issuer certificate") != NULL;
    if (!s->daemon->tls->requires_certificate || !info->has_certificate || info->is_trusted)
        return;
    log_info("certificate verification failed for " STR_FMT ": %s%s", STR_ARG(s->client_log),
             is_issuer ? "untrusted issuer " : "", is_issuer ? info->issuer : info->trouble);
}

static void log_success(struct smtpd_session *s, const struct tls_info *info, int log_level)
{
    struct buf line = BUF_INIT;
    const char *trust = !info->has_certificate ? "Anonymous" : info->is_trusted ? "Trusted" : "Untrusted";
    if (log_level >= 2 && info->has_certificate)
        log_info(STR_FMT ": subject_CN=%s, issuer=%s, fingerprint=%s, pkey_fingerprint=%s", STR_ARG(s->client_log),
                 info->subject, info->issuer, info->fingerprint, info->key_fingerprint);
    if (log_level >= 2 && info->is_resumed)
        log_info(STR_FMT ": Reusing old session", STR_ARG(s->client_log));
    if (log_level < 1)
        return;
    log_distrust(s, info);
    tls_info_add_summary(info, &line);
    log_info("%s TLS connection established from " STR_FMT "%s%s: %s", trust, STR_ARG(s->client_log),
             info->server_name[0] ? " to " : "", info->server_name, buf_cstr(&line));
    buf_release(&line);
}

// ---- The handshake

static void keep_facts(struct smtpd_session *s, const struct tls_info *info)
{
    s->tls = (struct access_tls){.is_on = true,
                                 .protocol = str_from(info->protocol),
                                 .cipher = str_from(info->cipher),
                                 .cipher_bits = info->bits_used,
                                 .server_name = str_from(info->server_name),
                                 .has_certificate = info->has_certificate,
                                 .is_trusted = info->is_trusted,
                                 .subject = str_from(info->subject),
                                 .issuer = str_from(info->issuer),
                                 .certificate_fingerprint = str_from(info->fingerprint),
                                 .public_key_fingerprint = str_from(info->key_fingerprint)};
}

static bool check_certificate(struct smtpd_session *s, const struct tls_info *info)
{
    const char *lacking = !info->has_certificate ? "No client certificate presented"
                          : !info->is_trusted    ? "Client certificate not trusted"
                                                 : NULL;
    if (!s->daemon->tls->requires_certificate || lacking == NULL)
        return true;
    log_info("NOQUEUE: abort: TLS from " STR_FMT ": %s", STR_ARG(s->client_log), lacking);
    smtpd_reply(s, "421 4.7.1 " STR_FMT " Error: %s", STR_ARG(s->settings->myhostname), lacking);
    s->command_failed = false; // TLS itself was a success
    s->is_closing = true;
    return false;
}

// False: no TLS, logged; the session is over, or (a certificate is lacking) will be after the reply.
static bool start(struct smtpd_session *s, struct tls_server_context *context) CO
{
    const struct smtpd_tls *t = s->daemon->tls;
    int level = smtpd_tls_log_level(s->daemon->tls, s->client_name, s->client_address);
    struct tls_server_start how = {.log_level = tls_service_trace_level(t->service, level),
                                   .trace_size = s->settings->smtpd_tls_trace_size_limit};
    struct err err = ERR_INIT;
    int64_t deadline = clock_deadline(s->settings->smtpd_starttls_timeout);
    if (level >= 2) {
        log_info("setting up TLS connection from " STR_FMT, STR_ARG(s->client_log));
        log_info(STR_FMT ": TLS cipher list \"%s\"", STR_ARG(s->client_log), buf_cstr(&t->ciphers));
    }
    if (how.log_level < level)
        log_info(STR_FMT ": " TLS_NO_TRACE, STR_ARG(s->client_log));
    stream_set_deadline(s->stream, deadline < s->deadline ? deadline : s->deadline);
    int rc = stream_start_tls_server(s->stream, context, &how, &err);
    log_lines(stream_tls_trace(s->stream), "", false);
    if (rc < 0) {
        log_failure(s, &err);
        s->daemon->tls->next_check = 0; // the key may have been replaced
        err_set(&err, ERR_PROTOCOL, "TLS handshake failed");
        smtpd_lost(s, &err);
        return false;
    }
    const struct tls_info *info = stream_tls_info(s->stream);
    log_success(s, info, level);
    keep_facts(s, info);
    if (!info->is_resumed && smtpd_limit_tls_exceeded(s, true)) {
        smtpd_reply(s, "421 4.7.0 " STR_FMT " Error: too many new TLS sessions from " STR_FMT,
                    STR_ARG(s->settings->myhostname), STR_ARG(s->client_log));
        return false;
    }
    return check_certificate(s, info);
}

// What the client said in the clear counts no more (RFC 3207 4.2).
static void forget_clear_text(struct smtpd_session *s)
{
    smtpd_transaction_reset(s);
    s->helo = STR_NULL;
    s->sasl = (struct access_sasl){.method = STR_NULL};
    s->protocol = "SMTP";
}

void smtpd_starttls(struct smtpd_session *s, struct str arguments)
{
    struct smtpd_tls *t = s->daemon->tls;
    struct err err = ERR_INIT;
    if (arguments.len > 0) {
        smtpd_reply(s, "501 5.5.4 Syntax: STARTTLS");
        return;
    }
    if (s->tls.is_on) {
        smtpd_reply(s, "554 5.5.1 Error: TLS already active");
        return;
    }
    if (t == NULL || !t->is_wanted || s->is_standalone || !(s->ehlo_offered & SMTPD_EHLO_STARTTLS)) {
        smtpd_reply(s, "502 5.5.1 Error: command not implemented");
        return;
    }
    struct tls_server_context *context = smtpd_tls_context(t);
    if (context == NULL) {
        smtpd_reply(s, "454 4.7.0 TLS not available due to local problem");
        return;
    }
    if (smtpd_limit_tls_exceeded(s, false)) {
        log_warn("Refusing STARTTLS request from " STR_FMT " for service %s", STR_ARG(s->client_log), s->service->name);
        smtpd_reply(s, "454 4.7.0 Error: too many new TLS sessions from " STR_FMT, STR_ARG(s->client_log));
        return;
    }
    forget_clear_text(s);
    smtpd_reply(s, "220 2.0.0 Ready to start TLS");
    if (stream_flush(s->stream, &err) < 0)
        smtpd_lost(s, &err);
    else
        (void)start(s, context);
}

bool smtpd_tls_wrap(struct smtpd_session *s)
{
    struct smtpd_tls *t = s->daemon->tls;
    if (t == NULL || !t->is_wrapped || s->is_standalone)
        return true;
    struct tls_server_context *context = smtpd_tls_context(t);
    if (context == NULL) {
        log_warn("Wrapper-mode request dropped from " STR_FMT " for service %s. TLS context initialization failed. "
                 "For details see earlier warnings in your logs.",
                 STR_ARG(s->client_log), s->service->name);
        s->is_closing = true;
        return false;
    }
    if (smtpd_limit_tls_exceeded(s, false)) {
        log_warn("Refusing TLS service request from " STR_FMT " for service %s", STR_ARG(s->client_log),
                 s->service->name);
        s->is_closing = true;
        return false;
    }
    return start(s, context);
}

bool smtpd_tls_is_offered(const struct smtpd_session *s)
{
    const struct smtpd_tls *t = s->daemon->tls;
    return t != NULL && t->is_wanted && !s->tls.is_on && !s->is_standalone;
}

bool smtpd_tls_refuses(struct smtpd_session *s, enum smtp_verb verb)
{
    const struct smtpd_tls *t = s->daemon->tls;
    if (t == NULL || !t->is_required || s->tls.is_on || s->is_standalone)
        return false;
    if (verb == SMTP_HELO || verb == SMTP_EHLO || verb == SMTP_STARTTLS || verb == SMTP_NOOP || verb == SMTP_QUIT ||
        verb == SMTP_HELP || verb == SMTP_XCLIENT || verb == SMTP_UNKNOWN)
        return false;
    smtpd_reply(s, "530 5.7.0 Must issue a STARTTLS command first");
    return true;
}

// ---- Received:

static void add_clean(struct buf *b, const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        buf_add_char(b, *c == '"' || *c == '\\' || *c == '(' || *c == ')' ? '?' : *c);
}

static void add_signature(struct buf *b, const char *before, const char *side, const struct tls_signature *sig)
{
    buf_addf(b, "%s%s-signature %s", before, side, sig->name);
    if (sig->group[0])
        buf_addf(b, " (%s)", sig->group);
    else if (sig->bits > 0)
        buf_addf(b, " (%d bits)", sig->bits);
    if (sig->digest[0])
        buf_addf(b, " %s-digest %s", side, sig->digest);
}

void smtpd_tls_add_received(const struct smtpd_session *s, struct buf *b)
{
    const struct tls_info *info = stream_tls_info(s->stream);
    if (info == NULL || !s->settings->smtpd_tls_received_header)
        return;
    buf_addf(b, "\t(using %s with cipher %s (%d/%d bits)", info->protocol, info->cipher, info->bits_used,
             info->bits_algorithm);
    if (info->exchange[0]) {
        buf_addf(b, "\n\t key-exchange %s", info->exchange);
        if (info->exchange_group[0])
            buf_addf(b, " (%s)", info->exchange_group);
        else if (info->exchange_bits > 0)
            buf_addf(b, " (%d bits)", info->exchange_bits);
    }
    if (info->server.name[0])
        add_signature(b, info->exchange[0] ? " " : "\n\t ", "server", &info->server);
    if (info->client.name[0])
        add_signature(b, "\n\t ", "client", &info->client);
    buf_add_cstr(b, ")\n");
    if (!info->has_certificate) {
        buf_add_cstr(b, s->daemon->tls->asks_certificate ? "\t(Client did not present a certificate)\n"
                                                         : "\t(No client certificate requested)\n");
        return;
    }
    buf_add_cstr(b, "\t(Client CN \"");
    add_clean(b, info->subject);
    buf_add_cstr(b, "\", Issuer \"");
    add_clean(b, info->issuer);
    buf_addf(b, "\" (%s))\n", info->is_trusted ? "verified OK" : "not verified");
}
