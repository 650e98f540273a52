// SPDX-License-Identifier: ISC
// service_accept.c: sessions: accepting them up to the limit, telling triggers from requests, counting, ending.
// Trust: peers are hostile; a connection that sends nothing is dropped by serve()'s own deadlines, a trigger's here.
// Suspends: everything that runs in an accepting or serving coroutine.
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/service_internal.h"

enum { ANSWER_SECONDS = 100, BURST = 16, TRIGGER_MS = 10000, TRIGGER_MAX = 100, PAUSE_MS = 1000 };

struct session {
    struct service_run *run;
    struct service_client client;
    unsigned weight;
};
// A kept connection between two requests.
struct idle_wait {
    struct list link;
    int fd;
};

// ---- Counting. Master hears of levels: 0 low, 1 at least half, 2 full; with some slack on the way down, so that a
// load that swings around a boundary does not cost a message each time.

static unsigned load_level(const struct service_run *run)
{
    unsigned load = run->load, limit = run->ctx.session_limit, was = run->reported_level;
    if (load >= limit || (was == 2 && (uint64_t)load * 4 > (uint64_t)limit * 3))
        return 2;
    if ((uint64_t)load * 2 >= limit || (was > 0 && (uint64_t)load * 4 > limit))
        return 1;
    return 0;
}

void service_report(struct service_run *run, bool is_first)
{
    unsigned level = load_level(run);
    if (!run->has_status || (!is_first && level == run->reported_level))
        return;
    run->reported_level = level;
    char line[64];
    int len = snprintf(line, sizeof line, "S %u %u\n", run->load, run->ctx.session_limit);
    (void)!send(SERVICE_STATUS_FD, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void session_begin(struct service_run *run, unsigned weight)
{
    run->sessions++;
    run->load += weight;
    run->used++;
    service_report(run, false);
}

static void retire_if_outdated(struct service_run *run)
{
    const char *table = NULL;
    if (!run->ctx.is_retiring && run->service->outdated != NULL)
        table = run->service->outdated();
    if (table == NULL)
        return;
    log_info("table %s has changed -- restarting", table);
    service_retire(&run->ctx);
}

static void session_end(struct service_run *run, unsigned weight)
{
    run->sessions--;
    run->load -= weight;
    run->last_active = clock_ms();
    service_report(run, false);
    co_event_broadcast(&run->room);
    if (run->use_limit > 0 && run->used >= run->use_limit)
        service_retire(&run->ctx);
    retire_if_outdated(run);
    service_end_if_done(run);
}

// ---- One session

// Reads trigger bytes and closes. True: it was a trigger.
static bool take_trigger(struct service_run *run, int fd) CO
{
    struct co_fd *cfd = co_fd_new(fd);
    char bytes[TRIGGER_MAX];
    ssize_t n;
    int64_t deadline = clock_ms() + TRIGGER_MS;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_PEEK)) < 0 && (errno == EAGAIN || errno == EINTR)) {
        co_fd_again(cfd, CO_READ);
        if (co_fd_wait(cfd, CO_READ, deadline) < 0)
            break;
    }
    co_fd_free(cfd);
    if (n > 0 && (unsigned char)bytes[0] > 127 && run->service->serve != NULL)
        return false;
    for (ssize_t i = 0; i < n; i++)
        run->service->trigger(&run->ctx, bytes[i]);
    close(fd);
    return true;
}

// A descriptor handed over in a frame on the accepted connection (type pass). 0 or -1.
static int take_passed(struct service_client *client) CO
{
    struct ipc_conn *c = ipc_conn_new(client->fd);
    struct ipc_view view;
    struct err err = ERR_INIT;
    client->fd = -1;
    if (ipc_recv(c, &view, clock_ms() + TRIGGER_MS, &err) == 1)
        client->fd = view.fd;
    ipc_conn_free(c);
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (client->fd >= 0 && getpeername(client->fd, (struct sockaddr *)&sa, &len) == 0)
        net_addr_from((struct sockaddr *)&sa, len, &client->peer);
    return client->fd >= 0 ? 0 : -1;
}

static void session_serve(struct service_run *run, struct service_client *client) CO
{
    const struct service *service = run->service;
    if (str_is(client->type, STR("pass")) && take_passed(client) < 0)
        return;
    if (!str_is(client->type, STR("unix")) && client->fd > 2) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        if (getsockname(client->fd, (struct sockaddr *)&sa, &len) == 0)
            net_addr_from((struct sockaddr *)&sa, len, &client->local);
    }
    if (service->trigger != NULL && str_is(client->type, STR("unix")) && take_trigger(run, client->fd))
        return;
    if (service->serve != NULL)
        service->serve(&run->ctx, client);
    else
        close(client->fd);
}

static void session_main(void *arg)
{
    co_assert_running();
    struct session *s = arg;
    struct service_run *run = s->run;
    unsigned weight = s->weight;
    session_serve(run, &s->client);
    mem_free(s);
    session_end(run, weight);
}

// Starts a session for an accepted connection. Where a process has one session only, it runs here, in the accepting
// coroutine: a delivery agent that changes its identity has no second coroutine that could run meanwhile.
static void session_start(struct service_run *run, int fd, const struct sockaddr_storage *sa, socklen_t len) CO
{
    struct session *s = MEM_NEW(struct session);
    s->run = run;
    s->client.fd = fd;
    s->client.type = str_from(run->options.type);
    if (len >= sizeof(sa_family_t) && sa->ss_family != AF_UNIX)
        net_addr_from((const struct sockaddr *)sa, len, &s->client.peer);
    s->weight = run->service->flags & SERVICE_TAKES_ALL ? run->ctx.session_limit : 1;
    session_begin(run, s->weight);
    if (run->ctx.session_limit > 1) {
        co_spawn("session", session_main, s);
        return;
    }
    run->serving = co_self();
    session_main(s);
    run->serving = NULL;
}

