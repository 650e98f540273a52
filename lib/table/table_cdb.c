// SPDX-License-Identifier: ISC
// table_cdb.c: cdb: tables: FILE.cdb, a constant database, through libcdb.
#include <cdb.h>
#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct cdb_reader {
    struct cdb cdb;
    int fd;
    char *path;
};

void cdb_reader_close(struct cdb_reader *r)
{
    cdb_free(&r->cdb);
    close(r->fd);
    mem_free(r->path);
    mem_free(r);
}

struct cdb_reader *cdb_reader_open(const struct table_watch *w, struct err *err)
{
    struct cdb_reader *r = MEM_NEW(struct cdb_reader);

    r->fd = table_watch_open(w);
    if (r->fd >= 0 && cdb_init(&r->cdb, r->fd) == 0) {
        r->path = mem_strdup(w->path);
        return r;
    }
    err_errno(err, "open database %s", w->path);
    if (r->fd >= 0)
        close(r->fd);
    mem_free(r);
    return NULL;
}

static struct str without_nul(const void *data, size_t length)
{
    const char *text = data;
    return str_of(text, length > 0 && text[length - 1] == '\0' ? length - 1 : length);
}

static int damaged(const struct cdb_reader *r, struct err *err)
{
    return err_set(err, ERR_TEMPORARY, "database %s is damaged", r->path);
}

// Keys and values end in NUL or not, as their writer liked.
int cdb_reader_get(struct cdb_reader *r, struct str key, struct buf *value_r, struct err *err)
{
    const void *data;
    int found = 0;

    for (unsigned nul = 0; nul < 2 && found == 0; nul++)
        found = cdb_find(&r->cdb, key.ptr, (unsigned)(key.len + (nul == 0)));
    if (found < 0)
        return err_errno(err, "database %s", r->path);
    if (found == 0)
        return 0;
    data = cdb_getdata(&r->cdb);
    if (data == NULL)
        return damaged(r, err);
    buf_add_str(value_r, without_nul(data, cdb_datalen(&r->cdb)));
    return 1;
}

int cdb_reader_next(struct cdb_reader *r, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    unsigned position = (unsigned)*cursor;
    const void *key, *value;
    int more;

    if (position == 0)
        cdb_seqinit(&position, &r->cdb);
    more = cdb_seqnext(&position, &r->cdb);
    if (more <= 0)
        return more == 0 ? 0 : damaged(r, err);
    *cursor = position;
    key = cdb_getkey(&r->cdb);
    value = cdb_getdata(&r->cdb);
    if (key == NULL || value == NULL)
        return damaged(r, err);
    *key_r = without_nul(key, cdb_keylen(&r->cdb));
    *value_r = without_nul(value, cdb_datalen(&r->cdb));
    return 1;
}

static void *cdb_open(struct table *t, struct err *err)
{
    struct buf path = BUF_INIT;
    struct table_watch *text, *index;

    buf_addf(&path, "%s.cdb", t->body);
    text = table_add_watch(t, t->body);
    index = table_add_watch(t, buf_cstr(&path));
    buf_release(&path);
    if (index->exists && text->exists && index->mtime_ns < text->mtime_ns)
        log_warn("database %s is older than source file %s", index->path, t->body);
    return cdb_reader_open(index, err);
}

// The key ends in NUL behind its length: see lookup_folded.
static int cdb_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    return cdb_reader_get(t->data, key, value_r, err);
}

static int cdb_table_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    return cdb_reader_next(t->data, cursor, key_r, value_r, err);
}

static void cdb_table_close(void *data)
{
    cdb_reader_close(data);
}

const struct table_type table_type_cdb = {"cdb", true, true, cdb_open, cdb_lookup, cdb_table_next, cdb_table_close, 0};
