// SPDX-License-Identifier: ISC
// smtp_tls_start.c: a handshake with a server, what is logged about it, and whether it is as safe as it must be.
// Trust: the server is hostile. Suspends: the handshake, within smtp_starttls_timeout.
#include "lib/base/log.h"
#include "smtp/smtp_sasl_impl.h"

#define NAMES_MAX 210 // as many as a policy may hold, and those that are added

// ---- What the handshake is told

struct start_parts {
    struct tls_client_start start;
    struct str names[NAMES_MAX];
    struct tls_tlsa tlsa[DNS_MAX_RECORDS];
    struct buf ciphers, anchors, session;
};

static void add_name(struct start_parts *parts, struct str name)
{
    if (name.len > 0 && parts->start.name_count < NAMES_MAX)
        parts->names[parts->start.name_count++] = name;
}

static bool trusts_host_names(const struct smtp_delivery *sd, const struct smtp_tls_need *need)
{
    return str_is(str_from(need->decided_by), STR("STS")) ||
           (need->rule->policy.mx_patterns.count > 0 && sd->client->profile.tls_enforce_sts_mx_patterns);
}

// "hostname", "nexthop", "dot-nexthop" and plain names.
static void add_strategies(struct start_parts *parts, const struct smtp_tls_need *need, struct arena *arena)
{
    const struct tls_words *match = &need->rule->policy.match;

    for (size_t i = 0; i < match->count; i++) {
        struct str word = match->items[i];
        if (str_is_nocase(word, STR("hostname")))
            add_name(parts, need->host);
        else if (str_is_nocase(word, STR("nexthop")))
            add_name(parts, need->nexthop);
        else if (str_is_nocase(word, STR("dot-nexthop")))
            add_name(parts, arena_strf(arena, "." STR_FMT, STR_ARG(need->nexthop)));
        else
            add_name(parts, word);
    }
}

static void add_dane(struct start_parts *parts, const struct smtp_tls_need *need)
{
    parts->start.check = TLS_CHECK_DANE;
    for (size_t i = 0; i < need->dane.count; i++) {
        const struct dns_tlsa *r = &need->dane.records[i];
        parts->tlsa[parts->start.tlsa_count++] = (struct tls_tlsa){r->usage, r->selector, r->matching, r->data};
    }
    parts->start.tlsa = parts->tlsa;
    add_name(parts, need->dane.base);
    add_name(parts, need->host);
    if (need->is_mx_secure)
        add_name(parts, need->nexthop);
}

static void add_check(struct start_parts *parts, const struct smtp_delivery *sd, const struct smtp_tls_need *need)
{
    struct tls_client_start *start = &parts->start;

    if (tls_level_is_dane(need->level)) {
        add_dane(parts, need);
    } else if (need->level == TLS_LEVEL_FINGERPRINT) {
        start->check = TLS_CHECK_FINGERPRINT;
        start->fingerprints = need->rule->policy.match.items;
        start->fingerprint_count = need->rule->policy.match.count;
    } else if (need->level >= TLS_LEVEL_VERIFY || sd->requiretls != SMTP_REQUIRETLS_DISABLE) {
        start->check = TLS_CHECK_NAMES;
        if (trusts_host_names(sd, need))
            add_name(parts, need->host);
        else
            add_strategies(parts, need, sd->arena);
        if (need->level < TLS_LEVEL_VERIFY && need->is_mx_secure) // RFC 8689 4.2.1: a name that can be believed
            add_name(parts, need->host);
    }
    start->names = parts->names;
}

static struct str server_name(const struct smtp_delivery *sd, const struct smtp_tls_need *need)
{
    struct str name = need->rule->policy.server_name;
    struct net_addr addr;

    if (tls_level_is_dane(need->level))
        return need->dane.base;
    if (trusts_host_names(sd, need) || str_is_nocase(name, STR("hostname")))
        name = need->host;
    else if (str_is_nocase(name, STR("nexthop")))
        name = need->nexthop;
    return net_addr_parse(name, 0, &addr) == 0 ? STR("") : name; // RFC 6066: no addresses
}

