// SPDX-License-Identifier: ISC
// master_status.c: what processes report: how many sessions they hold, and that they retire.
// Trust: a process that was broken into may write anything: lines are short, numbers are bounded, nothing else is
// believed.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/co/co.h"
#include "master/master.h"

enum { REPORT_MAX = 512 };

static void stop_counting(struct master_child *c)
{
    if (c->is_retiring)
        return;
    c->is_retiring = true;
    if (c->service != NULL) {
        c->service->running--;
        master_service_update(c->service);
    }
}

static void take_line(struct master_child *c, struct str line)
{
    struct str load, limit;
    uint64_t sessions, most;
    if (str_is(line, STR("R"))) {
        stop_counting(c);
        return;
    }
    if (!str_starts(line, STR("S ")) || !str_token(&line, " ", &load) || !str_token(&line, " ", &load) ||
        !str_token(&line, " ", &limit) || str_to_u64(load, &sessions) < 0 || str_to_u64(limit, &most) < 0 ||
        most == 0 || most > INT32_MAX || sessions > INT32_MAX) {
        log_warn("process %s pid %d sends garbage on its status channel", c->path, (int)c->pid);
        return;
    }
    c->has_reported = true;
    c->load = (unsigned)sessions;
    c->limit = (unsigned)most;
}

static void status_readable(int fd, int events, void *arg)
{
    struct master_child *c = arg;
    char bytes[REPORT_MAX];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { // it is ending: what follows is decided when its exit status is known
        co_watch_free(c->status_watch);
        c->status_watch = NULL;
        return;
    }
    struct str rest = {bytes, (size_t)n}, line;
    while (str_token(&rest, "\n", &line)) // one write a line on a local stream: lines do not come in halves
        take_line(c, line);
    if (c->service != NULL)
        master_service_update(c->service);
}

void master_status_watch(struct master_child *c)
{
    c->status_watch = co_watch_fd(c->status_fd, CO_READ, true, status_readable, c);
}

static void kill_late(void *arg)
{
    struct master_child *c = arg;
    kill(c->pid, c->was_terminated ? SIGKILL : SIGTERM);
    c->was_terminated = true;
    co_timer_set(c->kill_timer, clock_ms() + 5000);
}

void master_retire(struct master_child *c, int64_t patience_ms)
{
    stop_counting(c);
    if (c->status_watch != NULL)
        co_watch_free(c->status_watch);
    c->status_watch = NULL;
    if (c->status_fd >= 0)
        close(c->status_fd);
    c->status_fd = -1;
    if (patience_ms > 0 && c->kill_timer == NULL) {
        c->kill_timer = co_timer_new(kill_late, c);
        co_timer_set(c->kill_timer, clock_ms() + patience_ms);
    }
}
