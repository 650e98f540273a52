// SPDX-License-Identifier: ISC
// table_index.c: the indexed types lmdb:, hash: and btree:; FILE.lmdb is the index of the text FILE.
//
// hash: and btree: prefer a fresh index, FILE.lmdb or else FILE.cdb; an old or missing one is rebuilt when nothing
// speaks against writing there, else the text is read into memory. lmdb: is the index alone, as in Postfix.
#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct index {
    struct lmdb_reader *lmdb; // one of the three
    struct cdb_reader *cdb;
    struct table_memory *memory;
};

static void index_close(void *data)
{
    struct index *x = data;
    if (x->lmdb != NULL)
        lmdb_reader_close(x->lmdb);
    if (x->cdb != NULL)
        cdb_reader_close(x->cdb);
    if (x->memory != NULL)
        table_memory_free(x->memory);
    mem_free(x);
}

static struct index *wrap(struct lmdb_reader *lmdb, struct table_memory *memory)
{
    struct index *x;
    if (lmdb == NULL && memory == NULL)
        return NULL;
    x = MEM_NEW(struct index);
    x->lmdb = lmdb;
    x->memory = memory;
    return x;
}

static struct index *wrap_cdb(struct cdb_reader *cdb)
{
    struct index *x = MEM_NEW(struct index);
    x->cdb = cdb;
    return x;
}

static void add_watch(struct table *t, const char *suffix)
{
    struct buf path = BUF_INIT;

    buf_addf(&path, "%s%s", t->body, suffix);
    table_add_watch(t, buf_cstr(&path));
    buf_release(&path);
}

static void add_watches(struct table *t)
{
    add_watch(t, "");
    add_watch(t, ".lmdb");
}

static bool is_older(const struct table_watch *index, const struct table_watch *text)
{
    return text->exists && index->mtime_ns < text->mtime_ns;
}

static void *lmdb_open(struct table *t, struct err *err)
{
    add_watches(t);
    if (t->watches[1].exists && is_older(&t->watches[1], &t->watches[0]))
        log_warn("database %s is older than source file %s", t->watches[1].path, t->body);
    return wrap(lmdb_reader_open(t->watches[1].path, err), NULL);
}

// Root builds no index in a directory or from a text that is somebody else's.
static bool may_rebuild(const struct table *t)
{
    struct stat dir;

    if ((t->flags & TABLE_NO_REBUILD) || t->watches[0].dirfd < 0 || fstat(t->watches[0].dirfd, &dir) < 0)
        return false;
    return dir.st_uid == geteuid() && t->watches[0].uid == geteuid() && (dir.st_mode & 022) == 0;
}

static bool is_fresh(const struct table_watch *index, const struct table_watch *text)
{
    return index->exists && !is_older(index, text);
}

static void *hash_open(struct table *t, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct lmdb_reader *lmdb = NULL;
    struct cdb_reader *cdb = NULL;
    struct table_watch *text, *index;
    unsigned flags = t->flags;

    add_watches(t);
    add_watch(t, ".cdb");
    text = &t->watches[0];
    index = &t->watches[1];
    if (is_fresh(&t->watches[2], text) && !is_fresh(index, text))
        cdb = cdb_reader_open(&t->watches[2], &ignored);
    if (cdb != NULL)
        return wrap_cdb(cdb);
    if (text->exists && !is_fresh(index, text)) {
        if (table_text_looks_like_aliases(text))
            flags |= TABLE_ALIAS_SOURCE;
        if (may_rebuild(t) && table_rebuild_index(t->body, flags, &ignored) == 0)
            table_watch_take(index);
    }
    if (is_fresh(index, text))
        lmdb = lmdb_reader_open(index->path, err);
    if (lmdb != NULL)
        return wrap(lmdb, NULL);
    if (text->exists)
        return wrap(NULL, table_memory_load(text, t->body, flags, err));
    if (!index->exists)
        err_set(err, ERR_TEMPORARY, "open database %s: %s", index->path, strerror(ENOENT));
    return NULL;
}

static int index_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct index *x = t->data;
    const struct table_memory_value *v;

    if (x->lmdb != NULL) {
        int found = lmdb_reader_get(x->lmdb, key, value_r, err);
        if (found < 0)
            err_prefix(err, "table %s", t->name);
        return found;
    }
    if (x->cdb != NULL)
        return cdb_reader_get(x->cdb, key, value_r, err);
    v = table_memory_get(x->memory, key);
    if (v == NULL)
        return 0;
    buf_add_str(value_r, v->value);
    return 1;
}

static int index_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    struct index *x = t->data;
    if (x->lmdb != NULL)
        return lmdb_reader_next(x->lmdb, cursor, key_r, value_r, err);
    if (x->cdb != NULL)
        return cdb_reader_next(x->cdb, cursor, key_r, value_r, err);
    return table_memory_next(x->memory, cursor, key_r, value_r);
}

const struct table_type table_type_lmdb = {"lmdb", true, true, lmdb_open, index_lookup, index_next, index_close, 0};
const struct table_type table_type_hash = {"hash", true, true, hash_open, index_lookup, index_next, index_close, 0};
const struct table_type table_type_btree = {"btree", true, true, hash_open, index_lookup, index_next, index_close, 0};