// The file of tafile=, or of the parameter. -1: unreadable.
static int read_anchors(const struct smtp_delivery *sd, const struct smtp_tls_need *need, struct buf *anchors)
{
    struct str path = need->rule->policy.anchor_file;
    struct err err = ERR_INIT;

    if (need->level < TLS_LEVEL_VERIFY)
        return 0;
    if (path.len == 0) {
        buf_add_str(anchors, buf_str(&sd->client->tls.trust_anchors));
        return 0;
    }
    if (smtp_tls_read_file(path, anchors, &err) == 0)
        return 0;
    log_warn("error opening trust anchor file: %s", err.text);
    return -1;
}

static int prepare(struct start_parts *parts, struct smtp_delivery *sd, struct smtp_session *s, struct err *err) CO
{
    const struct smtp_tls_need *need = sd->tls_need;
    const struct tls_policy *policy = &need->rule->policy;
    struct str anonymous =
        need->level > TLS_LEVEL_ENCRYPT ? STR("aNULL") : STR(""); // somebody must be there to be recognised
    const struct tls_ciphers ciphers = {policy->ciphers, {policy->exclude, anonymous}};
    struct tls_client_start *start = &parts->start;

    if (tls_cipher_list(sd->client->settings, &ciphers, &parts->ciphers) < 0)
        return err_set(err, ERR_PERMANENT, "invalid cipher grade: \"" STR_FMT "\"", STR_ARG(policy->ciphers));
    if (!tls_protocols_are_valid(policy->protocols))
        return err_set(err, ERR_PERMANENT, "Invalid TLS protocol list \"" STR_FMT "\": aborting TLS session",
                       STR_ARG(policy->protocols));
    if (read_anchors(sd, need, &parts->anchors) < 0)
        return err_set(err, ERR_TEMPORARY, "client TLS configuration problem");
    add_check(parts, sd, need);
    start->server_name = server_name(sd, need);
    start->ciphers = buf_str(&parts->ciphers);
    start->protocols = policy->protocols;
    start->trust_anchors = buf_str(&parts->anchors);
    start->log_level = tls_service_trace_level(sd->client->tls.service, sd->tls_log_level);
    if (start->log_level < sd->tls_log_level)
        log_info("%s: " TLS_NO_TRACE, s->relay);
    start->trace_size = sd->client->profile.tls_trace_size_limit;
    if (smtp_tls_find_session(s, start, &parts->session))
        start->session = buf_str(&parts->session);
    return 0;
}

static void release(struct start_parts *parts)
{
    buf_release(&parts->ciphers);
    buf_release(&parts->anchors);
    buf_wipe(&parts->session);
    mem_free(parts);
}

// ---- What is logged

static void log_lines(struct str lines, bool is_problem)
{
    struct str line;

    while (str_token(&lines, "\n", &line)) {
        if (is_problem)
            log_warn("TLS library problem: " STR_FMT, STR_ARG(line));
        else
            log_info(STR_FMT, STR_ARG(line));
    }
}

static const char *peer_status(const struct smtp_tls_need *need, const struct tls_info *info)
{
    if (!info->has_certificate)
        return "Anonymous";
    if (info->is_matched && tls_level_must_match(need->level) && need->level != TLS_LEVEL_HALF_DANE)
        return "Verified";
    if (info->is_matched && need->level == TLS_LEVEL_HALF_DANE)
        return "Trusted";
    return info->is_trusted && !tls_level_must_match(need->level) ? "Trusted" : "Untrusted";
}

static void log_summary(const struct smtp_delivery *sd, const struct smtp_session *s, const struct tls_info *info)
{
    const struct smtp_tls_need *need = sd->tls_need;
    struct buf line = BUF_INIT;
    int level = sd->tls_log_level;

    if (level >= 2 && info->is_resumed)
        log_info("%s: Reusing old session", s->relay);
    if (level >= 2 && info->has_certificate)
        log_info("%s: subject_CN=%s, issuer_CN=%s, fingerprint=%s, pkey_fingerprint=%s", s->relay, info->subject,
                 info->issuer, info->fingerprint, info->key_fingerprint);
    if (info->trouble[0] != '\0' && ((level >= 1 && tls_level_must_match(need->level)) || level >= 2)) {
        if (info->is_trusted && need->level >= TLS_LEVEL_VERIFY) // as X509_V_ERR_HOSTNAME_MISMATCH reads
            log_info("server certificate verification failed for %s: num=62:hostname mismatch", s->relay);
        else
            log_info("certificate verification failed for %s: %s", s->relay, info->trouble);
    }
    if (level >= 1) {
        buf_addf(&line, "%s TLS connection established to %s: ", peer_status(need, info), s->relay);
        tls_info_add_summary(info, &line);
        log_info("%s", buf_cstr(&line));
    }
    buf_release(&line);
}

