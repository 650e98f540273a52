// SPDX-License-Identifier: ISC
// table_proxy.c: asks the proxymap service: for tables of databases, whose connections all processes share there.
//
// Trust: the service is a peer daemon: its frames are checked by lib/ipc. Suspends: always.
// Limits: KEPT_MAX idle connections a process.
#include "lib/ipc/ipc.h"
#include "lib/table/table_impl.h"

#define KEPT_MAX      4
#define QUERY_SECONDS 100

struct proxy_table {
    const char *target; // "pgsql:/etc/postfix/x.cf": borrows from the table's name
};

// Of the process, as long as one such table is open.
static struct {
    struct ipc_conn *kept[KEPT_MAX];
    size_t kept_count;
    unsigned users;
    char *service; // NULL: "proxymap"
    uint32_t next_id;
} process;

void table_set_proxy_service(struct str name)
{
    mem_free(process.service);
    process.service = mem_dup_str(name);
}

static struct ipc_conn *take_kept(void)
{
    while (process.kept_count > 0) {
        struct ipc_conn *last = process.kept[--process.kept_count];
        if (ipc_is_alive(last))
            return last;
        ipc_conn_free(last);
    }
    return NULL;
}

static void give_back(struct ipc_conn *conn, bool works)
{
    if (works && process.kept_count < KEPT_MAX && process.users > 0)
        process.kept[process.kept_count++] = conn;
    else
        ipc_conn_free(conn);
}

static struct ipc_conn *connect_service(int64_t deadline, struct err *err) CO
{
    struct buf path = BUF_INIT;
    struct ipc_conn *conn;

    buf_addf(&path, "private/%s", process.service ? process.service : "proxymap");
    conn = ipc_connect(buf_cstr(&path), deadline, err);
    buf_release(&path);
    return conn;
}

static int take_answer(const struct ipc_view *answer, struct buf *value_r, struct err *err)
{
    struct str reason = ipc_str_or(answer, "reason", STR("the proxymap service gives no reason"));

    if (str_is(answer->verb, STR("found"))) {
        struct str value;
        if (!ipc_get_str(answer, "value", &value) || (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL))
            return err_set(err, ERR_PROTOCOL, "malformed answer of the proxymap service");
        buf_add_str(value_r, value);
        return 1;
    }
    if (str_is(answer->verb, STR("absent")))
        return 0;
    return err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(reason));
}

static int ask(struct ipc_conn *conn, struct ipc_msg *request, struct buf *value_r, bool *works_r, struct err *err) CO
{
    struct ipc_view answer;

    *works_r = ipc_call(conn, request, &answer, clock_deadline(QUERY_SECONDS), err) == 0;
    return *works_r ? take_answer(&answer, value_r, err) : -1;
}

static int proxy_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct proxy_table *p = t->data;
    struct ipc_msg request = IPC_MSG_INIT;
    bool works = false, was_kept = true;
    int found = -1;

    co_assert_running();
    while (!works && was_kept) {
        struct ipc_conn *conn = take_kept();
        was_kept = conn != NULL;
        if (conn == NULL)
            conn = connect_service(clock_deadline(QUERY_SECONDS), err);
        if (conn == NULL)
            break;
        ipc_begin(&request, ++process.next_id, "lookup");
        ipc_add_str(&request, "table", str_from(p->target));
        ipc_add_int(&request, "flags", t->flags & (TABLE_FOLD_KEYS | TABLE_KEEP_CASE | TABLE_NO_SUBSTITUTION));
        ipc_add_str(&request, "key", key);
        (void)ipc_end(&request);
        found = ask(conn, &request, value_r, &works, err);
        give_back(conn, works);
        if (!works && err->kind == ERR_CANCELLED)
            break;
    }
    if (!works)
        err_prefix(err, "proxymap service");
    ipc_msg_release(&request);
    return found;
}

static void *proxy_open(struct table *t, struct err *err)
{
    struct proxy_table *p = MEM_NEW(struct proxy_table);
    const char *target = t->name;

    while (strncmp(target, "proxy:", 6) == 0)
        target += 6;
    p->target = target;
    process.users++;
    return p;
}

static void proxy_close(void *data)
{
    mem_free(data);
    if (--process.users > 0)
        return;
    while (process.kept_count > 0)
        ipc_conn_free(process.kept[--process.kept_count]);
}

const struct table_type table_type_proxy = {"proxy", true, false, proxy_open, proxy_lookup, NULL, proxy_close,
                                            TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS};
const struct table_type table_type_proxy_full = {"proxy", false, false, proxy_open, proxy_lookup, NULL, proxy_close,
                                                 TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS};
