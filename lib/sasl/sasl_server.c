// SPDX-License-Identifier: ISC
// sasl_server.c: authentication of clients: chooses the way by smtpd_sasl_type, filters mechanisms, bounds what comes
// back.
// Trust: what checks passwords is a peer: its answers are bounded and made printable. Suspends: for its answers.
#include "lib/base/log.h"
#include "lib/sasl/sasl_server_impl.h"

void sasl_answer_clear(struct sasl_answer *a)
{
    buf_wipe(&a->challenge);
    buf_release(&a->username);
    buf_release(&a->reason);
    buf_release(&a->log);
    *a = SASL_ANSWER_INIT;
}

void sasl_answer_fail(struct sasl_answer *a, enum sasl_outcome outcome, struct str reason)
{
    a->outcome = outcome;
    buf_clear(&a->reason);
    buf_add_printable(&a->reason, reason, SASL_REASON_MAX);
}

struct sasl_server *sasl_server_open(struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;
    struct sasl_server *server = MEM_NEW(struct sasl_server);

    server->settings = set;
    server->service = ctx;
    if (str_is_nocase(set->smtpd_sasl_type, STR("cyrus")))
        server->ops = &sasl_server_cyrus;
    else if (str_is_nocase(set->smtpd_sasl_type, STR("dovecot")))
        server->ops = &sasl_server_dovecot;
    int rc = server->ops != NULL ? 0
                                 : err_set(err, ERR_PERMANENT, "unsupported SASL server implementation: " STR_FMT,
                                           STR_ARG(set->smtpd_sasl_type));
    if (rc == 0)
        rc = sasl_security_parse(set->smtpd_sasl_security_options, &server->security, err);
    if (rc == 0)
        rc = sasl_security_parse(set->smtpd_sasl_tls_security_options, &server->security_encrypted, err);
    if (rc == 0 && set->smtpd_sasl_mechanism_filter.len > 0) {
        server->filter = match_list_open(set->smtpd_sasl_mechanism_filter, 0, err);
        rc = server->filter == NULL ? -1 : 0;
    }
    if (rc == 0)
        server->data = server->ops->open(server, ctx, err);
    if (rc == 0 && server->data != NULL)
        return server;
    match_list_close(server->filter);
    mem_free(server);
    return NULL;
}

void sasl_server_close(struct sasl_server *server)
{
    if (server == NULL)
        return;
    server->ops->close(server->data);
    match_list_close(server->filter);
    mem_free(server);
}

// A name as RFC 4422 3.1 wants it: what cannot stand in a reply is no mechanism.
static bool is_mechanism(struct str name)
{
    return name.len > 0 && name.len <= SASL_NAME_MAX && str_is_printable(name) && str_find(name, ' ') < 0;
}

// 1, 0, or -1: the filter cannot be asked, and so lets nothing pass.
static int filter_matches(struct sasl_server *server, struct str mechanism, struct err *err) CO
{
    if (!is_mechanism(mechanism))
        return 0;
    return server->filter == NULL ? 1 : match_list_has(server->filter, mechanism, err);
}

int sasl_server_mechanisms(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r,
                           struct err *err)
{
    struct buf all = BUF_INIT;
    struct str rest, name;

    buf_clear(list_r);
    int rc = server->ops->mechanisms(server, peer, &all, err);
    rest = buf_str(&all);
    while (rc == 0 && str_token(&rest, " ", &name)) {
        int matches = filter_matches(server, name, err);
        if (matches > 0)
            buf_addf(list_r, "%s" STR_FMT, list_r->len > 0 ? " " : "", STR_ARG(name));
        else if (matches < 0)
            rc = -1;
    }
    buf_release(&all);
    return rc < 0 ? -1 : list_r->len > 0;
}

struct sasl_exchange *sasl_exchange_new(struct sasl_server *server, const struct sasl_peer *peer)
{
    struct sasl_exchange *x = MEM_NEW(struct sasl_exchange);
    x->server = server;
    x->peer = peer;
    return x;
}

void sasl_exchange_start(struct sasl_exchange *x, struct str mechanism, struct str response,
                         struct sasl_answer *answer_r)
{
    struct err err = ERR_INIT;
    int matches = filter_matches(x->server, mechanism, &err);

    sasl_answer_clear(answer_r);
    if (matches == 0) {
        sasl_answer_fail(answer_r, SASL_ANSWER_REFUSED, str_from(x->server->ops->unknown_mechanism));
    } else if (matches < 0) {
        log_warn("smtpd_sasl_mechanism_filter: %s", err.text);
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY, STR("Local configuration problem"));
    } else {
        x->server->ops->step(x, mechanism, response, answer_r);
    }
}

void sasl_exchange_step(struct sasl_exchange *x, struct str response, struct sasl_answer *answer_r)
{
    sasl_answer_clear(answer_r);
    x->server->ops->step(x, STR_NULL, response, answer_r);
}

void sasl_exchange_free(struct sasl_exchange *x)
{
    if (x == NULL)
        return;
    x->server->ops->end(x);
    mem_free(x);
}
