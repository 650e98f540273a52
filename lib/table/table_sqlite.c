// SPDX-License-Identifier: ISC
// table_sqlite.c: sqlite: tables. The first column of each row counts, as in Postfix.
//
// Trust: keys are hostile: quotes in them are doubled. Suspends: always (jobs: the file may be locked for a while).
#include <sqlite3.h>

#include "lib/table/table_client_impl.h"

#define IDLE_SECONDS 2 // a replaced file is noticed that soon

static void *sqlite_connect(const struct table_source *source, const void *setup, const char *path, struct err *err)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, TABLE_CLIENT_SECONDS * 1000);
        return db;
    }
    err_set(err, ERR_TEMPORARY, "open database %s: %s", path, db ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_close(db);
    return NULL;
}

static int quote(void *context, struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            buf_add_char(out, '\'');
        buf_add_char(out, text.ptr[i]);
    }
    return 0;
}

static int fail(sqlite3 *db, struct table_request *r, const char *what)
{
    return err_set(&r->err, ERR_TEMPORARY, "sqlite: %s: %s", what, sqlite3_errmsg(db));
}

static int take_rows(sqlite3 *db, sqlite3_stmt *statement, struct table_request *r)
{
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const void *text = sqlite3_column_text(statement, 0);
        struct str value = str_of(text, (size_t)sqlite3_column_bytes(statement, 0));
        if (text != NULL && table_rows_add(&r->rows, value, &r->err) < 0)
            return -1;
    }
    return rc == SQLITE_DONE ? 0 : fail(db, r, "query failed");
}

static int sqlite_query(void *connection, struct table_request *r)
{
    struct table_expansion e = {.template = r->source->query, .key = r->key, .quote = quote};
    struct buf query = BUF_INIT;
    sqlite3_stmt *statement = NULL;
    int rc = table_template_expand(&e, &query);

    if (rc > 0 && sqlite3_prepare_v2(connection, query.ptr, (int)query.len, &statement, NULL) != SQLITE_OK)
        rc = fail(connection, r, "the query is malformed");
    else if (rc > 0)
        rc = take_rows(connection, statement, r);
    sqlite3_finalize(statement);
    buf_release(&query);
    return rc;
}

static void sqlite_close(void *connection)
{
    sqlite3_close(connection);
}

static void *sqlite_open(struct table *t, struct err *err)
{
    static const struct table_client_ops ops = {sqlite_connect, sqlite_query, sqlite_close, NULL};
    struct table_source source;
    struct table_client *client;
    struct str path;

    table_source_note_owner(t);
    if (table_source_init(&source, t->body, err) == 0 && table_source_take_sql(&source, err) == 0) {
        path = table_config_str(source.config, "dbpath", "");
        if (path.len > 0) {
            client = table_client_new(&ops, &source, NULL, STR(""), path.ptr);
            table_client_set_intervals(client, IDLE_SECONDS, 1);
            return client;
        }
        err_set(err, ERR_PERMANENT, "%s: dbpath is missing", t->body);
    }
    table_source_release(&source);
    return NULL;
}

static int sqlite_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    co_assert_running();
    return table_client_lookup(t->data, key, value_r, err);
}

static void sqlite_table_close(void *data)
{
    table_client_free(data);
}

const struct table_type table_type_sqlite = {
    "sqlite", true, false, sqlite_open, sqlite_lookup, NULL, sqlite_table_close, TABLE_TYPE_REPORTS};
