// SPDX-License-Identifier: ISC
// proxymap.c: looks tables up for other processes, which share its database connections; as proxywrite, those of
// proxy_write_maps.
//
// A request names a table, flags and a key: {lookup, table, flags, key}; the answer is {found, value}, {absent}, or
// {failed, reason}. To proxywrite also {update, …, value}, {delete, …}, and {next, …}, which finds the key behind
// `key`: {found, key, value}. Allowed are the proxy: items of proxy_read_maps (proxy_write_maps for proxywrite, with
// updates), and the database tables that main.cf and master.cf name, which daemons cannot open themselves. The latter
// are opened before privileges are dropped: their files hold passwords. Trust: clients are hostile: names are checked
// against those lists, flags against what a client may ask.
// Suspends: in the tables. Limits: TABLES_MAX open tables.
#include "services/proxymap/proxymap.h"

#include "lib/base/log.h"
#include "lib/ipc/service.h"
#include "lib/table/table.h"

#define TABLES_MAX   1000
#define CLIENT_FLAGS (TABLE_FOLD_KEYS | TABLE_KEEP_CASE | TABLE_NO_SUBSTITUTION)
#define IDLE_SECONDS 3600

struct proxymap {
    struct proxymap_access access;
    struct map tables;  // "flags:type:name" -> struct table
    struct map refused; // names that were logged
    bool writes;
};

// ---- State

static struct table *find_table(struct proxymap *p, struct str name, unsigned flags)
{
    struct buf key = BUF_INIT;
    struct table *t;

    buf_addf(&key, "%u:" STR_FMT, flags, STR_ARG(name));
    t = map_get(&p->tables, buf_str(&key));
    if (t == NULL && p->tables.count < TABLES_MAX) {
        t = table_open(name, flags);
        map_set(&p->tables, buf_str(&key), t);
    }
    buf_release(&key);
    return t;
}

static void open_backends(struct proxymap *p)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    struct str type, rest;

    while ((entry = map_next(&p->access.names, &it)) != NULL) {
        rest = entry->key;
        if (str_cut(&rest, ':', &type) && table_type_is_backend(type))
            find_table(p, entry->key, 0);
    }
}

static int init(struct service_context *ctx, struct err *err)
{
    struct proxymap *p = MEM_NEW(struct proxymap);
    const struct settings *s = ctx->settings;

    p->writes = str_is(str_from(ctx->name), s->proxywrite_service_name);
    ctx->state = p;
    table_use_backends();
    proxymap_access_add_list(&p->access, p->writes ? s->proxy_write_maps : s->proxy_read_maps);
    if (!p->writes && proxymap_access_add_configuration(&p->access, ctx->conf, err) < 0)
        return -1;
    open_backends(p);
    return 0;
}

static void deinit(struct service_context *ctx)
{
    struct proxymap *p = ctx->state;
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    while ((entry = map_next(&p->tables, &it)) != NULL)
        table_close(entry->value);
    map_release(&p->tables);
    map_release(&p->refused);
    proxymap_access_release(&p->access);
    mem_free(p);
}

// ---- Requests

static void refuse(struct proxymap *p, struct str name, struct ipc_msg *answer, uint32_t id)
{
    struct buf reason = BUF_INIT;

    if (map_get(&p->refused, name) == NULL && p->refused.count < TABLES_MAX) {
        map_set(&p->refused, name, p);
        log_warn("request for unapproved table: \"" STR_FMT "\"", STR_ARG(name));
        log_warn("to approve this table for access, list proxy:" STR_FMT
                 " in proxy_read_maps (proxy_write_maps for caches)",
                 STR_ARG(name));
    }
    buf_addf(&reason, "table " STR_FMT " is not approved for the proxymap service", STR_ARG(str_slice(name, 0, 300)));
    ipc_begin(answer, id, "failed");
    ipc_add_str(answer, "reason", buf_str(&reason));
    buf_release(&reason);
}

struct request {
    bool may_write;
    struct str verb, key, value;
};

// 1 found or done, 0 absent, -1.
static int perform(struct table *t, const struct request *r, struct buf *key_r, struct buf *value_r, struct err *err) CO
{
    if (t == NULL)
        return err_set(err, ERR_TEMPORARY, "too many tables are open");
    if (str_is(r->verb, STR("lookup")))
        return table_lookup(t, r->key, value_r, err);
    if (r->may_write && str_is(r->verb, STR("update")))
        return table_update(t, r->key, r->value, err) < 0 ? -1 : 1;
    if (r->may_write && str_is(r->verb, STR("delete")))
        return table_delete(t, r->key, err);
    if (r->may_write && str_is(r->verb, STR("next")))
        return table_next_after(t, r->key, key_r, value_r, err);
    return err_set(err, ERR_PROTOCOL, "unknown request");
}

static void answer_table(struct table *t, const struct request *r, struct ipc_msg *answer, uint32_t id) CO
{
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = perform(t, r, &key, &value, &err);

    ipc_begin(answer, id, found > 0 ? "found" : found == 0 ? "absent" : "failed");
    if (found > 0) {
        ipc_add_str(answer, "key", buf_str(&key));
        ipc_add_str(answer, "value", buf_str(&value));
    }
    if (found < 0)
        ipc_add_str(answer, "reason", str_from(err.text));
    buf_release(&key);
    buf_release(&value);
}

// The view stays valid until the next one is received.
static int answer_request(void *arg, const struct ipc_view *view, struct ipc_msg *answer)
{
    co_assert_running();
    struct proxymap *p = arg;
    struct str name = ipc_str_or(view, "table", STR(""));
    unsigned flags = (unsigned)(ipc_int_or(view, "flags", 0) & CLIENT_FLAGS);
    struct request r = {p->writes, view->verb, ipc_str_or(view, "key", STR("")), ipc_str_or(view, "value", STR(""))};

    if (!proxymap_access_allows(&p->access, name))
        refuse(p, name, answer, view->id);
    else
        answer_table(find_table(p, name, p->writes ? TABLE_WRITE | TABLE_KEEP_CASE : flags), &r, answer, view->id);
    return ipc_end(answer);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, IDLE_SECONDS, answer_request, ctx->state);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "proxymap",
        .flags = SERVICE_MANY_CLIENTS,
        .init = init,
        .serve = serve,
        .deinit = deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
