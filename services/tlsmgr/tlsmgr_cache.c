// SPDX-License-Identifier: ISC
// tlsmgr_cache.c: sessions that can be resumed, in a table of the administrator's choice: key = id, value = "expiry
// session", both in hexadecimal. Trust: what the table says is checked: a session that does not decode is none.
// Suspends: in the table.
#include "lib/base/log.h"
#include "lib/table/table.h"
#include "services/tlsmgr/tlsmgr.h"

enum { ID_MAX = 1000, SESSION_MAX = 64 * 1024, CLEAN_PIECE = 100 };

struct tlsmgr_cache {
    const char *name;
    struct table *table; // NULL: nothing is remembered
    int64_t seconds;
};

struct tlsmgr_cache *tlsmgr_cache_open(const char *name, struct str database, int64_t seconds)
{
    struct tlsmgr_cache *c = MEM_NEW(struct tlsmgr_cache);
    c->name = name;
    c->seconds = seconds;
    c->table = database.len > 0 && seconds > 0 ? table_open(database, TABLE_WRITE | TABLE_KEEP_CASE) : NULL;
    return c;
}

void tlsmgr_cache_close(struct tlsmgr_cache *c)
{
    if (c->table != NULL)
        table_close(c->table);
    mem_free(c);
}

struct str tlsmgr_cache_name(const struct tlsmgr_cache *c)
{
    return str_from(c->name);
}

static void add_hex(struct buf *b, struct str s)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len; i++) {
        buf_add_char(b, digits[(unsigned char)s.ptr[i] >> 4]);
        buf_add_char(b, digits[(unsigned char)s.ptr[i] & 15]);
    }
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int add_bytes(struct buf *b, struct str hex)
{
    if (hex.len % 2 != 0)
        return -1;
    for (size_t i = 0; i < hex.len; i += 2) {
        int high = digit_of(hex.ptr[i]), low = digit_of(hex.ptr[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        buf_add_char(b, (char)(high << 4 | low));
    }
    return 0;
}

static bool is_expired(struct str value, struct str *session_r)
{
    struct str until;
    int64_t when = 0;
    return !str_cut(&value, ' ', &until) || str_to_i64(until, &when) < 0 || (*session_r = value, when <= clock_wall());
}

int tlsmgr_cache_get(struct tlsmgr_cache *c, struct str id, struct buf *session_r, struct err *err)
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct str session;
    if (c->table == NULL || id.len > ID_MAX)
        return 0;
    add_hex(&key, id);
    int found = table_lookup(c->table, buf_str(&key), &value, err);
    if (found > 0)
        found = !is_expired(buf_str(&value), &session) && add_bytes(session_r, session) == 0;
    buf_release(&key);
    buf_wipe(&value);
    return found;
}

int tlsmgr_cache_put(struct tlsmgr_cache *c, struct str id, struct str session, struct err *err)
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    if (c->table == NULL || id.len == 0 || id.len > ID_MAX || session.len > SESSION_MAX)
        return 0;
    add_hex(&key, id);
    buf_addf(&value, "%lld ", (long long)(clock_wall() + c->seconds));
    add_hex(&value, session);
    int rc = table_update(c->table, buf_str(&key), buf_str(&value), err);
    buf_release(&key);
    buf_wipe(&value);
    return rc;
}

int tlsmgr_cache_drop(struct tlsmgr_cache *c, struct str id, struct err *err)
{
    struct buf key = BUF_INIT;
    if (c->table == NULL || id.len > ID_MAX)
        return 0;
    add_hex(&key, id);
    int rc = table_delete(c->table, buf_str(&key), err);
    buf_release(&key);
    return rc < 0 ? -1 : 0;
}

void tlsmgr_cache_clean(struct tlsmgr_cache *c)
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct str session;
    struct err err = ERR_INIT;
    unsigned kept = 0, dropped = 0;
    int more = 0;
    while (c->table != NULL && (more = table_next_after(c->table, buf_str(&key), &key, &value, &err)) == 1) {
        if (!is_expired(buf_str(&value), &session))
            kept++;
        else if (table_delete(c->table, buf_str(&key), &err) >= 0)
            dropped++;
        if ((kept + dropped) % CLEAN_PIECE == 0 && co_yield () < 0)
            break;
    }
    if (more < 0)
        log_warn("cache of %s sessions: %s", c->name, err.text);
    else if (c->table != NULL) {
        struct str table = table_name(c->table);
        log_info("cache " STR_FMT " full cleanup: retained=%u dropped=%u entries", STR_ARG(table), kept, dropped);
    }
    buf_release(&key);
    buf_wipe(&value);
}
