// SPDX-License-Identifier: ISC
// table_pgsql.c: pgsql: tables, through libpq.
//
// Trust: keys are hostile: escaped by the connection in its own encoding. Suspends: always (jobs).
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

#include "lib/net/addr.h"
#include "lib/table/table_client_impl.h"

#define PARAMETERS 10

struct parameters {
    const char *names[PARAMETERS], *values[PARAMETERS];
    unsigned count;
};

static void add(struct parameters *p, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    p->names[p->count] = name;
    p->values[p->count++] = value.ptr;
}

// "unix:/dir", "unix:/dir/.s.PGSQL.5432", "inet:host:port", "host:port", "host"
static void add_host(struct parameters *p, struct str host, struct arena *arena)
{
    struct str name, port;
    long socket;

    if (str_starts(host, STR("postgresql://")) || str_starts(host, STR("postgres://"))) {
        add(p, "dbname", host);
        return;
    }
    if (str_starts(host, STR("unix:"))) {
        host = str_slice(host, 5, host.len);
        socket = str_find_str(host, STR("/.s.PGSQL."));
        add(p, "host", arena_str(arena, str_slice(host, 0, socket < 0 ? host.len : (size_t)socket)));
        if (socket >= 0)
            add(p, "port", arena_str(arena, str_slice(host, (size_t)socket + 10, host.len)));
        return;
    }
    if (str_starts(host, STR("inet:")))
        host = str_slice(host, 5, host.len);
    if (net_split_host_port(host, STR("5432"), &name, &port) < 0)
        return;
    add(p, "host", arena_str(arena, name));
    add(p, "port", arena_str(arena, port));
}

static void *pgsql_connect(const struct table_source *source, const void *setup, const char *host, struct err *err)
{
    struct table_config *c = source->config;
    struct parameters p = {.count = 0};
    struct arena arena = ARENA_INIT;
    char seconds[12];
    PGconn *connection;

    snprintf(seconds, sizeof(seconds), "%d", TABLE_CLIENT_SECONDS);
    add(&p, "dbname", table_config_str(c, "dbname", ""));
    add(&p, "user", table_config_str(c, "user", ""));
    add(&p, "password", table_config_str(c, "password", ""));
    add(&p, "connect_timeout", str_from(seconds));
    add(&p, "client_encoding", table_config_str(c, "encoding", "UTF8"));
    add_host(&p, str_from(host), &arena);
    connection = PQconnectdbParams(p.names, p.values, 1);
    arena_release(&arena);
    if (connection != NULL && PQstatus(connection) == CONNECTION_OK)
        return connection;
    err_set(err, ERR_TEMPORARY, "connect to pgsql server %s: " STR_FMT, host,
            STR_ARG(str_trim(str_from(connection ? PQerrorMessage(connection) : "out of memory"))));
    PQfinish(connection);
    return NULL;
}

static int quote(void *context, struct buf *out, struct str text)
{
    int error = 0;

    buf_reserve(out, 2 * text.len + 1);
    out->len += PQescapeStringConn(context, out->ptr + out->len, text.ptr, text.len, &error);
    return error ? -1 : 0;
}

static int lose(struct table_request *r, PGconn *connection, const char *what)
{
    r->is_lost = true;
    return err_set(&r->err, ERR_TEMPORARY, "pgsql: %s: " STR_FMT, what,
                   STR_ARG(str_trim(str_from(PQerrorMessage(connection)))));
}

// PQexec would wait for ever.
static int wait_for_answer(PGconn *connection, struct table_request *r)
{
    int64_t deadline = clock_deadline(TABLE_CLIENT_SECONDS);

    while (PQisBusy(connection)) {
        struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN};
        int64_t left = deadline - clock_ms();
        int ready = left <= 0 ? 0 : poll(&fd, 1, (int)left);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            r->is_lost = true;
            return err_set(&r->err, ERR_TEMPORARY, "pgsql: no answer within %d seconds", TABLE_CLIENT_SECONDS);
        }
        if (!PQconsumeInput(connection))
            return lose(r, connection, "connection lost");
    }
    return 0;
}

static int take_rows(const PGresult *result, struct table_request *r)
{
    for (int row = 0; row < PQntuples(result); row++)
        for (int column = 0; column < PQnfields(result); column++) {
            struct str value = str_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
            if (!PQgetisnull(result, row, column) && table_rows_add(&r->rows, value, &r->err) < 0)
                return -1;
        }
    return 0;
}

static int take_result(PGconn *connection, const PGresult *result, struct table_request *r)
{
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        return take_rows(result, r);
    if (PQresultStatus(result) == PGRES_COMMAND_OK)
        return err_set(&r->err, ERR_TEMPORARY, "pgsql: the query gives no result set");
    if (PQstatus(connection) != CONNECTION_OK)
        return lose(r, connection, "connection lost");
    return err_set(&r->err, ERR_TEMPORARY, "pgsql query failed: " STR_FMT,
                   STR_ARG(str_trim(str_from(PQresultErrorMessage(result)))));
}

static int take_answer(PGconn *connection, struct table_request *r)
{
    int rc = 0;

    for (;;) {
        PGresult *result;
        if (wait_for_answer(connection, r) < 0)
            return -1;
        result = PQgetResult(connection);
        if (result == NULL)
            return rc;
        if (rc == 0)
            rc = take_result(connection, result, r);
        PQclear(result);
    }
}

static int pgsql_query(void *connection, struct table_request *r)
{
    struct table_expansion e = {.template = r->source->query, .key = r->key, .quote = quote, .context = connection};
    struct buf query = BUF_INIT;
    int rc = table_template_expand(&e, &query);

    if (rc < 0)
        rc = err_set(&r->err, ERR_TEMPORARY, "pgsql: the key is not valid in the encoding of the connection");
    else if (rc > 0)
        rc = PQsendQuery(connection, buf_cstr(&query)) ? take_answer(connection, r) : lose(r, connection, "cannot ask");
    buf_release(&query);
    return rc;
}

static void pgsql_close(void *connection)
{
    PQfinish(connection);
}

static void *pgsql_open(struct table *t, struct err *err)
{
    static const struct table_client_ops ops = {pgsql_connect, pgsql_query, pgsql_close, NULL};
    struct table_source source;
    struct table_client *client;
    int64_t idle, retry;

    table_source_note_owner(t);
    if (table_source_init(&source, t->body, err) < 0 || table_source_take_sql(&source, err) < 0 ||
        table_config_int(source.config, "idle_interval", 60, &idle, err) < 0 ||
        table_config_int(source.config, "retry_interval", 60, &retry, err) < 0) {
        table_source_release(&source);
        return NULL;
    }
    client = table_client_new(&ops, &source, NULL, table_config_str(source.config, "hosts", ""), "localhost");
    table_client_set_intervals(client, idle, retry);
    return client;
}

static int pgsql_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    co_assert_running();
    return table_client_lookup(t->data, key, value_r, err);
}

static void pgsql_table_close(void *data)
{
    table_client_free(data);
}

const struct table_type table_type_pgsql = {
    "pgsql", true, false, pgsql_open, pgsql_lookup, NULL, pgsql_table_close, TABLE_TYPE_REPORTS};
