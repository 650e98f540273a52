// SPDX-License-Identifier: ISC
// smtp_tls_policy.c: which TLS a next hop and each of its hosts need: tables, main.cf, MTA-STS, DANE.
//
// An entry of smtp_tls_policy_maps has the last word. Else main.cf sets the level, MTA-STS may raise it, and TLSA
// records of the host, where DANE is asked for, come before MTA-STS (RFC 8461 2).
// Trust: tables are the administrator's; DNS and policies of other domains are hostile.
// Suspends: lookups.
#include "lib/base/log.h"
#include "smtp/smtp.h"

#define TLSA_SECONDS 60

// ---- The next hop

static struct smtp_failure *bad_configuration(struct smtp_delivery *sd, const struct smtp_destination *dest)
{
    log_warn("TLS policy lookup for " STR_FMT "/" STR_FMT ": client TLS configuration problem", STR_ARG(dest->text),
             STR_ARG(dest->host));
    return smtp_failure_new(sd, false, "4.7.5", "client TLS configuration problem");
}

static bool is_plain_name(const struct smtp_destination *dest)
{
    return dest->path.len == 0 && str_is(dest->text, dest->host) && str_find(dest->text, ':') < 0;
}

// The next hop as it is given; a plain domain then with its parents as ".parent". 1, 0, -1.
static int find_entry(const struct smtp_delivery *sd, const struct smtp_destination *dest, struct buf *value_r,
                      struct err *err) CO
{
    struct table_list *maps = sd->client->tls.policy_maps;
    struct str key = dest->path.len > 0 ? dest->path : dest->text;
    int found = table_list_lookup(maps, key, value_r, NULL, err);

    while (found == 0 && is_plain_name(dest)) {
        long dot = key.len > 1 ? str_find(str_slice(key, 1, key.len), '.') : -1;
        if (dot < 0)
            break;
        key = str_slice(key, (size_t)dot + 1, key.len);
        found = table_list_lookup(maps, key, value_r, NULL, err);
    }
    return found;
}

static int use_entry(struct smtp_delivery *sd, const struct smtp_destination *dest, struct str value,
                     struct smtp_tls_rule *rule)
{
    const char *parameter = sd->client->profile.is_lmtp ? "lmtp_tls_policy_maps" : "smtp_tls_policy_maps";
    struct err err = ERR_INIT;
    struct str ignored;

    if (tls_policy_parse(value, sd->arena, &rule->policy, &ignored, &err) < 0) {
        log_warn("%s, next-hop destination \"" STR_FMT "\": %s", parameter, STR_ARG(dest->text), err.text);
        return -1;
    }
    if (ignored.len > 0)
        log_warn("%s, next-hop destination \"" STR_FMT "\": ignoring attribute \"" STR_FMT "\" with TLS disabled",
                 parameter, STR_ARG(dest->text), STR_ARG(ignored));
    if (rule->policy.raw_key)
        smtp_tls_tell_of_raw_keys(sd->client, parameter);
    rule->has_entry = true;
    rule->decided_by = parameter;
    return 0;
}

static int find_site(const struct smtp_delivery *sd, struct str name, enum tls_site *site_r) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_list_lookup(sd->client->tls.per_site, name, &value, NULL, &err);
    int result = 0;

    *site_r = TLS_SITE_ABSENT;
    if (found < 0)
        log_warn("TLS per-site lookup for " STR_FMT ": %s", STR_ARG(name), err.text);
    else if (found > 0 && (result = tls_site_parse(buf_str(&value), site_r)) < 0)
        log_warn("smtp_tls_per_site: unknown TLS policy \"%s\" for " STR_FMT, buf_cstr(&value), STR_ARG(name));
    buf_release(&value);
    return found < 0 ? -1 : result;
}

