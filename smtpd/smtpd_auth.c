// SPDX-License-Identifier: ISC
// smtpd_auth.c: the AUTH command (RFC 4954): who may log in with which mechanisms, the conversation, its log lines.
//
// Passwords pass through: they are checked elsewhere (lib/sasl), logged nowhere, and wiped from the buffers of this
// session.
// Trust: responses are hostile; smtpd_sasl_response_limit bounds each. Suspends: for the client and for the verdict.
#include "smtpd/smtpd.h"
#include "smtpd/smtpd_tls.h"

static bool is_enabled(const struct smtpd_session *s)
{
    return s->daemon->sasl != NULL && !s->is_standalone && (s->ehlo_offered & SMTPD_EHLO_AUTH); // discarded: off
}

static bool lacks_encryption(const struct smtpd_session *s)
{
    const struct smtpd_tls *t = s->daemon->tls;
    return !s->tls.is_on && (s->settings->smtpd_tls_auth_only || (t != NULL && t->is_required));
}

// What the authentication server hears of the client; the texts live as long as the transaction.
static struct sasl_peer peer_of(struct smtpd_session *s)
{
    const struct tls_info *info = stream_tls_info(s->stream);
    struct buf local = BUF_INIT;

    net_addr_add_text(&local, &s->local);
    struct sasl_peer peer = {.client_address = s->client_address,
                             .client_port = s->client_port,
                             .server_address = arena_str(&s->transaction_arena, buf_str(&local)),
                             .server_port = arena_strf(&s->transaction_arena, "%u", net_addr_port(&s->local)),
                             .is_encrypted = s->tls.is_on,
                             .has_valid_certificate = s->tls.has_certificate && s->tls.is_trusted,
                             .certificate_name = info != NULL && info->has_one_name ? s->tls.subject : STR("")};
    buf_release(&local);
    return peer;
}

bool smtpd_auth_offer(struct smtpd_session *s, struct buf *mechanisms_r)
{
    struct err err = ERR_INIT;

    if (!is_enabled(s) || lacks_encryption(s))
        return false;
    const struct sasl_peer peer = peer_of(s);
    int found = match_list_has_addr(s->daemon->sasl_exceptions, s->client_name, &s->peer, &err);
    if (found > 0)
        return false;
    if (found == 0)
        found = sasl_server_mechanisms(s->daemon->sasl, &peer, mechanisms_r, &err);
    if (found < 0)
        log_warn("%s", err.text);
    else if (found == 0)
        log_warn("no SASL authentication mechanisms");
    return found > 0;
}

// ---- The conversation

// The next response. 1; 0: the reply (a refusal) was sent; -1: the client is gone.
static int read_response(struct smtpd_session *s, struct buf *response_r) CO
{
    struct err err = ERR_INIT;
    struct raw line;
    enum line_end end;

    if (smtpd_flush(s) < 0)
        return -1;
    smtpd_limit_wait(s);
    int got = stream_read_line(s->stream, (size_t)s->settings->smtpd_sasl_response_limit, &line, &end, &err);
    if (got <= 0 || end == LINE_EOF) {
        if (got >= 0)
            err_set(&err, ERR_PROTOCOL, "lost connection");
        smtpd_lost(s, &err);
        return -1;
    }
    if (end == LINE_CUT) {
        log_warn(STR_FMT ": SASL response longer than %lld", STR_ARG(s->client_log),
                 (long long)s->settings->smtpd_sasl_response_limit);
        if (!smtpd_skip_line(s))
            return -1;
        smtpd_reply(s, "500 5.5.6 SASL response limit exceeded");
        return 0;
    }
    s->has_bare_lf |= end == LINE_LF;
    buf_clear(response_r);
    buf_add_str(response_r, raw_unchecked(line));
    return 1;
}

static void log_library(const struct sasl_answer *answer)
{
    struct str line, rest = buf_str(&answer->log);
    while (str_token(&rest, "\n", &line))
        log_warn(STR_FMT, STR_ARG(line));
}

