// SPDX-License-Identifier: ISC
// smtp_deliver.c: takes one delivery through its next hops until every recipient has a result.
// Suspends: everywhere. Limits: NEXTHOPS_MAX next hops, smtp_mx_session_limit sessions for each.
#include "lib/base/log.h"
#include "smtp/smtp.h"

#define NEXTHOPS_MAX 50

bool smtp_has_open(const struct smtp_delivery *sd)
{
    for (size_t i = 0; i < sd->delivery->request.recipient_count; i++)
        if (smtp_is_open(sd, i))
            return true;
    return false;
}

static bool may_keep(const struct smtp_delivery *sd, const struct smtp_session *s, bool wanted)
{
    int64_t limit = sd->client->profile.connection_reuse_count_limit;

    return wanted && smtp_tls_may_reuse(sd, s) && clock_ms() < s->retire_ms && (limit <= 0 || s->uses < limit);
}

// Leaves the session as it found it, or ends it.
static void put_away(struct smtp_client *client, struct smtp_session *s, bool keep) CO
{
    struct err err = ERR_INIT;

    smtp_tls_keep_session(s);
    if (!keep || s->must_close) {
        smtp_session_quit(s);
        return;
    }
    if (s->needs_reset) {
        stream_write_str(s->stream, STR("RSET\r\n"));
        if (smtp_session_command(s, client->profile.rset_timeout, &err) < 0 || s->reply.code / 100 != 2) {
            s->must_close = true;
            smtp_session_quit(s);
            return;
        }
        s->needs_reset = false;
    }
    smtp_connection_cache_put(client->cache, s);
}

// The message over one session. False: the session was stale.
static bool use_session(struct smtp_delivery *sd, struct smtp_session *s, bool wants_keeping) CO
{
    bool keep = may_keep(sd, s, wants_keeping);
    enum smtp_outcome outcome = smtp_transaction(sd, s, keep);

    put_away(sd->client, s, keep);
    if (outcome == SMTP_OUTCOME_STALE)
        return false;
    sd->sessions++;
    smtp_report_failures(sd, false);
    return true;
}

static bool try_kept_session(struct smtp_delivery *sd, bool wants_keeping) CO
{
    struct smtp_session *s;

    while ((s = smtp_connection_cache_take(sd->client->cache, sd->key)) != NULL)
        if (use_session(sd, s, wants_keeping))
            return true;
    return false;
}

static bool session_limit_reached(const struct smtp_delivery *sd)
{
    int64_t limit = sd->client->profile.mx_session_limit;

    return limit > 0 && sd->sessions >= limit;
}

// Another server is asked: what the last one said would otherwise be told nowhere (failed connections are logged as
// such).
static void log_moving_on(const struct smtp_delivery *sd)
{
    for (size_t i = 0; i < sd->delivery->request.recipient_count; i++) {
        const struct smtp_failure *f = sd->failures[i];
        if (!smtp_is_open(sd, i) || f == NULL || str_is(f->report.relay, STR("none")))
            continue;
        log_info(STR_FMT ": " STR_FMT, STR_ARG(sd->delivery->request.queue_id), STR_ARG(f->report.text));
        return; // one stands for all
    }
}

// RFC 7435 3: a server whose TLS is broken gets the message in the clear rather than never, but not at the first try.
static bool may_go_plain(const struct smtp_delivery *sd, const struct smtp_failure *f)
{
    const struct delivery_request *r = &sd->delivery->request;
    int64_t waited = (r->active_us - r->arrival_us) / 1000000;

    return f->may_retry_plain && !(r->sendopts & QUEUE_SENDOPT_REQUIRETLS) && !co_is_cancelled() &&
           waited >= sd->delivery->settings->minimal_backoff_time;
}

static struct smtp_session *open_session(struct smtp_delivery *sd, const struct smtp_hosts *hosts,
                                         const struct smtp_host *host, struct smtp_failure **failure_r) CO
{
    struct smtp_tls_need need;
    struct smtp_session *s = NULL;

    sd->tls_need = &need;
    *failure_r = smtp_tls_need_find(sd, hosts, host, &need);
    if (*failure_r == NULL)
        s = smtp_session_open(sd, host, failure_r);
    if (s == NULL && may_go_plain(sd, *failure_r)) {
        log_info(STR_FMT ": " STR_FMT ": trying without TLS", STR_ARG(sd->delivery->request.queue_id),
                 STR_ARG((*failure_r)->report.text));
        need.level = TLS_LEVEL_NONE;
        s = smtp_session_open(sd, host, failure_r);
    }
    sd->tls_need = NULL;
    return s;
}

