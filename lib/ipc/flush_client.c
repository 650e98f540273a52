// SPDX-License-Identifier: ISC
// flush_client.c: the client's side of the flush service (see flush_client.h).
// Suspends: for the answer, at most ANSWER_SECONDS.
#include "lib/ipc/flush_client.h"

#define ANSWER_SECONDS 30

struct flush_client {
    char *path;
    struct ipc_conn *conn;
    struct co_lock lock; // one request at a time
};

static const char *const verbs[] = {
    [FLUSH_OK] = "ok", [FLUSH_UNKNOWN_SITE] = "unknown", [FLUSH_BAD_SITE] = "bad", [FLUSH_FAILED] = "failed"};

const char *flush_status_verb(enum flush_status status)
{
    return verbs[status];
}

struct flush_client *flush_client_new(struct str service_name)
{
    struct flush_client *c = MEM_NEW(struct flush_client);
    struct buf path = BUF_INIT;
    buf_addf(&path, "public/" STR_FMT, STR_ARG(service_name));
    c->path = mem_strdup(buf_cstr(&path));
    buf_release(&path);
    co_lock_init(&c->lock);
    return c;
}

void flush_client_free(struct flush_client *c)
{
    if (c == NULL)
        return;
    ipc_conn_free(c->conn);
    mem_free(c->path);
    mem_free(c);
}

static void drop_connection(struct flush_client *c)
{
    ipc_conn_free(c->conn);
    c->conn = NULL;
}

static enum flush_status read_answer(const struct ipc_view *answer, struct err *err)
{
    for (int status = FLUSH_OK; status < FLUSH_FAILED; status++)
        if (str_is(answer->verb, str_from(verbs[status])))
            return (enum flush_status)status;
    err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(ipc_str_or(answer, "reason", STR("refused"))));
    return FLUSH_FAILED;
}

// Releases m.
static enum flush_status ask(struct flush_client *c, struct ipc_msg *m, struct err *err) CO
{
    struct ipc_view answer;
    int64_t deadline = clock_deadline(ANSWER_SECONDS);
    enum flush_status status = FLUSH_FAILED;
    if (co_lock_acquire(&c->lock, deadline) < 0) {
        err_errno(err, "wait for the flush service");
        ipc_msg_release(m);
        return FLUSH_FAILED;
    }
    if (c->conn != NULL && !ipc_is_alive(c->conn))
        drop_connection(c);
    if (c->conn == NULL)
        c->conn = ipc_connect(c->path, deadline, err);
    if (c->conn != NULL && ipc_call(c->conn, m, &answer, deadline, err) == 0)
        status = read_answer(&answer, err);
    else
        drop_connection(c);
    co_lock_release(&c->lock);
    ipc_msg_release(m);
    return status;
}

enum flush_status flush_client_add(struct flush_client *c, struct str site, struct str queue_id, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 0, "add");
    ipc_add_str(&m, "site", site);
    ipc_add_str(&m, "id", queue_id);
    (void)ipc_end(&m);
    return ask(c, &m, err);
}

enum flush_status flush_client_send(struct flush_client *c, struct str site, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 0, "send");
    ipc_add_str(&m, "site", site);
    (void)ipc_end(&m);
    return ask(c, &m, err);
}
