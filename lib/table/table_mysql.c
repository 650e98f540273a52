// SPDX-License-Identifier: ISC
// table_mysql.c: mysql: tables, through MariaDB's client library.
//
// Trust: keys are hostile: escaped by the connection in its own character set. Suspends: always (jobs).
#include <mysql.h>

#include "lib/net/addr.h"
#include "lib/table/table_client_impl.h"

struct setup {
    bool verifies, requires_result;
};

static const char *text_or_null(struct table_config *c, const char *key)
{
    struct str value = table_config_str(c, key, "");
    return value.len > 0 ? value.ptr : NULL;
}

static void set_options(MYSQL *connection, struct table_config *c, const struct setup *setup)
{
    unsigned seconds = TABLE_CLIENT_SECONDS;
    my_bool verifies = setup->verifies;
    const char *option_file = text_or_null(c, "option_file");

    mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
    mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    if (option_file != NULL)
        mysql_options(connection, MYSQL_READ_DEFAULT_FILE, option_file);
    if (option_file != NULL || table_config_has(c, "option_group"))
        mysql_options(connection, MYSQL_READ_DEFAULT_GROUP, table_config_str(c, "option_group", "client").ptr);
    if (table_config_has(c, "tls_key_file") || table_config_has(c, "tls_cert_file") ||
        table_config_has(c, "tls_CAfile") || table_config_has(c, "tls_CApath"))
        mysql_ssl_set(connection, text_or_null(c, "tls_key_file"), text_or_null(c, "tls_cert_file"),
                      text_or_null(c, "tls_CAfile"), text_or_null(c, "tls_CApath"), text_or_null(c, "tls_ciphers"));
    if (verifies)
        mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verifies);
    mysql_options(connection, MYSQL_SET_CHARSET_NAME, table_config_str(c, "charset", "utf8mb4").ptr);
}

static MYSQL *connect_to(MYSQL *connection, struct table_config *c, struct str host)
{
    struct str name = STR_NULL, port;
    uint16_t number = 0;
    const char *socket = NULL;
    char *host_name;
    MYSQL *connected;

    if (str_starts(host, STR("unix:"))) {
        socket = host.ptr + 5;
        name = STR("localhost");
    } else {
        if (str_starts(host, STR("inet:")))
            host = str_slice(host, 5, host.len);
        if (net_split_host_port(host, STR("0"), &name, &port) < 0 ||
            (!str_is(port, STR("0")) && net_port_by_name(port, &number) < 0))
            return NULL;
    }
    host_name = mem_dup_str(name);
    connected = mysql_real_connect(connection, host_name, text_or_null(c, "user"), text_or_null(c, "password"),
                                   text_or_null(c, "dbname"), number, socket, CLIENT_MULTI_RESULTS);
    mem_free(host_name);
    return connected;
}

static void *mysql_table_connect(const struct table_source *source, const void *setup, const char *host,
                                 struct err *err)
{
    MYSQL *connection = mysql_init(NULL);

    if (connection == NULL) {
        err_set(err, ERR_TEMPORARY, "connect to mysql server %s: out of memory", host);
        return NULL;
    }
    set_options(connection, source->config, setup);
    if (connect_to(connection, source->config, str_from(host)) != NULL)
        return connection;
    err_set(err, ERR_TEMPORARY, "connect to mysql server %s: %s", host, mysql_error(connection));
    mysql_close(connection);
    return NULL;
}

static int quote(void *context, struct buf *out, struct str text)
{
    unsigned long length;

    buf_reserve(out, 2 * text.len + 1);
    length = mysql_real_escape_string(context, out->ptr + out->len, text.ptr, text.len);
    if (length == (unsigned long)-1)
        return -1;
    out->len += length;
    return 0;
}

// Client errors (2000 up) mean the connection; the others come from the server.
static int fail(MYSQL *connection, struct table_request *r)
{
    unsigned code = mysql_errno(connection);

    r->is_lost = (code >= 2000 && code < 3000) || code == 1053 || code == 1927 || code == 4031;
    return err_set(&r->err, ERR_TEMPORARY, "mysql query failed: %s", mysql_error(connection));
}

static int take_rows(MYSQL_RES *result, struct table_request *r)
{
    unsigned columns = mysql_num_fields(result);
    MYSQL_ROW row;

    while ((row = mysql_fetch_row(result)) != NULL) {
        unsigned long *lengths = mysql_fetch_lengths(result);
        for (unsigned i = 0; i < columns; i++)
            if (row[i] != NULL && table_rows_add(&r->rows, str_of(row[i], lengths[i]), &r->err) < 0)
                return -1;
    }
    return 0;
}

// All results of the query: a stored procedure gives a set and then a status.
static int take_results(MYSQL *connection, struct table_request *r)
{
    const struct setup *setup = r->setup;
    bool has_set = false;
    int rc = 0, next;

    do {
        MYSQL_RES *result = mysql_store_result(connection);
        if (result == NULL && mysql_errno(connection) != 0)
            return fail(connection, r);
        if (result != NULL && rc == 0)
            rc = take_rows(result, r);
        has_set |= result != NULL;
        mysql_free_result(result);
        next = mysql_next_result(connection);
    } while (next == 0);
    if (next > 0)
        return fail(connection, r);
    if (rc == 0 && !has_set && setup->requires_result)
        return err_set(&r->err, ERR_TEMPORARY, "mysql: the query gives no result set");
    return rc;
}

static int mysql_table_query(void *connection, struct table_request *r)
{
    struct table_expansion e = {.template = r->source->query, .key = r->key, .quote = quote, .context = connection};
    struct buf query = BUF_INIT;
    int rc = table_template_expand(&e, &query);

    if (rc < 0)
        rc = err_set(&r->err, ERR_TEMPORARY, "mysql: the key cannot be escaped");
    else if (rc > 0)
        rc =
            mysql_real_query(connection, query.ptr, query.len) != 0 ? fail(connection, r) : take_results(connection, r);
    buf_release(&query);
    return rc;
}

static void mysql_connection_close(void *connection)
{
    mysql_close(connection);
}

static void *mysql_open(struct table *t, struct err *err)
{
    static const struct table_client_ops ops = {mysql_table_connect, mysql_table_query, mysql_connection_close,
                                                mem_free};
    struct setup *setup = MEM_NEW(struct setup);
    struct table_source source;
    struct table_client *client;
    int64_t idle, retry;

    mysql_library_init(0, NULL, NULL); // before any thread uses it
    table_source_note_owner(t);
    if (table_source_init(&source, t->body, err) < 0 || table_source_take_sql(&source, err) < 0 ||
        table_config_bool(source.config, "tls_verify_cert", false, &setup->verifies, err) < 0 ||
        table_config_bool(source.config, "require_result_set", true, &setup->requires_result, err) < 0 ||
        table_config_int(source.config, "idle_interval", 60, &idle, err) < 0 ||
        table_config_int(source.config, "retry_interval", 60, &retry, err) < 0) {
        table_source_release(&source);
        mem_free(setup);
        return NULL;
    }
    client = table_client_new(&ops, &source, setup, table_config_str(source.config, "hosts", ""), "localhost");
    table_client_set_intervals(client, idle, retry);
    return client;
}

static int mysql_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    co_assert_running();
    return table_client_lookup(t->data, key, value_r, err);
}

static void mysql_table_close(void *data)
{
    table_client_free(data);
}

const struct table_type table_type_mysql = {
    "mysql", true, false, mysql_open, mysql_lookup, NULL, mysql_table_close, TABLE_TYPE_REPORTS};