static void refuse(struct smtpd_session *s, struct str mechanism, const struct sasl_answer *answer)
{
    struct str reason = answer->reason.len > 0 ? buf_str(&answer->reason) : STR("(reason unavailable)");
    struct str user = answer->username.len > 0 ? buf_str(&answer->username) : STR("(unavailable)");

    log_warn(STR_FMT ": SASL " STR_FMT " authentication failed: " STR_FMT ", sasl_username=" STR_FMT,
             STR_ARG(s->client_log), STR_ARG(mechanism), STR_ARG(reason), STR_ARG(user));
    if (answer->outcome == SASL_ANSWER_TEMPORARY)
        smtpd_reply(s, "454 4.7.0 Temporary authentication failure: " STR_FMT, STR_ARG(reason));
    else
        smtpd_reply(s, "535 5.7.8 Error: authentication failed: " STR_FMT, STR_ARG(reason));
}

// Challenges and responses until there is a verdict. False: the reply was sent, or the client is gone.
static bool converse(struct smtpd_session *s, struct sasl_exchange *x, struct str mechanism,
                     struct sasl_answer *answer) CO
{
    struct buf response = BUF_INIT;
    int got = 1;

    while (answer->outcome == SASL_ANSWER_CONTINUE && got > 0) {
        // As it is: a challenge may be longer than any other reply.
        stream_printf(s->stream, "334 " STR_FMT "\r\n", STR_ARG(buf_str(&answer->challenge)));
        got = read_response(s, &response);
        if (got > 0 && str_is(buf_str(&response), STR("*"))) {
            log_warn(STR_FMT ": SASL " STR_FMT " authentication aborted", STR_ARG(s->client_log), STR_ARG(mechanism));
            smtpd_reply(s, "501 5.7.0 Authentication aborted");
            got = 0;
        } else if (got > 0) {
            sasl_exchange_step(x, buf_str(&response), answer);
            log_library(answer);
        }
        buf_wipe(&response);
    }
    return got > 0;
}

static void authenticate(struct smtpd_session *s, struct str mechanism, struct str initial) CO
{
    struct arena *a = &s->session_arena;
    struct sasl_answer answer = SASL_ANSWER_INIT;
    const struct sasl_peer peer = peer_of(s);
    struct sasl_exchange *x = sasl_exchange_new(s->daemon->sasl, &peer);
    sasl_exchange_start(x, mechanism, initial, &answer);
    log_library(&answer);
    if (converse(s, x, mechanism, &answer)) {
        if (answer.outcome == SASL_ANSWER_ACCEPTED) {
            s->sasl.method = arena_str(a, mechanism);
            s->sasl.username = arena_str(a, buf_str(&answer.username));
            smtpd_reply(s, "235 2.7.0 Authentication successful");
        } else {
            refuse(s, mechanism, &answer);
        }
    }
    sasl_exchange_free(x);
    sasl_answer_clear(&answer);
}

// Why not now, or NULL.
static const char *obstacle(const struct smtpd_session *s)
{
    if (s->helo.len == 0 && s->settings->smtpd_helo_required)
        return "503 5.5.1 Error: send HELO/EHLO first";
    if (!is_enabled(s))
        return "503 5.5.1 Error: authentication not enabled";
    if (s->transaction.has_sender)
        return "503 5.5.1 Error: MAIL transaction in progress";
    if (lacks_encryption(s))
        return "538 5.7.11 Encryption required for requested authentication mechanism";
    if (s->sasl.method.len > 0)
        return "503 5.5.1 Error: already authenticated";
    return NULL;
}

void smtpd_auth(struct smtpd_session *s, struct str arguments)
{
    struct str words[3], rest = arguments;
    const char *why_not = obstacle(s);
    size_t count = 0;

    while (why_not == NULL && count < 3 && str_token(&rest, " \t", &words[count]))
        count++;
    if (why_not != NULL) {
        smtpd_reply(s, "%s", why_not);
    } else if (count < 1 || count > 2) {
        smtpd_reply(s, "501 5.5.4 Syntax: AUTH mechanism");
    } else if (smtpd_limit_auth(s)) {
        struct buf mechanism = BUF_INIT, initial = BUF_INIT; // what is read next overwrites the line
        buf_add_printable(&mechanism, words[0], SASL_NAME_MAX);
        if (count == 2 && !str_is(words[1], STR("=")))
            buf_add_str(&initial, words[1]);
        authenticate(s, buf_str(&mechanism), count == 2 ? buf_str(&initial) : STR_NULL);
        buf_release(&mechanism);
        buf_wipe(&initial);
    }
    stream_wipe(s->stream);
}
