// SPDX-License-Identifier: ISC
// table_lmdb.c: reads LMDB files, made by us or by Postfix, without locks.
//
// Our writer never changes a file in place: it renames a new one over it. Postfix's postmap commits into the file that
// we have mapped; pages of the snapshot that we read are then free for the commit after that one. A lookup lasts
// microseconds and suspends nowhere; when two commits happened meanwhile, it is done again.
#include <errno.h>
#include <lmdb.h>

#include "lib/table/table_impl.h"

#define MAP_SIZE_MIN (16 * 1024 * 1024)
#define KEY_MAX      511
#define RETRIES      10

enum nul_habit { NUL_UNKNOWN, NUL_STORED, NUL_ABSENT };

struct lmdb_reader {
    MDB_env *env;
    MDB_txn *txn; // read only, reset between lookups
    MDB_dbi dbi;
    MDB_cursor *listing;
    enum nul_habit nul; // whether keys end in NUL, learnt at the first hit
};

static int fail(struct err *err, int rc, const char *what)
{
    int kind = err_set(err, ERR_TEMPORARY, "%s: %s", what, mdb_strerror(rc));
    if (err != NULL && rc > 0)
        err->errnum = rc;
    return kind;
}

void lmdb_reader_close(struct lmdb_reader *r)
{
    if (r->listing != NULL)
        mdb_cursor_close(r->listing);
    if (r->txn != NULL)
        mdb_txn_abort(r->txn);
    if (r->env != NULL)
        mdb_env_close(r->env);
    mem_free(r);
}

static int open_env(struct lmdb_reader *r, const char *path)
{
    int rc = mdb_env_create(&r->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(r->env, MAP_SIZE_MIN);
    if (rc == 0)
        rc = mdb_env_open(r->env, path, MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0);
    if (rc == 0)
        rc = mdb_txn_begin(r->env, NULL, MDB_RDONLY, &r->txn);
    if (rc == 0)
        rc = mdb_dbi_open(r->txn, NULL, 0, &r->dbi);
    if (rc == 0)
        mdb_txn_reset(r->txn);
    return rc;
}

struct lmdb_reader *lmdb_reader_open(const char *path, struct err *err)
{
    struct lmdb_reader *r = MEM_NEW(struct lmdb_reader);
    int rc = open_env(r, path);

    if (rc == 0)
        return r;
    lmdb_reader_close(r);
    err_set(err, ERR_TEMPORARY, "open database %s: %s", path, mdb_strerror(rc));
    if (err != NULL && rc > 0)
        err->errnum = rc;
    return NULL;
}

static size_t last_txn(struct lmdb_reader *r)
{
    MDB_envinfo info;
    return mdb_env_info(r->env, &info) == 0 ? info.me_last_txnid : 0;
}

static struct str without_nul(const MDB_val *v, bool has_nul)
{
    size_t len = v->mv_size;
    const char *text = v->mv_data;
    if (has_nul && len > 0 && text[len - 1] == '\0')
        len--;
    return str_of(text, len);
}

static int get(struct lmdb_reader *r, struct str key, MDB_val *value_r)
{
    char with_nul[KEY_MAX + 1];
    MDB_val k = {key.len, (void *)(uintptr_t)key.ptr};
    int rc = MDB_NOTFOUND;

    if (r->nul != NUL_ABSENT && key.len < KEY_MAX) {
        memcpy(with_nul, key.ptr, key.len);
        with_nul[key.len] = '\0';
        k = (MDB_val){key.len + 1, with_nul};
        rc = mdb_get(r->txn, r->dbi, &k, value_r);
        if (rc == 0)
            r->nul = NUL_STORED;
    }
    if (rc == MDB_NOTFOUND && r->nul != NUL_STORED && key.len > 0) {
        k = (MDB_val){key.len, (void *)(uintptr_t)key.ptr};
        rc = mdb_get(r->txn, r->dbi, &k, value_r);
        if (rc == 0)
            r->nul = NUL_ABSENT;
    }
    return rc;
}

int lmdb_reader_get(struct lmdb_reader *r, struct str key, struct buf *value_r, struct err *err)
{
    int rc = MDB_NOTFOUND;

    if (key.len > KEY_MAX)
        return 0;
    for (unsigned i = 0; i < RETRIES; i++) {
        MDB_val value;
        size_t before;
        rc = mdb_txn_renew(r->txn);
        if (rc != 0)
            return fail(err, rc, "lookup error");
        before = mdb_txn_id(r->txn);
        rc = get(r, key, &value);
        buf_clear(value_r);
        if (rc == 0 && value.mv_size <= TABLE_VALUE_MAX + 1)
            buf_add_str(value_r, without_nul(&value, r->nul == NUL_STORED));
        mdb_txn_reset(r->txn);
        if (last_txn(r) < before + 2)
            break;
    }
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc == 0 ? 1 : fail(err, rc, "lookup error");
}

static void end_listing(struct lmdb_reader *r)
{
    mdb_cursor_close(r->listing);
    r->listing = NULL;
    mdb_txn_reset(r->txn);
}

int lmdb_reader_next(struct lmdb_reader *r, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    MDB_val key, value;
    int rc = 0;

    if (*cursor == 0 && r->listing != NULL)
        end_listing(r);
    if (r->listing == NULL) {
        rc = mdb_txn_renew(r->txn);
        if (rc == 0)
            rc = mdb_cursor_open(r->txn, r->dbi, &r->listing);
    }
    if (rc == 0)
        rc = mdb_cursor_get(r->listing, &key, &value, *cursor == 0 ? MDB_FIRST : MDB_NEXT);
    if (rc == 0) {
        ++*cursor;
        *key_r = without_nul(&key, true);
        *value_r = without_nul(&value, key_r->len < key.mv_size);
        return 1;
    }
    if (r->listing != NULL)
        end_listing(r);
    return rc == MDB_NOTFOUND ? 0 : fail(err, rc, "listing error");
}
