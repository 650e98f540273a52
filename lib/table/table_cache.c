// SPDX-License-Identifier: ISC
// table_cache.c: lmdb:, hash: and btree: opened with TABLE_WRITE: FILE.lmdb, read and changed in place by one process.
//
// What a cache holds can be found out again: changes are not synced one by one, and a file that is damaged is begun
// anew. Keys and values end in NUL, as Postfix writes them. Limits: KEY_MAX, MAP_MAX bytes of file.
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"
#include "lib/table/table_cache_impl.h"

#define KEY_MAX    510
#define MAP_START  ((size_t)64 * 1024 * 1024)
#define MAP_MAX    ((size_t)16 * 1024 * 1024 * 1024)
#define FILE_MODE  0600
#define LOCK_TRIES 100

struct cache {
    char *path;
    int lock_fd;
    MDB_env *env;
    MDB_dbi dbi;
    size_t map_size;
};

static int fail(const struct cache *c, int rc, struct err *err)
{
    return err_set(err, ERR_TEMPORARY, "database %s: %s", c->path, mdb_strerror(rc));
}

static void cache_close(void *data)
{
    struct cache *c = data;
    if (c->env != NULL)
        mdb_env_close(c->env);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    mem_free(c->path);
    mem_free(c);
}

static int open_env(struct cache *c)
{
    MDB_txn *txn;
    int rc = mdb_env_create(&c->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(c->env, c->map_size);
    if (rc == 0)
        rc = mdb_env_open(c->env, c->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS, FILE_MODE);
    if (rc == 0)
        rc = mdb_txn_begin(c->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &c->dbi);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

// The process that had the file before a reload may still be ending.
static int wait_for_lock(int fd)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    int rc = sys_flock(fd, SYS_LOCK_EXCLUSIVE, false);

    for (unsigned i = 0; i < LOCK_TRIES && rc == 0; i++) {
        nanosleep(&pause, NULL);
        rc = sys_flock(fd, SYS_LOCK_EXCLUSIVE, false);
    }
    return rc;
}

// The file, made if need be for the owner of its directory, and locked against a second writer.
static int lock_file(struct cache *c, const struct table_watch *w, struct err *err)
{
    struct stat dir;

    c->lock_fd = open(c->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (c->lock_fd < 0)
        return err_errno(err, "open database %s", c->path);
    if (geteuid() == 0 && w->dirfd >= 0 && fstat(w->dirfd, &dir) == 0 && fchown(c->lock_fd, dir.st_uid, dir.st_gid) < 0)
        return err_errno(err, "chown %s", c->path);
    switch (wait_for_lock(c->lock_fd)) {
    case 1:
        return 0;
    case 0:
        return err_set(err, ERR_TEMPORARY, "database %s is in use by another process", c->path);
    default:
        return err_errno(err, "lock %s", c->path);
    }
}

static void *cache_open(struct table *t, struct err *err)
{
    struct cache *c = MEM_NEW(struct cache);
    struct buf path = BUF_INIT;
    int rc;

    buf_addf(&path, "%s.lmdb", t->body);
    c->path = mem_strdup(buf_cstr(&path));
    buf_release(&path);
    c->lock_fd = -1;
    c->map_size = MAP_START;
    if (lock_file(c, table_add_watch(t, c->path), err) < 0) {
        cache_close(c);
        return NULL;
    }
    rc = open_env(c);
    if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_VERSION_MISMATCH) {
        log_warn("database %s: %s; starting with an empty one", c->path, mdb_strerror(rc));
        mdb_env_close(c->env);
        c->env = NULL;
        rc = ftruncate(c->lock_fd, 0) < 0 ? errno : open_env(c);
    }
    if (rc == 0)
        return c;
    fail(c, rc, err);
    cache_close(c);
    return NULL;
}

static MDB_val with_nul(struct buf *copy, struct str text)
{
    buf_add_str(copy, text);
    buf_add_char(copy, '\0');
    return (MDB_val){copy->len, copy->ptr};
}

static void add_without_nul(struct buf *out, const MDB_val *v)
{
    size_t size = v->mv_size;
    if (size > 0 && ((const char *)v->mv_data)[size - 1] == '\0')
        size--;
    buf_add(out, v->mv_data, size);
}

static int cache_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct cache *c = t->data;
    struct buf copy = BUF_INIT;
    MDB_val k = with_nul(&copy, key), v;
    MDB_txn *txn;
    int rc = key.len == 0 || key.len > KEY_MAX ? MDB_NOTFOUND : mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (rc == 0) {
        rc = mdb_get(txn, c->dbi, &k, &v);
        if (rc == 0)
            add_without_nul(value_r, &v);
        mdb_txn_abort(txn);
    }
    buf_release(&copy);
    return rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : fail(c, rc, err);
}

int table_cache_next(struct table *t, struct str after, struct buf *key_r, struct buf *value_r, struct err *err)
{
    struct cache *c = t->data;
    struct buf copy = BUF_INIT;
    MDB_val k = with_nul(&copy, after), v;
    MDB_cursor *cursor = NULL;
    MDB_txn *txn;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0) {
        buf_release(&copy);
        return fail(c, rc, err);
    }
    rc = mdb_cursor_open(txn, c->dbi, &cursor);
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, after.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
    if (rc == 0 && after.len > 0 && k.mv_size == copy.len && memcmp(k.mv_data, copy.ptr, copy.len) == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    if (rc == 0) {
        add_without_nul(key_r, &k);
        add_without_nul(value_r, &v);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    buf_release(&copy);
    return rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : fail(c, rc, err);
}

// value NULL: deletes.
static int change(struct cache *c, MDB_val *key, MDB_val *value)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = value != NULL ? mdb_put(txn, c->dbi, key, value, 0) : mdb_del(txn, c->dbi, key, NULL);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

// As change; the file grows as needed.
static int change_growing(struct cache *c, MDB_val *key, MDB_val *value)
{
    int rc = change(c, key, value);

    while (rc == MDB_MAP_FULL && c->map_size < MAP_MAX) {
        c->map_size *= 2;
        rc = mdb_env_set_mapsize(c->env, c->map_size);
        if (rc == 0)
            rc = change(c, key, value);
    }
    return rc;
}

int table_cache_update(struct table *t, struct str key, struct str value, struct err *err)
{
    struct cache *c = t->data;
    struct buf key_copy = BUF_INIT, value_copy = BUF_INIT;
    MDB_val k = with_nul(&key_copy, key), v = with_nul(&value_copy, value);
    int rc = key.len == 0 || key.len > KEY_MAX ? MDB_BAD_VALSIZE : change_growing(c, &k, &v);

    buf_release(&key_copy);
    buf_release(&value_copy);
    return rc == 0 ? 0 : fail(c, rc, err);
}

int table_cache_delete(struct table *t, struct str key, struct err *err)
{
    struct cache *c = t->data;
    struct buf copy = BUF_INIT;
    MDB_val k = with_nul(&copy, key);
    int rc = key.len == 0 || key.len > KEY_MAX ? MDB_NOTFOUND : change_growing(c, &k, NULL);

    buf_release(&copy);
    return rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : fail(c, rc, err);
}

const struct table_type table_type_cache = {"cache",      true, false,       cache_open,
                                            cache_lookup, NULL, cache_close, TABLE_TYPE_REPORTS};