static void try_hosts(struct smtp_delivery *sd, const struct smtp_destination *dest, bool wants_keeping) CO
{
    struct smtp_hosts hosts;
    struct smtp_failure *failure = smtp_lookup(sd, dest, &hosts);

    if (failure != NULL) {
        smtp_failure_apply(sd, failure);
        return;
    }
    for (size_t i = 0; i < hosts.count && smtp_has_open(sd) && !session_limit_reached(sd) && !co_is_cancelled(); i++) {
        log_moving_on(sd);
        struct smtp_session *s = open_session(sd, &hosts, &hosts.items[i], &failure);
        if (s != NULL) {
            (void)use_session(sd, s, wants_keeping); // a fresh one is never stale
            continue;
        }
        smtp_failure_apply(sd, failure);
        if (failure->report.relay.len > 0 && !str_is(failure->report.relay, STR("none")))
            sd->sessions++; // it spoke to us
        smtp_report_failures(sd, false);
    }
}

static void set_key(struct smtp_delivery *sd, const struct smtp_destination *dest) CO
{
    struct buf key = BUF_INIT;

    buf_add_str(&key, dest->text);
    smtp_tls_add_key(sd, &key);
    smtp_sasl_add_key(sd, &key);
    sd->key = arena_str(sd->arena, buf_str(&key));
    buf_release(&key);
}

static void try_nexthop(struct smtp_delivery *sd, struct str text) CO
{
    const struct smtp_nexthop_rules rules = {sd->client->profile.is_lmtp, sd->client->port};
    struct smtp_destination dest;
    struct err err = ERR_INIT;

    if (smtp_nexthop_parse(text, &rules, sd->arena, &dest, &err) < 0) {
        // A mistake in the configuration: the mail stays until somebody mends it.
        smtp_failure_apply(sd, smtp_failure_new(sd, false, "4.3.5", "%s", err.text));
        return;
    }
    sd->domain = dest.host;
    sd->nexthop = dest.text;
    sd->sessions = 0;
    sd->connected_us = clock_wall_us();
    sd->start_us = 0;
    struct smtp_failure *failure = smtp_tls_rule_find(sd, &dest, &sd->tls_rule);
    if (failure != NULL) {
        smtp_failure_apply(sd, failure);
        return;
    }
    sd->tls_status = smtp_tls_status(sd->tls_rule.policy.level, sd->tls_rule.policy.level > TLS_LEVEL_NONE ? "?" : NULL,
                                     false, sd->arena);
    smtp_requiretls_find(sd);
    set_key(sd, &dest);
    bool more_waits = (sd->delivery->request.flags & DELIVERY_CACHE_CONNECTION) != 0;
    bool wants_keeping = smtp_connection_cache_wants(sd->client->cache, &dest, more_waits);
    if (try_kept_session(sd, wants_keeping) && (!smtp_has_open(sd) || session_limit_reached(sd)))
        return;
    try_hosts(sd, &dest, wants_keeping);
}

void smtp_deliver(struct smtp_client *client, struct delivery *d)
{
    struct smtp_delivery sd = {.client = client, .delivery = d, .arena = d->arena};
    struct str nexthop, lists[2] = {d->request.nexthop, client->profile.fallback_relay};
    unsigned tried = 0;

    if (d->request.recipient_count == 0)
        return;
    sd.failures = ARENA_ARRAY(d->arena, struct smtp_failure *, d->request.recipient_count);
    for (size_t i = 0; i < 2; i++)
        while (smtp_has_open(&sd) && tried++ < NEXTHOPS_MAX && str_token(&lists[i], ", \t\r\n", &nexthop))
            try_nexthop(&sd, nexthop);
    if (co_is_cancelled())
        smtp_failure_apply(&sd, smtp_failure_new(&sd, false, "4.3.2", "mail system is shutting down"));
    smtp_report_failures(&sd, true);
}
