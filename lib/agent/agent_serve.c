// SPDX-License-Identifier: ISC
// agent_serve.c: an agent's side of one connection from the queue manager.
// Trust: the queue manager's frames are checked; one that is malformed ends the connection.
// Suspends: everywhere. What runs when the connection ends is finished, its answer dropped: the process stays for it,
// and the lock on the queue file keeps the next queue manager away.
#include "lib/agent/agent.h"
#include "lib/base/log.h"
#include "lib/ipc/service.h"

enum { SEND_SECONDS = 60 };

// Shared by the reader and the deliveries under way; the last one out frees it.
struct serving {
    struct service_context *ctx;
    struct ipc_conn *conn;
    void (*fn)(struct service_context *ctx, struct delivery *d);
    unsigned capacity;
    unsigned running;
    unsigned references;
    struct ipc_msg answers;
    bool is_sending;
    bool is_broken;
    struct co_event one_finished;
};

struct serving_job {
    struct serving *serving;
    uint32_t id;
    struct arena arena;
    struct delivery delivery;
};

static void serving_unref(struct serving *s)
{
    if (--s->references > 0)
        return;
    ipc_conn_free(s->conn);
    ipc_msg_release(&s->answers);
    mem_free(s);
}

// Sends what has been gathered. Answers that come while it waits go out with the next round.
static void send_answers(struct serving *s) CO
{
    if (s->is_sending)
        return;
    s->is_sending = true;
    if (s->running > 0)
        (void)co_yield (); // others may finish in this turn: one write for all
    while (s->answers.data.len > 0 && !s->is_broken) {
        struct err err = ERR_INIT;
        struct ipc_msg batch = s->answers;
        s->answers = IPC_MSG_INIT;
        if (ipc_send(s->conn, &batch, clock_deadline(SEND_SECONDS), &err) < 0)
            s->is_broken = true; // the queue manager reads the marks from the file
        if (s->answers.data.ptr == NULL)
            s->answers = batch; // keeps the memory
        else
            ipc_msg_release(&batch);
    }
    s->is_sending = false;
}

static void run_job(struct serving_job *job) CO
{
    struct serving *s = job->serving;
    struct delivery *d = &job->delivery;
    struct err err = ERR_INIT;
    d->arena = &job->arena;
    if (delivery_begin(d, s->ctx->settings, &err) < 0) {
        log_warn(STR_FMT ": cannot deliver now: %s", STR_ARG(d->request.queue_id), err.text);
    } else {
        s->fn(s->ctx, d);
        delivery_settle_all(d, &(struct delivery_report){.status = DELIVERY_DEFERRED,
                                                         .dsn = STR("4.3.0"),
                                                         .text = STR("unknown mail system error")});
    }
    delivery_end(d, &s->answers, job->id);
    arena_release(&job->arena);
    mem_free(job);
    s->running--;
    co_event_signal(&s->one_finished);
    send_answers(s);
    service_delivery_end(s->ctx);
}

static void job_main(void *arg)
{
    co_assert_running();
    struct serving_job *job = arg;
    struct serving *s = job->serving;
    run_job(job);
    serving_unref(s);
}

// 0, or -1 when the peer broke the rules.
static int accept_request(struct serving *s, const struct ipc_view *view) CO
{
    struct err err = ERR_INIT;
    struct serving_job *job = MEM_NEW(struct serving_job);
    *job = (struct serving_job){.serving = s, .id = view->id, .arena = ARENA_INIT};
    job->delivery.fd = -1;
    if (delivery_request_read(view, &job->arena, &job->delivery.request, &err) < 0) {
        log_warn("malformed request from the queue manager: %s", err.text);
        arena_release(&job->arena);
        mem_free(job);
        return -1;
    }
    s->running++;
    service_delivery_begin(s->ctx);
    if (s->capacity == 1) {
        run_job(job);
        return 0;
    }
    s->references++;
    co_spawn("delivery", job_main, job);
    return 0;
}

// 1 a request, 0 the end.
static int next_request(struct serving *s, struct ipc_view *view_r) CO
{
    struct err err = ERR_INIT;
    while (s->running >= s->capacity)
        if (co_event_wait(&s->one_finished, clock_deadline(s->ctx->settings->daemon_timeout)) < 0)
            return 0;
    // The queue manager keeps the connection as long as it lives; its end, or our retirement, ends the wait.
    int rc = service_next(s->ctx, s->conn, view_r, CLOCK_NEVER, &err);
    if (rc < 0 && err.kind != ERR_CANCELLED)
        log_warn("connection from the queue manager: %s", err.text);
    return rc == 1;
}

// We take no more requests, but deliveries are under way: the queue manager sends what it has assigned, closes its
// side, and waits for the answers. Were the connection to end now, it would give those deliveries to others.
static void leave(struct serving *s) CO
{
    struct err err = ERR_INIT;
    struct ipc_view view;
    ipc_begin(&s->answers, 0, "bye");
    if (ipc_end(&s->answers) == 0)
        send_answers(s);
    int64_t deadline = clock_deadline(SEND_SECONDS);
    while (!s->is_broken && ipc_recv(s->conn, &view, deadline, &err) == 1)
        if (accept_request(s, &view) < 0)
            break;
}

void delivery_serve(struct service_context *ctx, struct service_client *client, unsigned capacity,
                    void (*fn)(struct service_context *ctx, struct delivery *d))
{
    struct serving *s = MEM_NEW(struct serving);
    *s = (struct serving){.ctx = ctx, .fn = fn, .capacity = capacity ? capacity : 1, .references = 1};
    s->answers = IPC_MSG_INIT;
    s->conn = ipc_conn_new(client->fd);
    co_event_init(&s->one_finished);
    ipc_begin(&s->answers, 0, "hello");
    ipc_add_int(&s->answers, "capacity", s->capacity);
    if (ipc_end(&s->answers) == 0)
        send_answers(s);
    struct ipc_view view;
    while (!s->is_broken && next_request(s, &view) == 1) {
        // A request that waited while its sender died must not be delivered twice.
        if (s->capacity == 1 && !ipc_is_alive(s->conn))
            break;
        if (accept_request(s, &view) < 0)
            break;
    }
    if (s->running > 0 && !s->is_broken)
        leave(s);
    serving_unref(s);
}
