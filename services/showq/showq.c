// SPDX-License-Identifier: ISC
// showq.c: streams the content of all queues to postqueue, as it scans.
// Trust: clients ask nothing; queue files may be garbage. Reads only.
// Suspends: while the client is slow, and now and then, so that one long listing does not hold up another.
#include "lib/agent/queue_list.h"
#include "lib/ipc/service.h"

enum { SEND_SECONDS = 60, BATCH = 32 * 1024, MESSAGES_PER_TURN = 32 };

struct listing {
    struct ipc_conn *conn;
    struct ipc_msg out;
    bool is_open; // a frame is being built
    unsigned messages;
};

static int end_frame(struct listing *l)
{
    if (!l->is_open)
        return 0;
    l->is_open = false;
    return ipc_end(&l->out);
}

static int send_out(struct listing *l, size_t at_least) CO
{
    struct err err = ERR_INIT;
    if (l->out.data.len < at_least || l->out.data.len == 0)
        return 0;
    return ipc_send(l->conn, &l->out, clock_deadline(SEND_SECONDS), &err);
}

static int tell_message(void *arg, const struct queue_list_message *m)
{
    co_assert_running();
    struct listing *l = arg;
    if (end_frame(l) < 0 || send_out(l, BATCH) < 0)
        return -1;
    if (++l->messages % MESSAGES_PER_TURN == 0 && co_yield () < 0)
        return -1;
    queue_list_add_message(&l->out, m);
    l->is_open = true;
    return 0;
}

static int tell_recipient(void *arg, const struct queue_list_recipient *r)
{
    co_assert_running();
    struct listing *l = arg;
    if (ipc_size(&l->out) > QUEUE_LIST_FRAME) {
        if (end_frame(l) < 0 || send_out(l, BATCH) < 0)
            return -1;
        queue_list_add_more(&l->out);
        l->is_open = true;
    }
    queue_list_add_recipient(&l->out, r);
    return 0;
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    const struct settings *s = ctx->settings;
    struct queue_layout layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    struct err err = ERR_INIT;
    struct listing l = {.conn = ipc_conn_new(client->fd), .out = IPC_MSG_INIT};
    struct queue_list_sink sink = {&l, tell_message, tell_recipient};
    int rc = queue_list_walk(&layout, &sink, &err);
    if (rc == 0 && end_frame(&l) == 0) { // without "end" the client knows that something is missing
        ipc_begin(&l.out, 0, "end");
        if (ipc_end(&l.out) == 0)
            (void)send_out(&l, 0);
    }
    ipc_msg_release(&l.out);
    ipc_conn_free(l.conn);
}

int main(int argc, char **argv)
{
    static const struct service service = {.program = "showq", .serve = serve};
    return service_main(&service, argc, argv);
}
