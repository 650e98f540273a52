// SPDX-License-Identifier: ISC
// master_wakeup.c: the wakeup column: now and then, a service gets the trigger 'W' through its own socket.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/co/co.h"
#include "master/master.h"

enum { SOON_MS = 100 };

static void send_wakeup(const struct master_service *s)
{
    if (str_is(s->row->type, STR("fifo"))) {
        (void)!write(s->listeners[0].fd, "W", 1);
        return;
    }
    struct buf path = BUF_INIT;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    master_listen_path(s->row, &path);
    int fd = -1;
    if (path.len < sizeof sun.sun_path) {
        memcpy(sun.sun_path, buf_cstr(&path), path.len + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    // The byte waits in the backlog until a process accepts. A full backlog is wake-up enough.
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
        (void)!send(fd, "W", 1, MSG_NOSIGNAL);
    if (fd >= 0)
        close(fd);
    buf_release(&path);
}

static void wakeup_due(void *arg)
{
    struct master_service *s = arg;
    bool may_wake = !s->is_pausing && !s->master->is_stopping && (s->was_used || !s->row->wakeup_if_used);
    if (may_wake) {
        log_debug("wake up service " STR_FMT, STR_ARG(s->row->name));
        send_wakeup(s);
    }
    co_timer_set(s->wakeup_timer, clock_ms() + s->row->wakeup * 1000);
}

void master_wakeup_start(struct master_service *s)
{
    bool has_trigger = str_is(s->row->type, STR("unix")) || str_is(s->row->type, STR("fifo"));
    if (s->row->wakeup <= 0 || s->is_missing || !has_trigger || s->wakeup_timer != NULL)
        return;
    s->wakeup_timer = co_timer_new(wakeup_due, s);
    wakeup_due(s); // the first one at once: the queue manager starts, maildrop is looked at
}

void master_wakeup_soon(struct master_service *s)
{
    if (s->wakeup_timer != NULL)
        co_timer_set(s->wakeup_timer, clock_ms() + SOON_MS);
}

void master_wakeup_stop(struct master_service *s)
{
    if (s->wakeup_timer != NULL)
        co_timer_free(s->wakeup_timer);
    s->wakeup_timer = NULL;
}