// What the parameters say where the entry says nothing.
static int complete(struct smtp_delivery *sd, const struct smtp_destination *dest, struct tls_policy *policy)
{
    const struct smtp_profile *p = &sd->client->profile;
    bool is_mandatory = policy->level > TLS_LEVEL_MAY;
    struct str match = policy->level == TLS_LEVEL_FINGERPRINT ? p->tls_fingerprint_cert_match
                       : policy->level == TLS_LEVEL_VERIFY    ? p->tls_verify_cert_match
                                                              : p->tls_secure_cert_match;

    if (policy->match.count == 0)
        tls_words_add(&policy->match, match, policy->level == TLS_LEVEL_FINGERPRINT ? "|, \t\r\n" : ":, \t\r\n",
                      sd->arena);
    if (policy->level == TLS_LEVEL_FINGERPRINT && policy->match.count == 0) {
        log_warn("nexthop domain " STR_FMT
                 ": configured at fingerprint security level, but with no fingerprints to match.",
                 STR_ARG(dest->text));
        return -1;
    }
    if (policy->ciphers.len == 0)
        policy->ciphers = is_mandatory ? p->tls_mandatory_ciphers : p->tls_ciphers;
    if (policy->protocols.len == 0)
        policy->protocols = is_mandatory ? p->tls_mandatory_protocols : p->tls_protocols;
    if (policy->exclude.len == 0)
        policy->exclude = arena_strf(sd->arena, STR_FMT " " STR_FMT, STR_ARG(p->tls_exclude_ciphers),
                                     STR_ARG(is_mandatory ? p->tls_mandatory_exclude_ciphers : STR("")));
    if (policy->server_name.len == 0)
        policy->server_name = p->tls_servername;
    if (!policy->has_reuse)
        policy->reuse = p->tls_connection_reuse;
    return 0;
}

// A domain whose policy cannot be fetched is as one without any, says RFC 8461; but when our own service does not
// answer, there may be one in force that it knows: the message waits.
static struct smtp_failure *ask_sts(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                    struct smtp_tls_rule *rule) CO
{
    struct mta_sts_client *sts = sd->client->tls.sts;
    enum tls_level level = rule->policy.level;
    struct err err = ERR_INIT;

    if (sts == NULL || rule->has_entry || dest->is_host || dest->path.len > 0 || level == TLS_LEVEL_NONE ||
        level == TLS_LEVEL_DANE_ONLY || level == TLS_LEVEL_SECURE || level == TLS_LEVEL_FINGERPRINT)
        return NULL;
    if (mta_sts_ask(sts, dest->host, sd->arena, &rule->sts, &err) == 0)
        return NULL;
    log_warn("MTA-STS policy of " STR_FMT ": %s", STR_ARG(dest->host), err.text);
    return smtp_failure_new(sd, false, "4.7.5", "cannot learn the MTA-STS policy of " STR_FMT, STR_ARG(dest->host));
}

// TLS-Required: no (RFC 8689 5): the sender would rather have the message delivered than protected.
static void waive(struct smtp_tls_rule *rule)
{
    if (rule->policy.level > TLS_LEVEL_MAY) {
        rule->policy = (struct tls_policy){.level = TLS_LEVEL_MAY, .server_name = rule->policy.server_name};
        rule->decided_by = "TLS-Required: no";
    }
    rule->is_waived = true;
}

static int find_rule(struct smtp_delivery *sd, const struct smtp_destination *dest, struct smtp_tls_rule *rule) CO
{
    const struct smtp_tls *tls = &sd->client->tls;
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int result = 0, found = find_entry(sd, dest, &value, &err);

    if (found < 0)
        log_warn("TLS policy table: %s", err.text);
    else if (found > 0)
        result = use_entry(sd, dest, buf_str(&value), rule);
    else if (table_list_is_empty(tls->policy_maps) && !table_list_is_empty(tls->per_site))
        result = find_site(sd, dest->host, &rule->site);
    buf_release(&value);
    return found < 0 ? -1 : result;
}

