// SPDX-License-Identifier: ISC
// table_redis.c: redis: tables, through hiredis.
//
// Keys of the file: hosts (inet:HOST:PORT, HOST:PORT, unix:PATH; localhost:6379), user, password, dbname (a number, 0),
// query (GET %s), domain, result_format, expansion_limit, idle_interval, retry_interval. The query is cut into words
// first and each word is expanded by itself, so that a key stays one argument. A text or number is a result, an array
// gives several, nil is absent.
// Trust: keys are arguments, never text of a command. Suspends: always (jobs).
#include <hiredis/hiredis.h>

#include "lib/net/addr.h"
#include "lib/table/table_client_impl.h"

#define WORDS_MAX 16

static redisContext *connect_to(struct str host)
{
    struct timeval patience = {.tv_sec = TABLE_CLIENT_SECONDS};
    struct str name, port;
    uint16_t number;
    redisContext *context;
    char *copy;

    if (str_starts(host, STR("unix:")))
        return redisConnectUnixWithTimeout(host.ptr + 5, patience);
    if (str_starts(host, STR("inet:")))
        host = str_slice(host, 5, host.len);
    if (net_split_host_port(host, STR("6379"), &name, &port) < 0 || net_port_by_name(port, &number) < 0)
        return NULL;
    copy = mem_dup_str(name);
    context = redisConnectWithTimeout(copy, number, patience);
    mem_free(copy);
    return context;
}

static bool command_works(redisContext *context, int count, const char **words, struct err *err)
{
    redisReply *reply = redisCommandArgv(context, count, words, NULL);
    bool works = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    if (!works)
        err_set(err, ERR_TEMPORARY, "redis %s: %s", words[0], reply ? reply->str : context->errstr);
    freeReplyObject(reply);
    return works;
}

static bool log_in(redisContext *context, struct table_config *c, struct err *err)
{
    struct str user = table_config_str(c, "user", ""), password = table_config_str(c, "password", ""),
               number = table_config_str(c, "dbname", "0");
    const char *auth[] = {"AUTH", user.len > 0 ? user.ptr : password.ptr, password.ptr};
    const char *select[] = {"SELECT", number.ptr};

    if (password.len > 0 && !command_works(context, user.len > 0 ? 3 : 2, auth, err))
        return false;
    return str_is(number, STR("0")) || command_works(context, 2, select, err);
}

static void *redis_connect(const struct table_source *source, const void *setup, const char *host, struct err *err)
{
    struct timeval patience = {.tv_sec = TABLE_CLIENT_SECONDS};
    redisContext *context = connect_to(str_from(host));

    if (context == NULL || context->err != 0)
        err_set(err, ERR_TEMPORARY, "connect to redis server %s: %s", host, context ? context->errstr : "bad address");
    else if (redisSetTimeout(context, patience) == REDIS_OK && log_in(context, source->config, err))
        return context;
    if (context != NULL)
        redisFree(context);
    return NULL;
}

static int take_reply(const redisReply *reply, unsigned depth, struct table_request *r)
{
    struct buf number = BUF_INIT;
    int rc = 0;

    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return table_rows_add(&r->rows, str_of(reply->str, reply->len), &r->err);
    case REDIS_REPLY_INTEGER:
        buf_addf(&number, "%lld", reply->integer);
        rc = table_rows_add(&r->rows, buf_str(&number), &r->err);
        buf_release(&number);
        return rc;
    case REDIS_REPLY_NIL:
        return 0;
    case REDIS_REPLY_ERROR:
        return err_set(&r->err, ERR_TEMPORARY, "redis query failed: %.300s", reply->str);
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements && rc == 0; i++)
            rc = depth > 4 ? err_set(&r->err, ERR_TEMPORARY, "redis: the answer is nested too deeply")
                           : take_reply(reply->element[i], depth + 1, r);
        return rc;
    default:
        return err_set(&r->err, ERR_TEMPORARY, "redis: unknown type of answer");
    }
}

static int ask(redisContext *context, struct buf *words, int count, struct table_request *r)
{
    const char *texts[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    redisReply *reply;
    int rc;

    for (int i = 0; i < count; i++) {
        texts[i] = buf_cstr(&words[i]);
        lengths[i] = words[i].len;
    }
    reply = redisCommandArgv(context, count, texts, lengths);
    if (reply == NULL) {
        r->is_lost = true;
        return err_set(&r->err, ERR_TEMPORARY, "redis: %s", context->errstr);
    }
    rc = take_reply(reply, 0, r);
    freeReplyObject(reply);
    return rc;
}

static int redis_query(void *connection, struct table_request *r)
{
    struct buf words[WORDS_MAX] = {BUF_INIT};
    struct str rest = r->source->query, word;
    int count = 0, rc = 1;

    while (rc > 0 && count < WORDS_MAX && str_token(&rest, " \t\r\n", &word)) {
        struct table_expansion e = {.template = word, .key = r->key};
        rc = table_template_expand(&e, &words[count++]);
    }
    if (rc > 0)
        rc = ask(connection, words, count, r);
    for (int i = 0; i < count; i++)
        buf_release(&words[i]);
    return rc;
}

static void redis_close(void *connection)
{
    redisFree(connection);
}

static void *redis_open(struct table *t, struct err *err)
{
    static const struct table_client_ops ops = {redis_connect, redis_query, redis_close, NULL};
    struct table_source source;
    struct table_client *client;
    int64_t idle, retry;

    if (table_source_init(&source, t->body, err) < 0 ||
        table_source_take_template(&source, table_config_str(source.config, "query", "GET %s"), &source.query, err) <
            0 ||
        table_config_int(source.config, "idle_interval", 60, &idle, err) < 0 ||
        table_config_int(source.config, "retry_interval", 60, &retry, err) < 0) {
        table_source_release(&source);
        return NULL;
    }
    client = table_client_new(&ops, &source, NULL, table_config_str(source.config, "hosts", ""), "localhost:6379");
    table_client_set_intervals(client, idle, retry);
    return client;
}

static int redis_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    co_assert_running();
    return table_client_lookup(t->data, key, value_r, err);
}

static void redis_table_close(void *data)
{
    table_client_free(data);
}

const struct table_type table_type_redis = {
    "redis", true, false, redis_open, redis_lookup, NULL, redis_table_close, TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
