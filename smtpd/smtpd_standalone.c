// SPDX-License-Identifier: ISC
// smtpd_standalone.c: one session on standard input and output (-S), which may be pipes or files.
//
// Two coroutines carry bytes between the standard descriptors and a socket pair, whose other end is the session's
// stream.
// Suspends: reads and writes of the standard descriptors are jobs, since files are never "not ready".
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtpd/smtpd.h"

#define PUMP_SIZE     4096
#define PUMP_POLL_MS  250 // how long the end of the process may wait for an idle standard input
#define PUMP_NO_INPUT (-2)

struct transfer { // belongs to the job while it runs
    int fd;
    char data[PUMP_SIZE];
    size_t size;
    ssize_t result;
};

struct pump {
    struct co_fd *socket;
    int fd;
};

static void read_job(void *data)
{
    struct transfer *t = data;
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    t->result = PUMP_NO_INPUT;
    if (poll(&p, 1, PUMP_POLL_MS) > 0)
        t->result = read(t->fd, t->data, sizeof t->data);
}

static void write_job(void *data)
{
    struct transfer *t = data;
    size_t done = 0;
    while (done < t->size) {
        ssize_t n = write(t->fd, t->data + done, t->size - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    t->result = done == t->size ? (ssize_t)done : -1;
}

static void carry_input(void *arg)
{
    co_assert_running();
    struct pump *p = arg;
    struct transfer *t = MEM_NEW(struct transfer);
    t->fd = p->fd;
    // A person may think for long: the session's own deadlines end the conversation.
    while (co_job(read_job, t, mem_free, CLOCK_NEVER) == 0) {
        if (t->result == PUMP_NO_INPUT)
            continue;
        if (t->result <= 0 || co_write_all(p->socket, t->data, (size_t)t->result, clock_deadline(600)) < 0) {
            mem_free(t);
            break;
        }
    }
    shutdown(co_fd_number(p->socket), SHUT_WR);
}

static void carry_output(void *arg)
{
    co_assert_running();
    struct pump *p = arg;
    struct transfer *t = MEM_NEW(struct transfer);
    t->fd = p->fd;
    for (;;) {
        ssize_t n = co_read(p->socket, t->data, sizeof t->data, CLOCK_NEVER); // ends when the session closes its side
        t->size = n > 0 ? (size_t)n : 0;
        if (n <= 0) {
            mem_free(t);
            return;
        }
        if (co_job(write_job, t, mem_free, clock_deadline(600)) < 0)
            return;
    }
}

void smtpd_standalone_run(struct smtpd_session *s)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        die("socket pair for standard input: %s", strerror(errno));
    struct co_fd *socket = co_fd_new(pair[1]);
    struct pump input = {socket, STDIN_FILENO}, output = {socket, STDOUT_FILENO};
    struct co *reader = co_ref(co_spawn("input", carry_input, &input));
    struct co *writer = co_ref(co_spawn("output", carry_output, &output));

    s->stream = stream_new(pair[0]);
    smtpd_session_run(s);
    stream_free(s->stream);
    (void)!co_join(writer, clock_deadline(60)); // the last reply
    co_cancel(writer);
    co_cancel(reader);
    (void)!co_join(writer, CLOCK_NEVER); // both were cancelled
    (void)!co_join(reader, CLOCK_NEVER);
    co_unref(writer);
    co_unref(reader);
    co_fd_free(socket);
    close(pair[1]);
}
