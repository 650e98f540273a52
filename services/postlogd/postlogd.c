// SPDX-License-Identifier: ISC
// postlogd.c: appends the log lines of commands, which cannot open maillog_file themselves, to it.
// Trust: anybody on the host may send a datagram: it becomes one clean line, cut at LINE_BYTES_MAX.
// Suspends: waiting for datagrams.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/service.h"

enum { LINE_BYTES_MAX = 2400, LOG_FD = 4, BURST = 64, LAST_LINES_MAX = 10000 };

static bool has_file; // master handed down the open file

static int init(struct service_context *ctx, struct err *err)
{
    const char *kind = getenv("DROMOS_LOG");
    has_file = kind != NULL && strcmp(kind, "file") == 0;
    return 0;
}

// The sender made the line; nothing but printable text may pass, and it stays one line.
static void write_line(char *line, size_t len)
{
    while (len > 0 && line[len - 1] == '\n')
        len--;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 32 || line[i] == 127)
            line[i] = '?';
    if (!has_file) {
        log_info("%.*s", (int)len, line);
        return;
    }
    line[len] = '\n';
    while (write(LOG_FD, line, len + 1) < 0 && errno == EINTR)
        continue;
}

static ssize_t take_line(int fd)
{
    char line[LINE_BYTES_MAX + 1];
    ssize_t n = recv(fd, line, LINE_BYTES_MAX, MSG_DONTWAIT);
    if (n > 0)
        write_line(line, (size_t)n);
    return n;
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct co_fd *cfd = co_fd_new(client->fd);
    unsigned burst = 0;
    for (;;) {
        ssize_t n = take_line(client->fd);
        if (n >= 0 || errno == EINTR) {
            if (++burst % BURST == 0 && co_yield () < 0)
                break;
            continue;
        }
        if (errno != EAGAIN)
            break;
        co_fd_again(cfd, CO_READ);
        if (co_fd_wait(cfd, CO_READ, CLOCK_NEVER) < 0) // waits for lines until it is told to retire
            break;
    }
    for (burst = 0; burst < LAST_LINES_MAX && take_line(client->fd) >= 0; burst++) // what came meanwhile is not lost
        continue;
    co_fd_free(cfd);
}

int main(int argc, char **argv)
{
    struct service service = {
        .program = "postlogd", .flags = SERVICE_DATAGRAM | SERVICE_SOLITARY, .init = init, .serve = serve};
    return service_main(&service, argc, argv);
}
