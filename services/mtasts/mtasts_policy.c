// SPDX-License-Identifier: ISC
// mtasts_policy.c: when DNS and the web server of a domain are asked, and what follows (RFC 8461 3.3, 5.1).
//
// A policy in force stays until it expires, whatever DNS or the web server say meanwhile, unless they give a new one.
// Trust: DNS answers and policies are hostile. Suspends: lookups, fetching.
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/net/dns.h"
#include "services/mtasts/mtasts.h"

#define LOOKUP_MS 20000

// The id of the one record of the domain. 1, 0 it has none (or several, which is none), -1 unknown.
static int find_id(const char *domain, char id_r[MTA_STS_ID_MAX + 1]) CO
{
    struct arena arena = ARENA_INIT;
    struct dns_texts texts;
    struct str id, name = arena_strf(&arena, "_mta-sts.%s", domain);
    enum dns_status status = dns_lookup_txt(name, &arena, clock_ms() + LOOKUP_MS, &texts);
    size_t records = 0;
    bool is_good = false;

    for (size_t i = 0; i < texts.count; i++) {
        int found = mta_sts_record_parse(texts.items[i], &id);
        records += found != 0;
        if (found <= 0)
            continue;
        is_good = true;
        snprintf(id_r, MTA_STS_ID_MAX + 1, STR_FMT, STR_ARG(id));
    }
    arena_release(&arena);
    if (status == DNS_TRY_AGAIN)
        return -1;
    return is_good && records == 1;
}

static void take_policy(struct mtasts *m, struct mtasts_entry *e, const char *id, struct str text) CO
{
    struct arena arena = ARENA_INIT;
    struct mta_sts policy;
    struct err err = ERR_INIT;

    if (mta_sts_policy_parse(text, &arena, &policy, &err) < 0) {
        log_warn("MTA-STS policy of %s: %s", e->domain, err.text);
    } else {
        snprintf(e->id, sizeof e->id, "%s", id);
        e->fetched = clock_wall();
        e->expires = e->fetched + policy.max_age;
        buf_clear(&e->text);
        buf_add_str(&e->text, text);
        log_info("MTA-STS policy of %s: mode %s, id %s, valid for %lld s", e->domain, mta_sts_mode_name(policy.mode),
                 e->id, (long long)policy.max_age);
        mtasts_cache_store(m, e);
    }
    arena_release(&arena);
}

static void ask_web_server(struct mtasts *m, struct mtasts_entry *e, const char *id) CO
{
    struct buf text = BUF_INIT;
    struct err err = ERR_INIT;

    if (mtasts_fetch(m->settings, str_from(e->domain), &text, &err) == 0)
        take_policy(m, e, id, buf_str(&text));
    else
        log_warn("MTA-STS policy of %s: %s%s", e->domain, err.text,
                 mtasts_entry_is_valid(e, clock_wall()) ? "; the former one stays in force" : "");
    buf_release(&text);
}

void mtasts_policy_refresh(struct mtasts *m, struct mtasts_entry *e, bool renews)
{
    char id[MTA_STS_ID_MAX + 1] = "";
    int64_t wait = m->settings->mtasts_check_time * 1000;

    if (!renews && e->checked_ms > 0 && clock_ms() - e->checked_ms < wait)
        return;
    e->is_busy = true;
    int found = find_id(e->domain, id);
    bool is_known = mtasts_entry_is_valid(e, clock_wall()) && str_is(str_from(id), str_from(e->id));
    if (found > 0 && (renews || !is_known))
        ask_web_server(m, e, id);
    e->checked_ms = clock_ms();
    e->is_busy = false;
    co_event_broadcast(&e->done);
}
