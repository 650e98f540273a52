// SPDX-License-Identifier: ISC
// anvil_client.c: the client's side of the anvil service (see anvil_client.h).
// Suspends: for the answer, at most ANSWER_SECONDS.
#include "lib/ipc/anvil_client.h"

#define ANSWER_SECONDS 10
#define RETRY_SECONDS  10

struct anvil_client {
    char *path;
    struct ipc_conn *conn;
    struct co_lock lock; // one request at a time on the connection
    int64_t dead_until;  // clock_ms
};

const char *anvil_event_verb(enum anvil_event event)
{
    static const char *const verbs[ANVIL_EVENT_COUNT] = {"connect", "disconnect",    "message", "recipient",
                                                         "newtls",  "newtls_status", "auth"};
    return verbs[event];
}

struct anvil_client *anvil_client_new(const char *socket_path)
{
    struct anvil_client *c = MEM_NEW(struct anvil_client);
    c->path = mem_strdup(socket_path);
    co_lock_init(&c->lock);
    return c;
}

void anvil_client_free(struct anvil_client *c)
{
    if (c == NULL)
        return;
    ipc_conn_free(c->conn);
    mem_free(c->path);
    mem_free(c);
}

static void drop_connection(struct anvil_client *c)
{
    ipc_conn_free(c->conn);
    c->conn = NULL;
}

static int ask(struct anvil_client *c, enum anvil_event event, struct ipc_msg *request, struct anvil_counts *counts_r,
               struct err *err) CO
{
    struct ipc_view answer;
    int64_t deadline = clock_deadline(ANSWER_SECONDS);
    if (c->conn != NULL && !ipc_is_alive(c->conn)) // the service was restarted
        drop_connection(c);
    if (c->conn == NULL && (c->conn = ipc_connect(c->path, deadline, err)) == NULL)
        return -1;
    if (event == ANVIL_DISCONNECT)
        return ipc_send(c->conn, request, deadline, err);
    if (ipc_call(c->conn, request, &answer, deadline, err) < 0)
        return -1;
    if (!str_is(answer.verb, STR("counts")) || !ipc_get_int(&answer, "count", &counts_r->count) ||
        !ipc_get_int(&answer, "rate", &counts_r->rate))
        return err_set(err, ERR_PROTOCOL, "unexpected answer of the anvil service");
    return 0;
}

int anvil_client_note(struct anvil_client *c, enum anvil_event event, struct str client, struct anvil_counts *counts_r,
                      struct err *err)
{
    struct ipc_msg request = IPC_MSG_INIT;
    *counts_r = (struct anvil_counts){0, 0};
    if (clock_ms() < c->dead_until)
        return err_set(err, ERR_TEMPORARY, "the anvil service did not answer a moment ago");
    ipc_begin(&request, 0, anvil_event_verb(event));
    ipc_add_str(&request, "client", str_slice(client, 0, ANVIL_CLIENT_MAX));
    int rc = ipc_end(&request);
    if (rc == 0)
        rc = co_lock_acquire(&c->lock, clock_deadline(ANSWER_SECONDS)) < 0
                 ? err_errno(err, "wait for the anvil service")
                 : 0;
    if (rc == 0) {
        rc = ask(c, event, &request, counts_r, err);
        if (rc < 0) {
            drop_connection(c);
            if (!co_is_cancelled())
                c->dead_until = clock_deadline(RETRY_SECONDS);
        }
        co_lock_release(&c->lock);
    }
    ipc_msg_release(&request);
    return rc;
}
