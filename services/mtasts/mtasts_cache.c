// SPDX-License-Identifier: ISC
// mtasts_cache.c: what is known about domains, in memory and in mtasts_cache_map.
// Trust: the table is ours, but may be garbage after a crash: what does not parse is forgotten.
// Suspends: the table. Limits: ENTRIES_MAX domains in memory.
#include <stdio.h>

#include "lib/base/log.h"
#include "services/mtasts/mtasts.h"

#define ENTRIES_MAX 5000

static void entry_free(struct mtasts_entry *e)
{
    mem_free(e->domain);
    buf_release(&e->text);
    mem_free(e);
}

void mtasts_entry_encode(const struct mtasts_entry *e, struct buf *value)
{
    buf_addf(value, "%s %lld %lld\n", e->id, (long long)e->expires, (long long)e->fetched);
    buf_add_str(value, buf_str(&e->text));
}

int mtasts_entry_decode(struct mtasts_entry *e, struct str value)
{
    struct arena arena = ARENA_INIT;
    struct str head, id = STR(""), expires = STR(""), fetched = STR(""), rest = value;
    struct mta_sts policy;
    struct err err = ERR_INIT;

    bool is_good = str_cut(&rest, '\n', &head) && str_token(&head, " ", &id) && mta_sts_id_is_valid(id) &&
                   str_token(&head, " ", &expires) && str_to_i64(expires, &e->expires) == 0 &&
                   str_token(&head, " ", &fetched) && str_to_i64(fetched, &e->fetched) == 0 &&
                   mta_sts_policy_parse(rest, &arena, &policy, &err) == 0;
    arena_release(&arena);
    if (!is_good)
        return -1;
    snprintf(e->id, sizeof e->id, STR_FMT, STR_ARG(id));
    buf_clear(&e->text);
    buf_add_str(&e->text, rest);
    return 0;
}

// Makes room: whoever is not being asked about goes; policies stay on disk.
static void make_room(struct mtasts *m)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *item;

    while (m->entries.count >= ENTRIES_MAX && (item = map_next(&m->entries, &it)) != NULL) {
        struct mtasts_entry *e = item->value;
        if (e->is_busy)
            continue;
        map_remove(&m->entries, str_from(e->domain));
        entry_free(e);
    }
}

static void load(struct mtasts *m, struct mtasts_entry *e) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_lookup(m->table, str_from(e->domain), &value, &err);

    if (found < 0)
        log_warn("cache of policies: %s", err.text);
    if (found > 0 && mtasts_entry_decode(e, buf_str(&value)) < 0)
        log_warn("cache of policies: the entry of %s is damaged", e->domain);
    buf_release(&value);
}

struct mtasts_entry *mtasts_cache_get(struct mtasts *m, struct str domain)
{
    struct mtasts_entry *e = map_get(&m->entries, domain);

    if (e != NULL)
        return e;
    make_room(m);
    e = MEM_NEW(struct mtasts_entry);
    e->domain = mem_dup_str(domain);
    co_event_init(&e->done);
    map_set(&m->entries, domain, e);
    if (m->table == NULL)
        return e;
    e->is_busy = true; // stays while the table is read
    load(m, e);
    e->is_busy = false;
    co_event_broadcast(&e->done);
    return e;
}

void mtasts_cache_store(struct mtasts *m, struct mtasts_entry *e)
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;

    if (m->table == NULL)
        return;
    mtasts_entry_encode(e, &value);
    if (table_update(m->table, str_from(e->domain), buf_str(&value), &err) < 0)
        log_warn("cache of policies: %s", err.text);
    buf_release(&value);
}

void mtasts_cache_remove(struct mtasts *m, struct mtasts_entry *e)
{
    struct err err = ERR_INIT;

    e->is_busy = true;
    if (m->table != NULL && table_delete(m->table, str_from(e->domain), &err) < 0)
        log_warn("cache of policies: %s", err.text);
    e->is_busy = false;
    co_event_broadcast(&e->done);
}

int mtasts_cache_next(struct mtasts *m, struct str after, struct buf *domain_r)
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = m->table == NULL ? 0 : table_next_after(m->table, after, domain_r, &value, &err);

    if (found < 0)
        log_warn("cache of policies: %s", err.text);
    buf_release(&value);
    return found == 1;
}

void mtasts_cache_free(struct mtasts *m)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *item;

    while ((item = map_next(&m->entries, &it)) != NULL)
        entry_free(item->value);
    map_release(&m->entries);
    table_close(m->table);
}
