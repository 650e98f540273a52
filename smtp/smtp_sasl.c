// SPDX-License-Identifier: ISC
// smtp_sasl.c: logs in at a server that offers AUTH, when there are credentials for it (RFC 4954).
// Trust: the server is hostile: it chooses among the mechanisms that our options allow, and its challenges are bounded.
// Suspends: table lookups, the conversation.
#include "lib/base/log.h"
#include "lib/net/tls.h"
#include "smtp/smtp_sasl_impl.h"

#define STEPS_MAX 20 // of a conversation

static int open_security(struct smtp_sasl *sasl, const struct smtp_profile *p, struct err *err)
{
    const struct str options[SMTP_SASL_PROTECTIONS] = {p->sasl_security_options, p->sasl_tls_security_options,
                                                       p->sasl_tls_verified_security_options};
    for (size_t i = 0; i < SMTP_SASL_PROTECTIONS; i++)
        if (sasl_security_parse(options[i], &sasl->security[i], err) < 0)
            return -1;
    return 0;
}

int smtp_sasl_open(struct smtp_client *client, struct err *err)
{
    const struct smtp_profile *p = &client->profile;
    const struct settings *set = client->settings;

    if (!p->sasl_auth_enable)
        return 0;
    if (!str_is_nocase(p->sasl_type, STR("cyrus")))
        return err_set(err, ERR_PERMANENT, "unsupported SASL client implementation: " STR_FMT, STR_ARG(p->sasl_type));
    struct smtp_sasl *sasl = client->sasl = MEM_NEW(struct smtp_sasl);
    sasl->passwords = table_list_open(p->sasl_password_maps, 0);
    if (p->sasl_mechanism_filter.len > 0 && (sasl->filter = match_list_open(p->sasl_mechanism_filter, 0, err)) == NULL)
        return -1;
    if (!p->is_lmtp && set->smtp_sender_dependent_authentication &&
        (sasl->local_domains = match_list_open(set->mydestination, 0, err)) == NULL)
        return -1;
    if (p->sasl_auth_cache_name.len > 0)
        sasl->cache = table_open(p->sasl_auth_cache_name, TABLE_WRITE);
    return open_security(sasl, p, err) < 0 ? -1 : sasl_client_open(set, err);
}

void smtp_sasl_close(struct smtp_client *client)
{
    struct smtp_sasl *sasl = client->sasl;

    if (sasl == NULL)
        return;
    table_list_close(sasl->passwords);
    match_list_close(sasl->filter);
    match_list_close(sasl->local_domains);
    if (sasl->cache != NULL)
        table_close(sasl->cache);
    mem_free(sasl);
}

void smtp_sasl_add_key(struct smtp_delivery *sd, struct buf *key)
{
    struct smtp_credentials c;
    int found = smtp_credentials_by_sender(sd, &c);

    if (found > 0)
        buf_addf(key, "\nlogin=" STR_FMT, STR_ARG(c.username));
    else if (found < 0)
        buf_add_cstr(key, "\nlogin?"); // a connection of its own, which will not get that far
    smtp_credentials_clear(&c);
}

// ---- Failures

static struct smtp_failure *fail(struct smtp_delivery *sd, const struct smtp_session *s, struct smtp_failure *f)
{
    f->is_destination = true;
    return smtp_failure_with_session(f, sd, s);
}

static struct smtp_failure *fail_here(struct smtp_delivery *sd, const struct smtp_session *s, const char *reason)
{
    return fail(sd, s,
                smtp_failure_new(sd, false, "4.7.0", "SASL authentication failed; cannot authenticate to server %s: %s",
                                 s->place, reason));
}

static struct smtp_failure *fail_said(struct smtp_delivery *sd, const struct smtp_session *s)
{
    bool is_permanent = s->reply.code / 100 == 5 && !sd->client->profile.sasl_auth_soft_bounce;
    struct str dsn = smtp_reply_dsn(&s->reply, is_permanent ? '5' : '4', sd->arena),
               text = smtp_reply_joined(&s->reply, sd->arena);
    struct smtp_failure *f = smtp_failure_new(
        sd, is_permanent, dsn.ptr, "SASL authentication failed; server %s said: " STR_FMT, s->place, STR_ARG(text));
    f->report.diag_type = STR("smtp");
    f->report.diag_text = text;
    return fail(sd, s, f);
}

// ---- The conversation

static void log_library(const struct sasl_move *move)
{
    struct str line, rest = buf_str(&move->log);
    while (str_token(&rest, "\n", &line))
        log_warn(STR_FMT, STR_ARG(line));
}

// What is left of the server's offer.
static int choose_mechanisms(const struct smtp_sasl *sasl, const struct smtp_session *s, struct buf *list_r,
                             struct err *err) CO
{
    struct str word, rest = str_from(s->mechanisms);

    while (str_token(&rest, " \t", &word)) {
        int matches = word.len > SASL_NAME_MAX ? 0 : sasl->filter == NULL ? 1 : match_list_has(sasl->filter, word, err);
        if (matches < 0)
            return -1;
        if (matches > 0)
            buf_addf(list_r, "%s" STR_FMT, list_r->len > 0 ? " " : "", STR_ARG(word));
    }
    return 0;
}

static struct str challenge_of(const struct smtp_session *s)
{
    struct str line, rest = buf_str(&s->reply.text);
    str_cut(&rest, '\n', &line);
    return str_trim(str_slice(line, 4, line.len)); // after "334 "
}