// ---- Listeners

static int accept_failed(struct co_fd *cfd) CO
{
    if (errno == EAGAIN) {
        co_fd_again(cfd, CO_READ);
        return co_fd_wait(cfd, CO_READ, CLOCK_NEVER) < 0 ? -1 : 0; // a listener waits for clients as long as it lives
    }
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
        return 0;
    log_warn("accept connection: %s", strerror(errno));
    co_sleep_until(clock_ms() + PAUSE_MS);
    return 0;
}

static void accept_connections(struct service_run *run, int listener) CO
{
    struct co_fd *cfd = co_fd_new(listener);
    unsigned burst = 0;
    while (!run->ctx.is_retiring && !co_is_cancelled()) {
        if (run->load >= run->ctx.session_limit) {
            if (co_event_wait(&run->room, CLOCK_NEVER) < 0) // sessions have deadlines of their own
                break;
            continue;
        }
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            burst = 0;
            if (accept_failed(cfd) < 0)
                break;
            continue;
        }
        session_start(run, fd, &sa, len);
        if (++burst % BURST == 0 && co_yield () < 0)
            break;
    }
    co_fd_free(cfd);
}

static void read_fifo(struct service_run *run, int fifo) CO
{
    struct co_fd *cfd = co_fd_new(fifo);
    char bytes[TRIGGER_MAX];
    while (!run->ctx.is_retiring) {
        ssize_t n = co_read(cfd, bytes, sizeof bytes, CLOCK_NEVER); // waits for triggers as long as it lives
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && run->service->trigger != NULL; i++)
            run->service->trigger(&run->ctx, bytes[i]);
    }
    co_fd_free(cfd);
}

static void listener_main(void *arg)
{
    co_assert_running();
    struct service_listener *l = arg;
    struct service_run *run = l->run;
    struct str type = str_from(run->options.type);
    if (run->service->flags & SERVICE_DATAGRAM) {
        struct service_client client = {.fd = l->fd, .type = type};
        run->service->serve(&run->ctx, &client);
    } else if (str_is(type, STR("fifo"))) {
        read_fifo(run, l->fd);
    } else {
        accept_connections(run, l->fd);
    }
    close(l->fd); // the address is free for the next master as soon as the last accepter is gone
    run->accepters--;
    service_end_if_done(run);
}

void service_accept_start(struct service_run *run)
{
    unsigned count = run->options.listeners;
    run->listeners = ARENA_ARRAY(&run->arena, struct service_listener, count);
    for (unsigned i = 0; i < count; i++) {
        struct service_listener *l = &run->listeners[i];
        *l = (struct service_listener){.run = run, .fd = SERVICE_LISTEN_FD + (int)i};
        run->accepters++;
        l->accepter = co_ref(co_spawn("listener", listener_main, l));
    }
    service_report(run, true);
}

void service_accept_stop(struct service_run *run)
{
    for (unsigned i = 0; run->listeners != NULL && i < run->options.listeners; i++) {
        struct co *accepter = run->listeners[i].accepter;
        // With one session at a time the accepting coroutine may be serving: it finishes that and sees is_retiring.
        if (!co_has_finished(accepter) && accepter != co_self() && accepter != run->serving)
            co_cancel(accepter);
    }
    LIST_EACH(item, &run->idle)
    shutdown(container_of(item, struct idle_wait, link)->fd, SHUT_RD);
    co_event_broadcast(&run->room);
}

void service_accept_release(struct service_run *run)
{
    for (unsigned i = 0; run->listeners != NULL && i < run->options.listeners; i++)
        co_unref(run->listeners[i].accepter);
}

static void standalone_main(void *arg)
{
    co_assert_running();
    struct service_run *run = arg;
    struct service_client client = {.fd = STDIN_FILENO, .is_standalone = true, .type = STR("unix")};
    run->service->serve(&run->ctx, &client);
    session_end(run, 1);
    service_retire(&run->ctx);
}

void service_accept_standalone(struct service_run *run)
{
    session_begin(run, 1);
    co_spawn("session", standalone_main, run);
}

int service_next(struct service_context *ctx, struct ipc_conn *c, struct ipc_view *view_r, int64_t deadline,
                 struct err *err)
{
    struct service_run *run = container_of(ctx, struct service_run, ctx);
    retire_if_outdated(run);
    if (ctx->is_retiring && !ipc_has_input(c))
        return 0;
    struct idle_wait wait = {.fd = ipc_conn_fd(c)};
    list_append(&run->idle, &wait.link);
    int rc = ipc_recv(c, view_r, deadline, err);
    list_remove(&wait.link);
    run->last_active = clock_ms();
    return rc;
}

void service_answer(struct service_context *ctx, struct service_client *client, int64_t idle_seconds,
                    service_respond *respond, void *arg)
{
    struct ipc_conn *conn = ipc_conn_new(client->fd);
    struct ipc_msg answer = IPC_MSG_INIT;
    struct ipc_view request;
    struct err err = ERR_INIT;
    while (service_next(ctx, conn, &request, idle_seconds > 0 ? clock_deadline(idle_seconds) : CLOCK_NEVER, &err) ==
           1) {
        if (respond(arg, &request, &answer) < 0)
            break;
        if (answer.data.len > 0 && ipc_send(conn, &answer, clock_deadline(ANSWER_SECONDS), &err) < 0)
            break;
    }
    ipc_msg_release(&answer);
    ipc_conn_free(conn);
}