struct smtp_failure *smtp_tls_rule_find(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                        struct smtp_tls_rule *rule_r)
{
    const struct smtp_client *client = sd->client;
    unsigned sendopts = (unsigned)sd->delivery->request.sendopts;

    *rule_r = (struct smtp_tls_rule){.policy = {.level = client->tls.level}, .path = dest->path};
    rule_r->decided_by = client->profile.is_lmtp ? "lmtp_tls_security_level" : "smtp_tls_security_level";
    int result = find_rule(sd, dest, rule_r);
    bool waives = (sendopts & QUEUE_SENDOPT_TLS_OPTIONAL) && !(sendopts & QUEUE_SENDOPT_REQUIRETLS) &&
                  client->settings->tls_required_enable;
    if (waives)
        waive(rule_r);
    else if (result < 0)
        return bad_configuration(sd, dest);
    if (complete(sd, dest, &rule_r->policy) < 0)
        return bad_configuration(sd, dest);
    if (client->profile.tls_wrappermode && rule_r->policy.level < TLS_LEVEL_ENCRYPT && !waives) {
        log_warn("%s_tls_wrappermode requires \"%s_tls_security_level = encrypt\" (or stronger)",
                 client->profile.is_lmtp ? "lmtp" : "smtp", client->profile.is_lmtp ? "lmtp" : "smtp");
        return bad_configuration(sd, dest);
    }
    return waives ? NULL : ask_sts(sd, dest, rule_r);
}

// ---- One host

static struct smtp_failure *no_dane(struct smtp_delivery *sd, struct smtp_tls_need *need, const char *why)
{
    if (need->rule->policy.level != TLS_LEVEL_DANE_ONLY) {
        need->level = TLS_LEVEL_MAY;
        return NULL;
    }
    log_warn("TLS policy lookup for " STR_FMT "/" STR_FMT ": %s", STR_ARG(need->nexthop), STR_ARG(need->host), why);
    return smtp_failure_new(sd, false, "4.7.5", "%s", why);
}

static struct smtp_failure *resolve_dane(struct smtp_delivery *sd, const struct smtp_host *host,
                                         struct smtp_tls_need *need) CO
{
    const struct smtp_client *client = sd->client;
    const struct tls_dane_query query = {
        .host = host->name,
        .port = net_addr_port(&host->addr),
        .host_is_secure = host->is_secure,
        .canonical = host->canonical,
        .asks_insecure_host = client->profile.tls_force_insecure_host_tlsa_lookup,
        .digests = client->settings->tls_dane_digests,
    };

    switch (tls_dane_lookup(&query, sd->arena, clock_deadline(TLSA_SECONDS), &need->dane)) {
    case TLS_DANE_FOUND:
        need->decided_by = "DANE";
        return NULL;
    case TLS_DANE_UNUSABLE:
        if (need->rule->policy.level == TLS_LEVEL_DANE_ONLY)
            return no_dane(sd, need, "TLSA records unusable");
        need->level = TLS_LEVEL_ENCRYPT;
        need->decided_by = "DANE";
        return NULL;
    case TLS_DANE_ABSENT:
        return no_dane(sd, need, host->is_secure ? "no TLSA records found" : "non DNSSEC destination");
    case TLS_DANE_FAILED:
        break;
    }
    log_warn("TLS policy lookup for " STR_FMT "/" STR_FMT ": TLSA lookup error for " STR_FMT ":%u",
             STR_ARG(need->nexthop), STR_ARG(need->host), STR_ARG(host->name), (unsigned)query.port);
    return smtp_failure_new(sd, false, "4.7.5", "TLSA lookup error for " STR_FMT ":%u", STR_ARG(host->name),
                            (unsigned)query.port);
}

static struct smtp_failure *apply_dane(struct smtp_delivery *sd, const struct smtp_host *host,
                                       struct smtp_tls_need *need) CO
{
    const struct smtp_client *client = sd->client;
    struct str insecure = client->settings->smtp_tls_dane_insecure_mx_policy;

