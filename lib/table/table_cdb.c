// SPDX-License-Identifier: ISC
// table_cdb.c: cdb: tables: FILE.cdb, a constant database, through libcdb.
#include <cdb.h>
#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct cdb_table {
    struct cdb cdb;
    int fd;
};

static void cdb_table_close(void *data)
{
    struct cdb_table *c = data;
    cdb_free(&c->cdb);
    close(c->fd);
    mem_free(c);
}

static void *cdb_open(struct table *t, struct err *err)
{
    struct buf path = BUF_INIT;
    struct table_watch *text, *index;
    struct cdb_table *c;

    buf_addf(&path, "%s.cdb", t->body);
    text = table_add_watch(t, t->body);
    index = table_add_watch(t, buf_cstr(&path));
    buf_release(&path);
    c = MEM_NEW(struct cdb_table);
    c->fd = table_watch_open(index);
    if (c->fd < 0) {
        err_errno(err, "open database %s", index->path);
        mem_free(c);
        return NULL;
    }
    if (text->exists && index->mtime_ns < text->mtime_ns)
        log_warn("database %s is older than source file %s", index->path, t->body);
    if (cdb_init(&c->cdb, c->fd) == 0)
        return c;
    err_errno(err, "open database %s", index->path);
    close(c->fd);
    mem_free(c);
    return NULL;
}

// Keys and values end in NUL or not, as their writer liked.
static int cdb_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct cdb_table *c = t->data;
    int found = 0;

    for (unsigned nul = 0; nul < 2 && found == 0; nul++)
        found = cdb_find(&c->cdb, key.ptr, (unsigned)(key.len + (nul == 0)));
    if (found < 0)
        return err_set(err, ERR_TEMPORARY, "database %s.cdb: %s", t->body, strerror(errno));
    if (found > 0) {
        const char *data = cdb_getdata(&c->cdb);
        size_t length = cdb_datalen(&c->cdb);
        if (data == NULL)
            return err_set(err, ERR_TEMPORARY, "database %s.cdb is damaged", t->body);
        if (length > 0 && data[length - 1] == '\0')
            length--;
        buf_add(value_r, data, length);
    }
    return found;
}

static struct str without_nul(const void *data, size_t length)
{
    const char *text = data;
    return str_of(text, length > 0 && text[length - 1] == '\0' ? length - 1 : length);
}

static int cdb_table_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    struct cdb_table *c = t->data;
    unsigned position = (unsigned)*cursor;
    int more;

    if (position == 0)
        cdb_seqinit(&position, &c->cdb);
    more = cdb_seqnext(&position, &c->cdb);
    if (more <= 0)
        return more == 0 ? 0 : err_set(err, ERR_TEMPORARY, "database %s.cdb is damaged", t->body);
    *cursor = position;
    *key_r = without_nul(cdb_getkey(&c->cdb), cdb_keylen(&c->cdb));
    *value_r = without_nul(cdb_getdata(&c->cdb), cdb_datalen(&c->cdb));
    return 1;
}

const struct table_type table_type_cdb = {"cdb", true, true, cdb_open, cdb_lookup, cdb_table_next, cdb_table_close, 0};
