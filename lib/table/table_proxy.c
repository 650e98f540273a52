// SPDX-License-Identifier: ISC
// table_proxy.c: asks the proxymap service: for tables of databases, whose connections all processes share there; and
// proxywrite, for caches that several processes share.
//
// Trust: the service is a peer daemon: its frames are checked by lib/ipc. Suspends: always.
// Limits: IPC_POOL_MAX idle connections a process and service.
#include "lib/ipc/ipc_pool.h"
#include "lib/table/table_cache_impl.h"

#define QUERY_SECONDS 100

// A service and the connections to it, as long as a table that asks it is open.
struct proxy_service {
    const char *standard_name;
    char *name; // NULL: the standard one
    struct ipc_pool pool;
    unsigned users;
};

struct proxy_table {
    const char *target; // "pgsql:/etc/postfix/x.cf": borrows from the table's name
    struct proxy_service *service;
};

// Of the process.
static struct {
    struct proxy_service reads, writes;
    uint32_t next_id;
} process = {.reads = {.standard_name = "proxymap"}, .writes = {.standard_name = "proxywrite"}};

void table_set_proxy_services(struct str reads, struct str writes)
{
    mem_free(process.reads.name);
    mem_free(process.writes.name);
    process.reads.name = mem_dup_str(reads);
    process.writes.name = mem_dup_str(writes);
}

static void give_back(struct proxy_service *service, struct ipc_conn *conn, bool works)
{
    if (works && service->users > 0)
        ipc_pool_give(&service->pool, conn);
    else
        ipc_conn_free(conn);
}

static struct ipc_conn *connect_service(const struct proxy_service *service, int64_t deadline, struct err *err) CO
{
    struct buf path = BUF_INIT;
    struct ipc_conn *conn;

    buf_addf(&path, "private/%s", service->name ? service->name : service->standard_name);
    conn = ipc_connect(buf_cstr(&path), deadline, err);
    buf_release(&path);
    return conn;
}

// What a request holds besides table and flags, and what its answer may bring.
struct exchange {
    const char *verb;
    struct str key, value;       // value: of an update, else .ptr NULL
    struct buf *key_r, *value_r; // may be NULL
};

static bool take_field(const struct ipc_view *answer, const char *name, struct buf *out)
{
    struct str text;

    if (out == NULL)
        return true;
    if (!ipc_get_str(answer, name, &text) || (text.len > 0 && memchr(text.ptr, 0, text.len) != NULL))
        return false;
    buf_add_str(out, text);
    return true;
}

static int take_answer(const struct ipc_view *answer, const struct exchange *x, struct err *err)
{
    struct str reason = ipc_str_or(answer, "reason", STR("the service gives no reason"));

    if (str_is(answer->verb, STR("found"))) {
        if (!take_field(answer, "key", x->key_r) || !take_field(answer, "value", x->value_r))
            return err_set(err, ERR_PROTOCOL, "malformed answer of the proxymap service");
        return 1;
    }
    if (str_is(answer->verb, STR("absent")))
        return 0;
    return err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(reason));
}

static int ask(struct ipc_conn *conn, struct ipc_msg *request, const struct exchange *x, bool *works_r,
               struct err *err) CO
{
    struct ipc_view answer;

    *works_r = ipc_call(conn, request, &answer, clock_deadline(QUERY_SECONDS), err) == 0;
    return *works_r ? take_answer(&answer, x, err) : -1;
}

static void compose(struct table *t, const struct exchange *x, struct ipc_msg *request)
{
    struct proxy_table *p = t->data;

    ipc_begin(request, ++process.next_id, x->verb);
    ipc_add_str(request, "table", str_from(p->target));
    ipc_add_int(request, "flags", t->flags & (TABLE_FOLD_KEYS | TABLE_KEEP_CASE | TABLE_NO_SUBSTITUTION));
    ipc_add_str(request, "key", x->key);
    if (x->value.ptr != NULL)
        ipc_add_str(request, "value", x->value);
    (void)ipc_end(request);
}

// 1, 0, -1. A kept connection may have died: then the request is made again on another.
static int converse(struct table *t, const struct exchange *x, struct err *err) CO
{
    struct proxy_table *p = t->data;
    struct ipc_msg request = IPC_MSG_INIT;
    bool works = false, was_kept = true;
    int found = -1;

    while (!works && was_kept) {
        struct ipc_conn *conn = ipc_pool_take(&p->service->pool);
        was_kept = conn != NULL;
        if (conn == NULL)
            conn = connect_service(p->service, clock_deadline(QUERY_SECONDS), err);
        if (conn == NULL)
            break;
        compose(t, x, &request);
        found = ask(conn, &request, x, &works, err);
        give_back(p->service, conn, works);
        if (!works && err->kind == ERR_CANCELLED)
            break;
    }
    if (!works)
        err_prefix(err, "%s service", p->service->standard_name);
    ipc_msg_release(&request);
    return found;
}

static int proxy_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct exchange x = {"lookup", key, STR_NULL, NULL, value_r};
    struct buf folded = BUF_INIT;
    int found;

    co_assert_running();
    if ((t->flags & TABLE_WRITE) && (t->flags & TABLE_KEEP_CASE) == 0) { // proxywrite takes keys as they are
        buf_add_lower(&folded, key);
        x.key = buf_str(&folded);
    }
    found = converse(t, &x, err);
    buf_release(&folded);
    return found;
}

int table_proxy_update(struct table *t, struct str key, struct str value, struct err *err)
{
    struct exchange x = {"update", key, value, NULL, NULL};
    if (value.ptr == NULL)
        x.value = STR("");
    return converse(t, &x, err) < 0 ? -1 : 0;
}

int table_proxy_delete(struct table *t, struct str key, struct err *err)
{
    struct exchange x = {"delete", key, STR_NULL, NULL, NULL};
    return converse(t, &x, err);
}

int table_proxy_next(struct table *t, struct str after, struct buf *key_r, struct buf *value_r, struct err *err)
{
    struct exchange x = {"next", after, STR_NULL, key_r, value_r};
    return converse(t, &x, err);
}

static void *proxy_open(struct table *t, struct err *err)
{
    struct proxy_table *p = MEM_NEW(struct proxy_table);
    const char *target = t->name;

    while (strncmp(target, "proxy:", 6) == 0)
        target += 6;
    p->target = target;
    p->service = t->flags & TABLE_WRITE ? &process.writes : &process.reads;
    p->service->users++;
    return p;
}

static void proxy_close(void *data)
{
    struct proxy_table *p = data;
    struct proxy_service *service = p->service;

    mem_free(p);
    if (--service->users == 0)
        ipc_pool_clear(&service->pool);
}

const struct table_type table_type_proxy = {
    "proxy",      true, false,       proxy_open,
    proxy_lookup, NULL, proxy_close, TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
const struct table_type table_type_proxy_full = {
    "proxy",      false, false,       proxy_open,
    proxy_lookup, NULL,  proxy_close, TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
