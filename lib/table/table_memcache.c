// SPDX-License-Identifier: ISC
// table_memcache.c: memcache: tables: memcached's text protocol, with another table behind it where the file names one.
//
// What only the backup knows is stored for ttl seconds. A cache that fails is passed over when there is a backup.
// Trust: the cache is hostile: lines and data are bounded. Suspends: always.
#include <openssl/evp.h>

#include "lib/base/log.h"
#include "lib/table/table_peer_impl.h"
#include "lib/table/table_source_impl.h"

#define KEY_MAX 250 // of the protocol

struct memcache {
    struct table_source source; // query: key_format
    struct table_peer *peer;
    struct table *backup; // may be NULL
    const EVP_MD *digest; // may be NULL
    int64_t flags, ttl, timeout, max_try, retry_pause, line_limit, data_limit;
};

struct question {
    const struct memcache *table;
    struct str key;
    struct str store; // .ptr NULL: a get
    struct buf *value;
};

static int bad_reply(struct raw line, struct err *err)
{
    struct buf text = BUF_INIT;
    buf_add_printable(&text, raw_unchecked(line), 100);
    err_set(err, ERR_PROTOCOL, "unexpected answer of the cache: %s", buf_cstr(&text));
    buf_release(&text);
    return -1;
}

static int read_line(struct stream *s, const struct question *q, struct raw *line_r, struct err *err) CO
{
    enum line_end end;
    int rc = stream_read_line(s, (size_t)q->table->line_limit, line_r, &end, err);

    if (rc == 0 || (rc > 0 && end == LINE_EOF))
        return err_set(err, ERR_PROTOCOL, "the cache closed the connection");
    if (rc > 0 && end == LINE_CUT)
        return err_set(err, ERR_PROTOCOL, "the cache sends a line of more than %lld bytes",
                       (long long)q->table->line_limit);
    return rc;
}

// "VALUE key flags bytes": the number of bytes; -1.
int64_t table_memcache_size(struct raw line, struct str key, int64_t limit)
{
    struct str rest = raw_unchecked(line), word;
    int64_t size = -1;

    if (!str_token(&rest, " ", &word) || !str_is(word, STR("VALUE")) || !str_token(&rest, " ", &word) ||
        !str_is(word, key) || !str_token(&rest, " ", &word) || !str_token(&rest, " ", &word) ||
        str_to_i64(word, &size) < 0 || size > limit)
        return -1;
    return size;
}

static int read_data(struct stream *s, size_t size, struct buf *value, struct err *err) CO
{
    size_t left = size;

    while (left > 0) {
        struct raw data;
        int rc = stream_peek(s, &data, err);
        size_t n;
        if (rc == 0)
            return err_set(err, ERR_PROTOCOL, "the cache closed the connection");
        if (rc < 0)
            return -1;
        n = data.len < left ? data.len : left;
        buf_add(value, data.ptr, n);
        stream_consume(s, n);
        left -= n;
    }
    if (size > 0 && memchr(value->ptr, 0, value->len) != NULL)
        return err_set(err, ERR_PROTOCOL, "the cache sends a NUL byte");
    return 0;
}

static int read_value(struct stream *s, const struct question *q, struct err *err) CO
{
    struct raw line;
    int64_t size;

    if (read_line(s, q, &line, err) < 0)
        return -1;
    if (str_is(raw_unchecked(line), STR("END")))
        return 0;
    size = table_memcache_size(line, q->key, q->table->data_limit);
    if (size < 0)
        return bad_reply(line, err);
    if (read_data(s, (size_t)size, q->value, err) < 0 || read_line(s, q, &line, err) < 0)
        return -1;
    if (line.len != 0)
        return bad_reply(line, err);
    if (read_line(s, q, &line, err) < 0)
        return -1;
    return str_is(raw_unchecked(line), STR("END")) ? 1 : bad_reply(line, err);
}

static int ask(struct stream *s, void *question, bool *keeps_r, struct err *err)
{
    struct question *q = question;
    struct raw line;
    int found = -1;

    co_assert_running();
    *keeps_r = false;
    buf_clear(q->value);
    if (q->store.ptr == NULL) {
        stream_printf(s, "get " STR_FMT "\r\n", STR_ARG(q->key));
    } else {
        stream_printf(s, "set " STR_FMT " %lld %lld %zu\r\n", STR_ARG(q->key), (long long)q->table->flags,
                      (long long)q->table->ttl, q->store.len);
        stream_write_str(s, q->store);
        stream_write_str(s, STR("\r\n"));
    }
    if (stream_flush(s, err) < 0)
        return -1;
    if (q->store.ptr == NULL)
        found = read_value(s, q, err);
    else if (read_line(s, q, &line, err) >= 0)
        found = str_is(raw_unchecked(line), STR("STORED")) ? 1 : bad_reply(line, err);
    *keeps_r = found >= 0 && stream_buffered(s) == 0;
    return found;
}

