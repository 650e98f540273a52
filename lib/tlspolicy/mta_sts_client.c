// SPDX-License-Identifier: ISC
// mta_sts_client.c: asks the mtasts service, several questions at a time: each has a connection, which is kept for the
// next.
// Trust: the service reads from the network, so that its answers are checked like a policy from there.
// Suspends: asking. Limits: KEPT_MAX idle connections.
#include "lib/ipc/ipc.h"
#include "lib/tlspolicy/mta_sts.h"

#define KEPT_MAX 10

struct mta_sts_client {
    int64_t timeout;
    struct ipc_conn *kept[KEPT_MAX];
    size_t count;
};

struct mta_sts_client *mta_sts_client_new(int64_t timeout_seconds)
{
    struct mta_sts_client *c = MEM_NEW(struct mta_sts_client);

    c->timeout = timeout_seconds;
    return c;
}

void mta_sts_client_free(struct mta_sts_client *c)
{
    if (c == NULL)
        return;
    while (c->count > 0)
        ipc_conn_free(c->kept[--c->count]);
    mem_free(c);
}

static struct ipc_conn *take_connection(struct mta_sts_client *c, int64_t deadline, struct err *err) CO
{
    while (c->count > 0) {
        struct ipc_conn *conn = c->kept[--c->count];
        if (ipc_is_alive(conn))
            return conn;
        ipc_conn_free(conn);
    }
    return ipc_connect(MTA_STS_SERVICE_PATH, deadline, err);
}

static int read_answer(const struct ipc_view *view, struct arena *arena, struct mta_sts *policy_r, struct err *err)
{
    if (str_is(view->verb, STR("none")))
        return 0;
    if (!str_is(view->verb, STR("policy")))
        return err_set(err, ERR_PROTOCOL, "unexpected answer of the mtasts service");
    if (mta_sts_policy_parse(ipc_str_or(view, "text", STR("")), arena, policy_r, err) < 0)
        return -1;
    policy_r->id = arena_str(arena, str_slice(ipc_str_or(view, "id", STR("")), 0, MTA_STS_ID_MAX));
    return 0;
}

int mta_sts_ask(struct mta_sts_client *c, struct str domain, struct arena *arena, struct mta_sts *policy_r,
                struct err *err)
{
    int64_t deadline = clock_deadline(c->timeout);
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_view view;

    *policy_r = (struct mta_sts){.mode = MTA_STS_NONE, .id = STR("")};
    struct ipc_conn *conn = take_connection(c, deadline, err);
    if (conn == NULL)
        return -1;
    ipc_begin(&request, 1, "policy");
    ipc_add_str(&request, "domain", domain);
    int result = ipc_end(&request) < 0 ? err_set(err, ERR_BUG, "the domain is too long") : 0;
    if (result == 0)
        result = ipc_call(conn, &request, &view, deadline, err);
    if (result == 0)
        result = read_answer(&view, arena, policy_r, err);
    ipc_msg_release(&request);
    if (result == 0 && c->count < KEPT_MAX)
        c->kept[c->count++] = conn;
    else
        ipc_conn_free(conn);
    if (result < 0)
        policy_r->mode = MTA_STS_NONE;
    return result;
}
