// SPDX-License-Identifier: ISC
// qmgr.c: the queue manager: decides what is delivered when, and keeps what could not be delivered.
// Trust: cleanup's notices, agents' answers and queue files are checked; nothing from the network arrives here
// directly. Suspends: scans, conversations with agents, notices, notifications.
#include "qmgr/qmgr.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"

enum { DRAIN_TICK_MS = 200, DRAIN_MS = 3000, NOTICES_PER_TURN = 20 };

// A connection that announces messages.
struct client {
    struct list link;
    struct co *co;
};

static bool is_in_memory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is = fd >= 0 && sys_sync_is_instant(fd);
    if (fd >= 0)
        close(fd);
    return is;
}

// How many deliveries master lets run at once: of all services, as any may become a transport. Without the file there
// are no limits that we know.
static void read_process_limits(struct qmgr *q)
{
    struct arena arena = ARENA_INIT;
    struct buf path = BUF_INIT;
    struct err err = ERR_INIT;
    struct master_row *rows;
    size_t count = 0;
    q->process_limits = MAP_INIT;
    buf_addf(&path, "%s/master.cf", q->settings->config_directory.ptr);
    if (master_cf_read(q->ctx->conf, buf_cstr(&path), &arena, &rows, &count, &err) < 0)
        log_warn("%s", err.text);
    for (size_t i = 0; i < count; i++)
        if (str_is(rows[i].type, STR("unix")) && rows[i].maxproc < UINT32_MAX)
            (void)map_set(&q->process_limits, rows[i].name, (void *)(uintptr_t)(rows[i].maxproc + 1));
    buf_release(&path);
    arena_release(&arena);
}

static int init(struct service_context *ctx, struct err *err)
{
    const struct settings *s = ctx->settings;
    struct qmgr *q = MEM_NEW(struct qmgr);
    q->ctx = ctx;
    q->settings = s;
    q->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    q->messages = MAP_INIT;
    q->transports = MAP_INIT;
    q->cpus = sys_cpu_count();
    co_event_init(&q->room);
    co_event_init(&q->stirred);
    co_event_init(&q->due_changed);
    q->due = QMGR_DUE_INIT;
    q->clock_offset = clock_wall() - clock_ms() / 1000;
    list_init(&q->clients);
    list_init(&q->chores);
    list_init(&q->removals);
    q->removes_at_once = is_in_memory(s->queue_directory.ptr);
    q->route = route_open(s, err);
    if (q->route == NULL || route_open_for_probes(s, q->route, &q->probe_route, err) < 0)
        return -1;
    ctx->state = q;
    q->in_flow = in_flow_new();
    read_process_limits(q);
    // Those that others' failures lead to exist from the start.
    static const char *const always[] = {"error", "retry", "discard"};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        (void)qmgr_transport_find(q, str_from(always[i]));
    return 0;
}

static void tick_main(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    int64_t drained_by = 0;
    int64_t pause = 0;
    while (!co_is_cancelled()) {
        if (qmgr_is_ending(q))
            co_sleep_until(clock_ms() + DRAIN_TICK_MS);
        else
            (void)!co_event_wait(&q->stirred, clock_ms() + pause);
        pause = qmgr_transport_tick(q);
        if (!qmgr_is_ending(q))
            continue;
        if (drained_by == 0)
            drained_by = clock_ms() + DRAIN_MS;
        if (qmgr_is_drained(q) || clock_ms() >= drained_by)
            break;
    }
    service_unhold(q->ctx);
}

static void start(struct service_context *ctx)
{
    co_assert_running();
    struct qmgr *q = ctx->state;
    service_hold(ctx);
    co_spawn("tick", tick_main, q);
    qmgr_scan_start(q);
}

static void retire(struct service_context *ctx)
{
    struct qmgr *q = ctx->state;
    q->is_retiring = true;
    co_event_broadcast(&q->stirred);
    LIST_EACH(item, &q->clients)
    co_cancel(container_of(item, struct client, link)->co);
}

static void trigger(struct service_context *ctx, char request)
{
    struct qmgr *q = ctx->state;
    if (!q->is_ready)
        return; // everything is scanned anyway
    switch (request) {
    case 'D':
        qmgr_scan_request(&q->deferred, false);
        break;
    case 'I':
    case 'W':
        qmgr_scan_request(&q->incoming, false);
        break;
    case 'F':
        qmgr_transport_revive(q);
        break;
    case 'A':
        q->deferred.ignores_times = true;
        q->incoming.ignores_times = true;
        break;
    default:
        log_warn("unknown trigger request %d", request);
    }
}

// "release": one deferred message is tried now (postqueue -i).
static int release(struct qmgr *q, struct ipc_conn *conn, const struct ipc_view *view) CO
{
    struct err err = ERR_INIT;
    struct ipc_msg answer = IPC_MSG_INIT;
    struct buf id = BUF_INIT;
    buf_add_str(&id, ipc_str_or(view, "id", STR("")));
    if (q->is_ready && queue_id_is_valid(buf_str(&id)))
        qmgr_active_load(q, QUEUE_DEFERRED, buf_str(&id));
    ipc_begin(&answer, view->id, "ok");
    (void)ipc_end(&answer);
    int rc = ipc_send(conn, &answer, clock_deadline(q->settings->qmgr_ipc_timeout), &err);
    ipc_msg_release(&answer);
    buf_release(&id);
    return rc;
}

static int take_notice(struct qmgr *q, struct ipc_conn *conn, const struct ipc_view *view) CO
{
    if (str_is(view->verb, STR("release")))
        return release(q, conn, view);
    qmgr_active_arrived(q, view);
    return 0;
}

static void serve(struct service_context *ctx, struct service_client *service_client)
{
    co_assert_running();
    struct qmgr *q = ctx->state;
    struct err err = ERR_INIT;
    struct ipc_view view;
    struct client client = {.co = co_self()};
    struct ipc_conn *conn = ipc_conn_new(service_client->fd);
    list_append(&q->clients, &client.link);
    int rc;
    unsigned taken = 0;
    // Cleanup keeps its connection as long as it lives.
    while ((rc = service_next(ctx, conn, &view, CLOCK_NEVER, &err)) == 1) {
        if (take_notice(q, conn, &view) < 0)
            break;
        if (++taken % NOTICES_PER_TURN == 0 && co_yield () < 0)
            break;
    }
    if (rc < 0 && err.kind != ERR_CANCELLED)
        log_warn("connection from cleanup: %s", err.text);
    list_remove(&client.link);
    ipc_conn_free(conn);
}

static void deinit(struct service_context *ctx)
{
    struct qmgr *q = ctx->state;
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&q->messages, &it)) != NULL)
        qmgr_message_free(entry->value); // the files know
    map_release(&q->messages);
    map_release(&q->process_limits);
    qmgr_due_release(&q->due);
    qmgr_transport_free_all(q);
    if (q->probe_route != q->route)
        route_close(q->probe_route);
    route_close(q->route);
    in_flow_free(q->in_flow);
    mem_free(q);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "qmgr",
        .flags = SERVICE_SOLITARY | SERVICE_WRITES_QUEUE,
        .init = init,
        .start = start,
        .serve = serve,
        .trigger = trigger,
        .deinit = deinit,
        .retire = retire,
    };
    return service_main(&service, argc, argv);
}