    if (!str_is_nocase(client->profile.dns_support_level, STR("dnssec"))) {
        log_warn(STR_FMT ": %s configured with dnssec lookups disabled", STR_ARG(need->nexthop),
                 tls_level_name(need->level));
        return no_dane(sd, need, "client TLS configuration problem");
    }
    if (!need->is_mx_secure && need->level == TLS_LEVEL_DANE_ONLY)
        return no_dane(sd, need, "non DNSSEC destination");
    if (!need->is_mx_secure && need->level == TLS_LEVEL_DANE && !str_is_nocase(insecure, STR("dane"))) {
        need->level = str_is_nocase(insecure, STR("encrypt")) ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_MAY;
        return NULL;
    }
    if (!need->is_mx_secure)
        need->level = TLS_LEVEL_HALF_DANE;
    return resolve_dane(sd, host, need);
}

// A policy that names the hosts: as MTA-STS says it, or as an attribute of a table entry does.
static struct smtp_failure *check_mx(struct smtp_delivery *sd, struct smtp_tls_need *need,
                                     const struct tls_words *patterns, bool enforces)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (tls_mx_pattern_matches(patterns->items[i], need->host))
            return NULL;
    log_warn("MX host " STR_FMT " of " STR_FMT " matches no name of its MTA-STS policy%s", STR_ARG(need->host),
             STR_ARG(need->nexthop), enforces ? "" : " (which is in testing mode)");
    if (!enforces)
        return NULL;
    return smtp_failure_new(sd, false, "4.7.5", "MX host " STR_FMT " matches no name of the MTA-STS policy of " STR_FMT,
                            STR_ARG(need->host), STR_ARG(need->nexthop));
}

static struct smtp_failure *apply_sts(struct smtp_delivery *sd, struct smtp_tls_need *need)
{
    const struct mta_sts *sts = &need->rule->sts;
    bool enforces = sts->mode == MTA_STS_ENFORCE;

    if (sts->mode == MTA_STS_NONE)
        return NULL;
    if (enforces) {
        need->level = TLS_LEVEL_SECURE;
        need->configured = TLS_LEVEL_SECURE;
        need->decided_by = "STS";
    }
    return check_mx(sd, need, &sts->mx, enforces);
}

static struct smtp_failure *apply_rule(struct smtp_delivery *sd, const struct smtp_host *host,
                                       struct smtp_tls_need *need) CO
{
    const struct smtp_tls_rule *rule = need->rule;
    struct smtp_failure *f = NULL;

    bool has_sites = table_list_is_empty(sd->client->tls.policy_maps) && !table_list_is_empty(sd->client->tls.per_site);

    if (has_sites && !rule->is_waived) {
        enum tls_site site;
        if (find_site(sd, need->host, &site) < 0)
            return smtp_failure_new(sd, false, "4.7.5", "client TLS configuration problem");
        need->level = tls_site_level(rule->site, site, need->level);
        need->configured = need->level;
    }
    if (tls_level_is_dane(need->level))
        f = apply_dane(sd, host, need);
    if (f == NULL && !tls_level_is_dane(need->level))
        f = apply_sts(sd, need);
    if (f == NULL && rule->has_entry && rule->policy.mx_patterns.count > 0 &&
        sd->client->profile.tls_enforce_sts_mx_patterns)
        f = check_mx(sd, need, &rule->policy.mx_patterns, true);
    return f;
}

// ---- How much is logged