// The key as the cache knows it. 1, 0 it has none for this key, -1.
static int cache_key(struct memcache *m, struct str key, struct buf *out, struct err *err) CO
{
    struct table_expansion e = {.template = m->source.query, .key = key};
    int rc = table_source_accepts(&m->source, key, err);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (rc > 0)
        rc = table_template_expand(&e, out);
    if (rc > 0 && m->digest != NULL) {
        if (!EVP_Digest(out->ptr, out->len, hash, &size, m->digest, NULL))
            return err_set(err, ERR_TEMPORARY, "cannot digest the key");
        buf_clear(out);
        for (unsigned i = 0; i < size; i++)
            buf_addf(out, "%02x", hash[i]);
    }
    if (rc <= 0 || out->len > KEY_MAX)
        return rc < 0 ? -1 : 0;
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->ptr[i] <= ' ' || out->ptr[i] == 127)
            return 0;
    return 1;
}

static int try_cache(struct memcache *m, struct question *q, struct err *err) CO
{
    for (int64_t tries = 1;; tries++) {
        int found = table_peer_query(m->peer, ask, q, clock_deadline(m->timeout), err);
        if (found >= 0 || tries >= m->max_try || co_is_cancelled())
            return found;
        if (m->retry_pause > 0)
            co_sleep_until(clock_deadline(m->retry_pause));
    }
}

static int ask_backup(struct memcache *m, struct str key, struct str stored_key, struct buf *value_r,
                      struct err *err) CO
{
    struct buf ignored = BUF_INIT;
    struct err cache_err = ERR_INIT;
    struct question q = {m, stored_key, STR_NULL, &ignored};
    int found = table_lookup(m->backup, key, value_r, err);

    if (found > 0 && value_r->len > 0 && (int64_t)value_r->len <= m->data_limit) {
        q.store = buf_str(value_r);
        if (table_peer_query(m->peer, ask, &q, clock_deadline(m->timeout), &cache_err) < 0)
            log_debug("memcache: %s", cache_err.text);
    }
    buf_release(&ignored);
    return found;
}

static int memcache_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct memcache *m = t->data;
    struct buf stored_key = BUF_INIT;
    struct question q = {m, STR_NULL, STR_NULL, value_r};
    int found;

    co_assert_running();
    found = cache_key(m, key, &stored_key, err);
    if (found > 0) {
        q.key = buf_str(&stored_key);
        found = try_cache(m, &q, err);
        if (found <= 0 && m->backup != NULL) {
            if (found < 0)
                log_warn("table %s: %s; asking the backup", t->name, err->text);
            found = ask_backup(m, key, q.key, value_r, err);
        }
    }
    buf_release(&stored_key);
    return found;
}

static void memcache_close(void *data)
{
    struct memcache *m = data;
    table_source_release(&m->source);
    table_peer_free(m->peer);
    table_close(m->backup);
    mem_free(m);
}

static int take_setup(struct memcache *m, struct err *err)
{
    struct table_config *c = m->source.config;
    struct str digest = table_config_str(c, "key_digest", ""), backup = table_config_str(c, "backup", "");
    struct str where = table_config_str(c, "memcache", "inet:localhost:11211");

    if (table_source_take_template(&m->source, table_config_str(c, "key_format", "%s"), &m->source.query, err) < 0 ||
        table_config_int(c, "flags", 0, &m->flags, err) < 0 || table_config_int(c, "ttl", 3600, &m->ttl, err) < 0 ||
        table_config_int(c, "timeout", 2, &m->timeout, err) < 0 ||
        table_config_int(c, "max_try", 2, &m->max_try, err) < 0 ||
        table_config_int(c, "retry_pause", 1, &m->retry_pause, err) < 0 ||
        table_config_int(c, "line_size_limit", 1024, &m->line_limit, err) < 0 ||
        table_config_int(c, "data_size_limit", 10240, &m->data_limit, err) < 0)
        return -1;
    if (m->timeout < 1 || m->line_limit < 64 || m->line_limit > 65536 || m->data_limit > TABLE_VALUE_MAX ||
        m->max_try > 10 || m->retry_pause > 10)
        return err_set(err, ERR_PERMANENT, "%s: a time or size is out of range", table_config_name(c));
    if (digest.len > 0 && (m->digest = EVP_get_digestbyname(digest.ptr)) == NULL)
        return err_set(err, ERR_PERMANENT, "%s: unknown key_digest " STR_FMT, table_config_name(c), STR_ARG(digest));
    m->peer = table_peer_new(where, "11211", err);
    if (m->peer != NULL && backup.len > 0)
        m->backup = table_open(backup, 0);
    return m->peer == NULL ? -1 : 0;
}

static void *memcache_open(struct table *t, struct err *err)
{
    struct memcache *m = MEM_NEW(struct memcache);

    if (table_source_init(&m->source, t->body, err) == 0 && take_setup(m, err) == 0)
        return m;
    memcache_close(m);
    return NULL;
}

const struct table_type table_type_memcache = {
    "memcache",      true, false,          memcache_open,
    memcache_lookup, NULL, memcache_close, TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
