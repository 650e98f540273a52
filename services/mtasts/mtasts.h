// SPDX-License-Identifier: ISC
// mtasts.h: the service that fetches and keeps MTA-STS policies: what its files share.
#ifndef DROMOS_SERVICES_MTASTS_MTASTS_H
#define DROMOS_SERVICES_MTASTS_MTASTS_H

#include "lib/base/map.h"
#include "lib/conf/settings.h"
#include "lib/table/table.h"
#include "lib/tlspolicy/mta_sts.h"

// What is known about one domain.
struct mtasts_entry {
    char *domain;
    struct buf text; // the policy file; empty: none is in force
    char id[MTA_STS_ID_MAX + 1];
    int64_t expires;    // wall seconds
    int64_t fetched;    // wall seconds
    int64_t checked_ms; // DNS was asked then; 0 never
    bool is_busy;       // somebody is asking
    struct co_event done;
};
struct mtasts {
    const struct settings *settings;
    struct table *table; // NULL: memory only
    struct map entries;  // by domain
};

// mtasts_cache.c: entries in memory, and on disk those with a policy.
struct mtasts_entry *mtasts_cache_get(struct mtasts *m,
                                      struct str domain) CO; // never NULL; not busy ones may go at the next call
void mtasts_cache_store(struct mtasts *m, struct mtasts_entry *e) CO;
void mtasts_cache_remove(struct mtasts *m, struct mtasts_entry *e) CO; // from the disk
// The first domain behind `after` that has a policy on disk: 1, 0.
int mtasts_cache_next(struct mtasts *m, struct str after, struct buf *domain_r) CO;
void mtasts_cache_free(struct mtasts *m);
// "ID EXPIRES FETCHED\nTEXT". Pure.
void mtasts_entry_encode(const struct mtasts_entry *e, struct buf *value);
int mtasts_entry_decode(struct mtasts_entry *e, struct str value);

// mtasts_policy.c: brings an entry up to date: DNS at most every mtasts_check_time, the web server when DNS tells of a
// change, or when `renews`.
void mtasts_policy_refresh(struct mtasts *m, struct mtasts_entry *e, bool renews) CO;
static inline bool mtasts_entry_is_valid(const struct mtasts_entry *e, int64_t now)
{
    return e->text.len > 0 && e->expires > now;
}

// mtasts_fetch.c: the policy file of a domain. 0, or -1.
int mtasts_fetch(const struct settings *s, struct str domain, struct buf *text_r, struct err *err) CO MUST_CHECK;

#endif