// Sends what move says and hears the reply. -1: *failure_r.
static int say(struct smtp_delivery *sd, struct smtp_session *s, const struct sasl_move *move,
               struct smtp_failure **failure_r) CO
{
    struct err err = ERR_INIT;
    const char *response = move->has_response && move->response.len == 0 ? "=" : buf_cstr(&move->response);

    if (move->mechanism.len > 0)
        stream_printf(s->stream, "AUTH %s%s%s\r\n", buf_cstr(&move->mechanism), move->has_response ? " " : "",
                      move->has_response ? response : "");
    else
        stream_printf(s->stream, "%s\r\n", buf_cstr(&move->response));
    if (move->mechanism.len > 0)
        smtp_transcript_sent(s->transcript, arena_strf(sd->arena, "AUTH " STR_FMT, STR_ARG(buf_str(&move->mechanism))));
    smtp_transcript_private(s->transcript, true);
    int rc = smtp_session_command(s, sd->client->profile.helo_timeout, &err);
    smtp_transcript_private(s->transcript, false);
    stream_wipe(s->stream);
    if (rc < 0)
        *failure_r = smtp_failure_lost(sd, s, sd->client->profile.is_lmtp ? SMTP_STEP_LHLO : SMTP_STEP_EHLO, &err);
    return rc;
}

static struct smtp_failure *converse(struct smtp_delivery *sd, struct smtp_session *s, const struct sasl_login *login,
                                     struct str mechanisms) CO
{
    int64_t deadline = clock_deadline(sd->client->profile.helo_timeout);
    struct sasl_move move = SASL_MOVE_INIT;
    struct err err = ERR_INIT;
    struct smtp_failure *f = NULL;
    struct sasl_client_exchange *x = sasl_client_begin(login, mechanisms, deadline, &move, &err);
    int steps = 0, rc = x == NULL ? -1 : 0;

    log_library(&move);
    while (rc == 0 && say(sd, s, &move, &f) == 0 && s->reply.code / 100 == 3) {
        rc = ++steps > STEPS_MAX ? err_set(&err, ERR_PROTOCOL, "too many challenges")
                                 : sasl_client_answer(x, challenge_of(s), deadline, &move, &err);
        log_library(&move);
    }
    if (rc < 0)
        f = fail_here(sd, s, err.text);
    else if (f == NULL && s->reply.code / 100 != 2)
        f = fail_said(sd, s);
    sasl_client_end(x);
    sasl_move_clear(&move);
    return f;
}

static unsigned port_of(const struct smtp_session *s)
{
    struct str relay = str_from(s->relay);
    uint64_t port = 0;
    (void)str_to_u64(str_slice(relay, (size_t)(str_rfind(relay, ':') + 1), relay.len), &port);
    return (unsigned)port;
}

static struct smtp_failure *login_with(struct smtp_delivery *sd, struct smtp_session *s,
                                       const struct smtp_credentials *c) CO
{
    const struct smtp_sasl *sasl = sd->client->sasl;
    const struct tls_info *tls = stream_tls_info(s->stream);
    enum smtp_sasl_protection protection = tls == NULL       ? SMTP_SASL_PLAIN
                                           : tls->is_matched ? SMTP_SASL_VERIFIED
                                                             : SMTP_SASL_TLS;
    const struct sasl_login login = {.service = sd->client->profile.is_lmtp ? "lmtp" : "smtp",
                                     .host = s->name,
                                     .port = port_of(s),
                                     .username = c->username,
                                     .password = c->password,
                                     .security = sasl->security[protection],
                                     .sends_authzid = sd->client->settings->send_cyrus_sasl_authzid};
    struct buf mechanisms = BUF_INIT;
    struct err err = ERR_INIT;
    struct smtp_failure *f = NULL;

    if (choose_mechanisms(sasl, s, &mechanisms, &err) < 0) {
        f = fail_here(sd, s, err.text);
    } else if (mechanisms.len == 0) {
        log_warn("%s offered no supported AUTH mechanisms: '%s'", s->relay, s->mechanisms);
        f = fail(sd, s,
                 smtp_failure_new(sd, false, "4.7.0",
                                  "SASL authentication failed: server %s offered no compatible "
                                  "authentication mechanisms for this type of connection security",
                                  s->place));
    } else if ((f = smtp_sasl_cache_find(sd, s, c)) != NULL) {
        f = fail(sd, s, f);
    } else {
        f = converse(sd, s, &login, buf_str(&mechanisms));
        if (f != NULL && s->reply.code == 535)
            smtp_sasl_cache_add(sd, s, c);
    }
    buf_release(&mechanisms);
    return f;
}

struct smtp_failure *smtp_sasl_login(struct smtp_delivery *sd, struct smtp_session *s)
{
    struct smtp_credentials c;
    struct smtp_failure *f = NULL;

    if (sd->client->sasl == NULL || !(s->features & SMTP_HAS_AUTH))
        return NULL;
    int found = smtp_credentials_find(sd, s, &c);
    if (found < 0)
        f = fail(sd, s, smtp_failure_new(sd, false, "4.3.0", "local data error while talking to %s", s->place));
    else if (found > 0)
        f = login_with(sd, s, &c);
    smtp_credentials_clear(&c);
    return f;
}
