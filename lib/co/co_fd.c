// SPDX-License-Identifier: ISC
// co_fd.c: descriptors registered once, edge-triggered, with sticky readiness; reads and writes that wait.
//
// Readiness is set by the kernel's edges and cleared by EAGAIN, or by a short read where a later edge is sure to come.
// One case escapes that: a reset that the kernel reported together with the last data looks like data alone in
// libevent. So a wait after a short read tries again once after DOUBT_MS: dead peers are noticed, and busy
// connections never pay for it.
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/co/co_internal.h"

enum { DOUBT_MS = 1000, BACKLOG_PAUSE_MS = 10 };

struct co_fd {
    struct event event;
    int fd;
    int ready;     // CO_READ, CO_WRITE
    bool is_ended; // the peer has closed its sending side
    bool is_duplex;
    bool is_doubtful; // CO_READ was cleared by a short read, not by EAGAIN
    struct co *reader;
    struct co *writer;
};

static void on_edge(evutil_socket_t fd, short what, void *arg)
{
    struct co_fd *cfd = arg;
    if (what & EV_CLOSED)
        cfd->is_ended = true;
    if (what & (EV_READ | EV_CLOSED)) {
        cfd->ready |= CO_READ;
        if (cfd->reader)
            co_wake(cfd->reader, 0);
    }
    if (what & EV_WRITE) {
        cfd->ready |= CO_WRITE;
        if (cfd->writer)
            co_wake(cfd->writer, 0);
    }
}

struct co_fd *co_fd_new(int fd)
{
    struct co_fd *cfd = MEM_NEW(struct co_fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        die("cannot make descriptor %d non-blocking", fd);
    cfd->fd = fd;
    cfd->ready = CO_WRITE; // what there is to read the first edge tells
    cfd->is_duplex = (flags & O_ACCMODE) == O_RDWR;
    short events = EV_READ | EV_WRITE | EV_ET | EV_PERSIST;
    if (co_the_loop.has_early_close)
        events |= EV_CLOSED;
    if (event_assign(&cfd->event, co_the_loop.base, fd, events, on_edge, cfd) < 0 || event_add(&cfd->event, NULL) < 0)
        die("cannot watch descriptor %d", fd);
    return cfd;
}

void co_fd_free(struct co_fd *cfd)
{
    if (cfd == NULL)
        return;
    if (cfd->reader || cfd->writer)
        bug("descriptor %d freed while coroutine %s waits for it", cfd->fd,
            cfd->reader ? cfd->reader->name : cfd->writer->name);
    event_del(&cfd->event);
    mem_free(cfd);
}

int co_fd_number(const struct co_fd *cfd)
{
    return cfd->fd;
}

static void claim(struct co_fd *cfd, int events, struct co *self)
{
    if (((events & CO_READ) && cfd->reader) || ((events & CO_WRITE) && cfd->writer))
        bug("two coroutines wait for one direction of descriptor %d", cfd->fd);
    if (events & CO_READ)
        cfd->reader = self;
    if (events & CO_WRITE)
        cfd->writer = self;
}

static void disclaim(struct co_fd *cfd, int events)
{
    if (events & CO_READ)
        cfd->reader = NULL;
    if (events & CO_WRITE)
        cfd->writer = NULL;
}

int co_fd_wait(struct co_fd *cfd, int events, int64_t deadline)
{
    struct co *self = co_running_self();
    int failed = 0;
    if (self->cancelled) {
        errno = ECANCELED;
        return -1;
    }
    if ((cfd->ready & events) == 0) {
        int64_t until = deadline;
        if ((events & CO_READ) && cfd->is_doubtful && deadline - DOUBT_MS > clock_ms())
            until = clock_ms() + DOUBT_MS;
        claim(cfd, events, self);
        failed = co_suspend(until);
        disclaim(cfd, events);
        if (failed == ETIMEDOUT && until < deadline && clock_ms() < deadline) {
            cfd->ready |= CO_READ;
            cfd->is_doubtful = false;
            failed = 0;
        }
    }
    if (failed == 0)
        return cfd->ready & events;
    errno = failed;
    return -1;
}

void co_fd_again(struct co_fd *cfd, int events)
{
    cfd->ready &= ~events;
    if (events & CO_READ)
        cfd->is_doubtful = false;
}

void co_fd_short_read(struct co_fd *cfd)
{
    if (!co_the_loop.has_early_close || cfd->is_ended || !cfd->is_duplex)
        return;
    cfd->ready &= ~CO_READ;
    cfd->is_doubtful = true;
}

bool co_fd_may_read(const struct co_fd *cfd)
{
    return (cfd->ready & CO_READ) != 0 || cfd->is_ended;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

ssize_t co_read(struct co_fd *cfd, void *data, size_t size, int64_t deadline)
{
    for (;;) {
        if (co_fd_wait(cfd, CO_READ, deadline) < 0)
            return -1;
        ssize_t got = read(cfd->fd, data, size);
        if (got >= 0)
            return got;
        if (would_block())
            co_fd_again(cfd, CO_READ);
        else if (errno != EINTR)
            return -1;
    }
}

ssize_t co_write_all(struct co_fd *cfd, const void *data, size_t size, int64_t deadline)
{
    const char *at = data;
    size_t left = size;
    while (left) {
        if (co_fd_wait(cfd, CO_WRITE, deadline) < 0)
            return -1;
        ssize_t sent = write(cfd->fd, at, left);
        if (sent >= 0) {
            at += sent;
            left -= (size_t)sent;
        } else if (would_block()) {
            co_fd_again(cfd, CO_WRITE);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return (ssize_t)size;
}

int co_accept(struct co_fd *cfd, int64_t deadline)
{
    for (;;) {
        if (co_fd_wait(cfd, CO_READ, deadline) < 0)
            return -1;
        int fd = accept4(cfd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (would_block())
            co_fd_again(cfd, CO_READ);
        else if (errno != EINTR && errno != ECONNABORTED)
            return -1;
    }
}

// A UNIX socket whose listener's backlog is full says EAGAIN and gives no edge later: try again after a pause.
static int pause_for_backlog(int64_t deadline)
{
    int64_t now = clock_ms();
    if (now >= deadline) {
        errno = ETIMEDOUT;
        return -1;
    }
    int64_t until = deadline - now < BACKLOG_PAUSE_MS ? deadline : now + BACKLOG_PAUSE_MS;
    if (co_suspend(until) != ECANCELED)
        return 0;
    errno = ECANCELED;
    return -1;
}

int co_connect(struct co_fd *cfd, const struct sockaddr *sa, unsigned sa_len, int64_t deadline)
{
    for (;;) {
        cfd->ready = 0; // what was seen before the connection means nothing
        if (connect(cfd->fd, sa, sa_len) == 0) {
            cfd->ready |= CO_WRITE;
            return 0;
        }
        if (errno == EINPROGRESS || errno == EINTR)
            break;
        if (errno != EAGAIN)
            return -1;
        if (pause_for_backlog(deadline) < 0)
            return -1;
    }
    if (co_fd_wait(cfd, CO_WRITE, deadline) < 0)
        return -1;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(cfd->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -1;
    errno = error;
    return error ? -1 : 0;
}