// smtp_tls_loglevel_maps: by next hop, host name, address.
static int find_log_level(struct smtp_delivery *sd, const struct smtp_host *host) CO
{
    struct smtp_tls *tls = &sd->client->tls;
    struct buf address = BUF_INIT, value = BUF_INIT;
    int64_t level = tls->log_level;
    int found = 0;

    if (table_list_is_empty(tls->log_level_maps))
        return tls->log_level;
    net_addr_add_text(&address, &host->addr);
    const struct str keys[] = {sd->domain, host->name, buf_str(&address)};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && found == 0; i++)
        found = table_list_lookup(tls->log_level_maps, keys[i], &value, NULL, NULL);
    if (found > 0 &&
        (str_to_i64(str_trim(buf_str(&value)), &level) < 0 || level < 0 || level > SMTP_TLS_LOG_LEVEL_MAX)) {
        log_warn("TLS log level of " STR_FMT ": bad value \"%s\"", STR_ARG(host->name), buf_cstr(&value));
        level = tls->log_level;
    }
    buf_release(&address);
    buf_release(&value);
    return (int)level;
}

struct smtp_failure *smtp_tls_need_find(struct smtp_delivery *sd, const struct smtp_hosts *hosts,
                                        const struct smtp_host *host, struct smtp_tls_need *need_r)
{
    const struct smtp_tls_rule *rule = &sd->tls_rule;

    *need_r = (struct smtp_tls_need){
        .level = rule->policy.level,
        .configured = rule->policy.level,
        .rule = rule,
        .nexthop = sd->domain,
        .host = host->name,
        .decided_by = rule->decided_by,
        .is_mx_secure = hosts->is_secure,
    };
    sd->tls_log_level = find_log_level(sd, host);
    struct smtp_failure *f = apply_rule(sd, host, need_r);
    sd->tls_status = smtp_tls_status(need_r->configured, f == NULL && need_r->level != TLS_LEVEL_NONE ? "?" : NULL,
                                     false, sd->arena);
    if (sd->tls_log_level > 0 && need_r->level > TLS_LEVEL_NONE)
        log_info(STR_FMT ": TLS policy for " STR_FMT "/" STR_FMT ": %s, decided by %s",
                 STR_ARG(sd->delivery->request.queue_id), STR_ARG(need_r->nexthop), STR_ARG(need_r->host),
                 f == NULL ? tls_level_name(need_r->level) : "unmet", need_r->decided_by);
    if (f != NULL)
        f->is_destination = true;
    return f;
}

// ---- Sharing connections

void smtp_tls_add_key(const struct smtp_delivery *sd, struct buf *key)
{
    const struct smtp_tls_rule *rule = &sd->tls_rule;
    const struct tls_policy *policy = &rule->policy;
    const struct str parts[] = {policy->ciphers, policy->protocols, policy->exclude, policy->server_name,
                                policy->anchor_file};

    buf_addf(key, "\n%s %d", tls_level_name(policy->level), (int)rule->site);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        buf_addf(key, "\n" STR_FMT, STR_ARG(parts[i]));
    for (size_t i = 0; i < policy->match.count; i++)
        buf_addf(key, "\n" STR_FMT, STR_ARG(policy->match.items[i]));
    if (sd->requiretls != SMTP_REQUIRETLS_DISABLE)
        buf_add_cstr(key, "\nrequiretls");
    if (rule->sts.mode != MTA_STS_NONE)
        buf_addf(key, "\nsts %d " STR_FMT, (int)rule->sts.mode, STR_ARG(rule->sts.id));
}

bool smtp_tls_may_reuse(const struct smtp_delivery *sd, const struct smtp_session *s)
{
    return stream_tls_info(s->stream) == NULL || sd->tls_rule.policy.reuse;
}

struct str smtp_tls_status(enum tls_level configured, const char *final, bool is_violated, struct arena *arena)
{
    const char *name = tls_level_name(configured);

    if (final == NULL)
        return arena_strf(arena, "%s%s", is_violated ? "!" : "", name);
    if (final[0] == '?')
        return arena_strf(arena, "%s?", name);
    return arena_strf(arena, "%s%s:%s", is_violated ? "!" : "", name, final);
}
