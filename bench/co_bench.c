// SPDX-License-Identifier: ISC
// co_bench.c: round trips a second of coroutine pairs that echo over socket pairs.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/co/co.h"

struct pair {
    struct co_fd *client;
    struct co_fd *server;
    long left;
};
static unsigned running_pairs;

// One message of 64 bytes; the peer sends nothing before the answer, so a short read means that all is read.
static ssize_t receive(struct co_fd *cfd, char *data, size_t size) CO
{
    ssize_t got = co_read(cfd, data, size, clock_deadline(30));
    if (got > 0)
        co_fd_short_read(cfd);
    return got;
}

static void serve(void *arg)
{
    co_assert_running();
    struct pair *pair = arg;
    char data[512];
    ssize_t got;
    while ((got = receive(pair->server, data, sizeof data)) > 0)
        if (co_write_all(pair->server, data, (size_t)got, clock_deadline(30)) < 0)
            break;
}

static void ask(void *arg)
{
    co_assert_running();
    struct pair *pair = arg;
    char data[512] = {0};
    for (; pair->left > 0; pair->left--)
        if (co_write_all(pair->client, data, 64, clock_deadline(30)) < 0 ||
            receive(pair->client, data, sizeof data) != 64)
            die("no answer");
    shutdown(co_fd_number(pair->client), SHUT_WR);
    if (--running_pairs == 0)
        co_loop_stop();
}

static void measure(unsigned pairs, long total)
{
    struct pair *all = mem_alloc(pairs * sizeof *all);
    co_loop_init();
    running_pairs = pairs;
    for (unsigned i = 0; i < pairs; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
            die("socketpair: %s", strerror(errno));
        all[i] = (struct pair){co_fd_new(fds[0]), co_fd_new(fds[1]), total / pairs};
        co_spawn("server", serve, &all[i]);
        co_spawn("client", ask, &all[i]);
    }
    int64_t start = clock_ms();
    co_loop_run(5000);
    double seconds = (double)(clock_ms() - start) / 1000;
    printf("%5u pairs: %8.0f round trips/s, %.2f us each (two coroutine wake-ups, four I/O calls)\n", pairs,
           (double)total / seconds, seconds * 1e6 / (double)total);
    for (unsigned i = 0; i < pairs; i++) {
        int client = co_fd_number(all[i].client), server = co_fd_number(all[i].server);
        co_fd_free(all[i].client);
        co_fd_free(all[i].server);
        close(client);
        close(server);
    }
    mem_free(all);
    co_loop_free();
}

static void yielder(void *arg)
{
    co_assert_running();
    long *left = arg;
    while (*left > 0 && co_yield () == 0)
        --*left;
    co_loop_stop();
}

static void measure_switches(long total)
{
    co_loop_init();
    co_spawn("yield", yielder, &total);
    co_spawn("yield", yielder, &total);
    long count = total;
    int64_t start = clock_ms();
    co_loop_run(5000);
    printf("yield: %.0f ns a turn of a coroutine (two switches)\n", (double)(clock_ms() - start) * 1e6 / (double)count);
    co_loop_free();
}

int main(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    measure_switches(2000000);
    measure(1, 200000);
    measure(100, 600000);
    measure(3000, 600000);
    return 0;
}
