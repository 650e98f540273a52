// SPDX-License-Identifier: ISC
// verify_store.c: where the cache is kept: in address_verify_map, or in memory when that is empty.
//
// A table that fails costs only probes: the address counts as unknown, or the caller says that it cannot be verified.
// Suspends: in tables of proxywrite, and while cleaning, which lets others run after every CLEAN_STEP entries.
#include "lib/base/log.h"
#include "services/verify/verify.h"

#define CLEAN_STEP 100
#define STAMP      "_LAST_CACHE_CLEANUP_COMPLETED_" // when the cache was last cleaned: the one key that is no address

void verify_store_open(struct verify *v)
{
    if (v->settings->address_verify_map.len > 0)
        v->cache = table_open(v->settings->address_verify_map, TABLE_WRITE | TABLE_KEEP_CASE);
}

void verify_store_hand_over(struct verify *v)
{
    if (v->cache == NULL || str_starts(table_name(v->cache), STR("proxy:")))
        return;
    table_close(v->cache);
    v->cache = NULL;
}

void verify_store_close(struct verify *v)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    if (v->cache != NULL)
        table_close(v->cache);
    while ((entry = map_next(&v->memory, &it)) != NULL)
        mem_free(entry->value);
    map_release(&v->memory);
}

static void note(struct verify *v, const struct err *err)
{
    if (!v->had_trouble)
        log_warn("%s", err->text);
    v->had_trouble = true;
}

static int lookup(struct verify *v, struct str key, struct buf *value_r) CO
{
    struct err err = ERR_INIT;

    if (v->cache == NULL) {
        const char *value = map_get(&v->memory, key);
        if (value != NULL)
            buf_add_cstr(value_r, value);
        return value != NULL;
    }
    int found = table_lookup(v->cache, key, value_r, &err);
    if (found < 0)
        note(v, &err);
    else
        v->had_trouble = false;
    return found;
}

int verify_store_get(struct verify *v, struct str address, struct buf *value_r, struct verify_entry *entry_r)
{
    int found = lookup(v, address, value_r);

    if (found > 0 && !verify_entry_parse(buf_str(value_r), entry_r)) {
        log_warn("address verification cache: malformed entry for " STR_FMT, STR_ARG(address));
        return 0;
    }
    return found;
}

static void put(struct verify *v, struct str key, struct str value) CO
{
    struct err err = ERR_INIT;

    if (v->cache != NULL) {
        if (table_update(v->cache, key, value, &err) < 0)
            note(v, &err);
    } else if (v->memory.count < VERIFY_MEMORY_MAX || map_find(&v->memory, key) != NULL) {
        mem_free(map_set(&v->memory, key, mem_dup_str(value)));
    }
}

void verify_store_put(struct verify *v, struct str address, const struct verify_entry *entry)
{
    struct buf value = BUF_INIT;

    verify_entry_add(&value, entry);
    put(v, address, buf_str(&value));
    buf_release(&value);
}

// ---- Cleaning

static bool is_worn_out(const struct verify *v, struct str value)
{
    struct verify_entry entry;
    return !verify_entry_parse(value, &entry) || !verify_entry_is_usable(&entry, v->settings, clock_wall());
}

static void clean_memory(struct verify *v)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    while ((entry = map_next(&v->memory, &it)) != NULL)
        if (is_worn_out(v, str_from(entry->value)))
            mem_free(map_remove(&v->memory, entry->key));
}

static void clean_table(struct verify *v) CO
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct err err = ERR_INIT;
    size_t retained = 0, dropped = 0;
    int found;

    while ((found = table_next_after(v->cache, buf_str(&key), &key, &value, &err)) > 0) {
        if (str_is(buf_str(&key), STR(STAMP)))
            continue;
        if (!is_worn_out(v, buf_str(&value)))
            retained++;
        else if (table_delete(v->cache, buf_str(&key), &err) >= 0)
            dropped++;
        if ((retained + dropped) % CLEAN_STEP == 0 && (co_yield () < 0 || v->cache == NULL))
            break; // this process ends
    }
    if (found < 0)
        note(v, &err);
    if (found == 0) {
        buf_clear(&value);
        buf_addf(&value, "%lld", (long long)clock_wall());
        put(v, STR(STAMP), buf_str(&value));
        log_info("cache " STR_FMT " full cleanup: retained=%zu dropped=%zu entries", STR_ARG(table_name(v->cache)),
                 retained, dropped);
    }
    buf_release(&key);
    buf_release(&value);
}

// Seconds until the cache is to be cleaned.
static int64_t clean_delay(struct verify *v) CO
{
    struct buf value = BUF_INIT;
    int64_t last, now = clock_wall(), delay = 0;

    if (lookup(v, STR(STAMP), &value) > 0 && str_to_i64(buf_str(&value), &last) == 0 && last <= now)
        delay = last + v->settings->address_verify_cache_cleanup_interval - now;
    buf_release(&value);
    return delay;
}

void verify_store_clean(struct verify *v)
{
    int64_t interval = v->settings->address_verify_cache_cleanup_interval;

    while (interval > 0 && !co_is_cancelled()) {
        int64_t delay = v->cache != NULL ? clean_delay(v) : interval;
        if (delay > 0) {
            co_sleep_until(clock_deadline(delay));
        } else {
            clean_table(v);
            co_sleep_until(clock_deadline(interval));
        }
        if (v->cache == NULL && !co_is_cancelled())
            clean_memory(v);
    }
}