// ---- The outcome

static void set_status(struct smtp_delivery *sd, struct smtp_session *s, const char *final, bool is_violated)
{
    sd->tls_status = smtp_tls_status(sd->tls_need->configured, final, is_violated, sd->arena);
    mem_free(s->tls_status);
    s->tls_status = mem_dup_str(sd->tls_status);
}

static struct smtp_failure *failure(struct smtp_delivery *sd, struct smtp_session *s, const char *dsn, const char *text)
{
    struct smtp_failure *f = smtp_failure_new(sd, false, dsn, "%s", text);

    f->is_destination = true;
    return smtp_failure_with_session(f, sd, s);
}

static struct smtp_failure *check_peer(struct smtp_delivery *sd, struct smtp_session *s)
{
    const struct smtp_tls_need *need = sd->tls_need;
    const struct tls_info *info = stream_tls_info(s->stream);

    log_summary(sd, s, info);
    s->is_tls_matched = info->is_matched;
    if (!tls_level_must_match(need->level) || info->is_matched) {
        bool is_weaker = need->level < need->configured && !tls_level_must_match(need->level);
        set_status(sd, s, is_weaker ? tls_level_name(need->level) : NULL, false);
        return NULL;
    }
    set_status(sd, s, "nocertmatch", true);
    return failure(sd, s, "4.7.5", "Server certificate not verified");
}

// A password never follows a message into the clear.
static bool has_password(struct smtp_delivery *sd, const struct smtp_session *s) CO
{
    struct smtp_credentials credentials;

    if (sd->client->sasl == NULL)
        return false;
    int found = smtp_credentials_find(sd, s, &credentials);
    smtp_credentials_clear(&credentials);
    return found != 0;
}

static struct smtp_failure *handshake_failed(struct smtp_delivery *sd, struct smtp_session *s, const struct err *err) CO
{
    bool may_retry =
        sd->tls_need->level == TLS_LEVEL_MAY && !sd->client->profile.tls_wrappermode && !has_password(sd, s);

    log_info("SSL_connect error to %s: %s", s->relay, err->text);
    log_lines(stream_tls_problems(s->stream), true);
    s->must_close = true;
    set_status(sd, s, "noencryption", !may_retry);
    struct smtp_failure *f = failure(sd, s, "4.7.5", "Cannot start TLS: handshake failure");
    f->may_retry_plain = may_retry;
    return f;
}

struct smtp_failure *smtp_tls_start(struct smtp_delivery *sd, struct smtp_session *s)
{
    struct start_parts *parts = MEM_NEW(struct start_parts);
    struct smtp_failure *f;
    struct err err = ERR_INIT;

    if (sd->tls_log_level >= 2)
        log_info("setting up TLS connection to %s", s->relay);
    if (prepare(parts, sd, s, &err) < 0) {
        log_warn("%s: %s", s->relay, err.text);
        s->must_close = true; // the server waits for a handshake
        set_status(sd, s, "noencryption", true);
        f = failure(sd, s, "4.7.5", "Cannot start TLS: handshake failure");
        release(parts);
        return f;
    }
    smtp_tls_refresh_chains(sd->client);
    stream_set_deadline(s->stream, clock_deadline(sd->client->profile.starttls_timeout));
    int rc = stream_start_tls_client(s->stream, sd->client->tls.context, &parts->start, &err);
    if (sd->tls_log_level >= 2)
        log_lines(stream_tls_trace(s->stream), false);
    f = rc < 0 ? handshake_failed(sd, s, &err) : check_peer(sd, s);
    release(parts);
    return f;
}
