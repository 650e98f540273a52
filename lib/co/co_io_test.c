// SPDX-License-Identifier: ISC
// co_io_test.c: unit tests of descriptors, plain watches, timers, signals and many coroutines at once.
#include "lib/co/co_test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int ends[2]; // of the socket pair under test
static struct co_fd *here, *there;

static void open_pair(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    here = co_fd_new(ends[0]);
    there = co_fd_new(ends[1]);
}

static void close_end(struct co_fd **cfd)
{
    int fd = co_fd_number(*cfd);
    co_fd_free(*cfd);
    *cfd = NULL;
    close(fd);
}

static void close_pair(void)
{
    if (here)
        close_end(&here);
    if (there)
        close_end(&there);
}

static void settle(void) CO
{
    co_sleep_until(clock_ms() + 20);
}

// A read as lib/net does it: readiness is kept by what the kernel says.
static ssize_t careful_read(struct co_fd *cfd, char *data, size_t size, int64_t deadline) CO
{
    for (;;) {
        if (co_fd_wait(cfd, CO_READ, deadline) < 0)
            return -1;
        ssize_t got = read(co_fd_number(cfd), data, size);
        if (got > 0 && (size_t)got < size)
            co_fd_short_read(cfd);
        if (got >= 0 || errno != EAGAIN)
            return got;
        co_fd_again(cfd, CO_READ);
    }
}

// ---- Readiness

static void answer(void *arg)
{
    co_assert_running();
    char data[16];
    ssize_t got = co_read(there, data, sizeof data, SOON);
    ck_assert_int_eq(got, 4);
    trace("asked");
    ck_assert_int_eq(co_write_all(there, "pong", 4, SOON), 4);
}
static void echo_body(void)
{
    co_assert_running();
    char data[16];
    open_pair();
    co_spawn("answer", answer, NULL);
    ck_assert_int_eq(co_write_all(here, "ping", 4, SOON), 4);
    ck_assert_int_eq(co_read(here, data, sizeof data, SOON), 4);
    trace("answered");
    close_end(&there);
    ck_assert_int_eq(co_read(here, data, sizeof data, SOON), 0);
    trace("closed");
    ck_assert_int_eq(co_write_all(here, "x", 1, SOON), -1);
    ck_assert_int_eq(errno, EPIPE); // and no signal
    close_pair();
}
START_TEST(reads_and_writes)
{
    drive_expect(echo_body, "asked answered closed ");
}
END_TEST

static void sticky_body(void)
{
    co_assert_running();
    char data[4];
    open_pair();
    ck_assert_int_eq(co_fd_wait(here, CO_READ | CO_WRITE, SOON), CO_WRITE); // writing may be tried at once
    ck_assert_int_eq(write(ends[1], "abcdef", 6), 6);
    ck_assert_int_eq(co_fd_wait(here, CO_READ, SOON), CO_READ);
    ck_assert_int_eq(read(ends[0], data, 4), 4);
    ck_assert_int_eq(co_fd_wait(here, CO_READ, SOON), CO_READ); // not all was read: still ready, without a new edge
    ck_assert_int_eq(read(ends[0], data, 4), 2);
    ck_assert_int_eq(read(ends[0], data, 4), -1);
    co_fd_again(here, CO_READ);
    trace_outcome("empty", co_fd_wait(here, CO_READ, clock_ms() + 30));
    ck_assert_int_eq(write(ends[1], "g", 1), 1);
    ck_assert_int_eq(co_fd_wait(here, CO_READ, SOON), CO_READ);
    close_pair();
}
START_TEST(readiness_is_sticky)
{
    drive_expect(sticky_body, "empty:timeout ");
}
END_TEST

static void slow_reader(void *arg)
{
    co_assert_running();
    static char data[65536];
    size_t total = 0, wanted = *(size_t *)arg;
    while (total < wanted) {
        ssize_t got = careful_read(there, data, total % 3 ? 1000 : sizeof data, SOON);
        ck_assert_int_gt(got, 0);
        for (ssize_t i = 0; i < got; i++)
            ck_assert_int_eq((unsigned char)data[i], (total + (size_t)i) % 251);
        total += (size_t)got;
    }
    trace("all");
}
static void large_body(void)
{
    co_assert_running();
    size_t size = 5 * 1000 * 1000;
    char *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i % 251);
    open_pair();
    struct co *reader = co_ref(co_spawn("reader", slow_reader, &size));
    ck_assert_int_eq(co_write_all(here, data, size, SOON), (ssize_t)size);
    ck_assert_int_eq(co_join(reader, SOON), 0);
    co_unref(reader);
    mem_free(data);
    close_pair();
}
START_TEST(moves_more_than_the_kernel_holds)
{
    drive_expect(large_body, "all ");
}
END_TEST

static void full_body(void)
{
    co_assert_running();
    static char data[4 * 1000 * 1000];
    open_pair();
    trace_outcome("write", (int)co_write_all(here, data, sizeof data, clock_ms() + 50));
    close_pair();
}
START_TEST(writes_time_out)
{
    drive_expect(full_body, "write:timeout ");
}
END_TEST

static void one_reads(void *arg)
{
    co_assert_running();
    char data[4];
    trace_outcome("read", (int)co_read(here, data, sizeof data, SOON));
}
static void one_writes(void *arg)
{
    co_assert_running();
    static char data[4 * 1000 * 1000];
    trace_outcome("write", (int)co_write_all(here, data, sizeof data, SOON));
}
static void both_directions_body(void)
{
    co_assert_running();
    static char data[8192];
    open_pair();
    struct co *writer = co_ref(co_spawn("writer", one_writes, NULL));
    struct co *reader = co_ref(co_spawn("reader", one_reads, NULL));
    settle();
    ck_assert(!co_has_finished(writer) && !co_has_finished(reader));
    ck_assert_int_eq(co_write_all(there, "x", 1, SOON), 1);
    ck_assert_int_eq(co_join(reader, SOON), 0);
    while (!co_has_finished(writer))
        ck_assert_int_gt(co_read(there, data, sizeof data, SOON), 0);
    co_unref(writer);
    co_unref(reader);
    close_pair();
}
START_TEST(one_reader_and_one_writer_may_wait)
{
    drive_expect(both_directions_body, "read:ok write:ok ");
}
END_TEST

static void cancel_io_body(void)
{
    co_assert_running();
    open_pair();
    struct co *reader = co_ref(co_spawn("reader", one_reads, NULL));
    struct co *writer = co_ref(co_spawn("writer", one_writes, NULL));
    settle();
    co_cancel(reader);
    co_cancel(writer);
    ck_assert_int_eq(co_join(reader, SOON), 0);
    ck_assert_int_eq(co_join(writer, SOON), 0);
    co_unref(reader);
    co_unref(writer);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    co_cancel(co_self());
    settle();
    trace_outcome("ready", co_fd_wait(here, CO_READ, SOON)); // cancelled comes before ready
    close_pair();
}
START_TEST(cancels_io)
{
    drive_expect(cancel_io_body, "read:cancelled write:cancelled ready:cancelled ");
}
END_TEST

static void two_readers_body(void)
{
    co_assert_running();
    open_pair();
    co_spawn("one", one_reads, NULL);
    co_spawn("two", one_reads, NULL);
    settle();
}
static void free_while_waiting_body(void)
{
    co_assert_running();
    open_pair();
    co_spawn("one", one_reads, NULL);
    settle();
    co_fd_free(here);
}
START_TEST(descriptor_misuse_aborts)
{
    drive(_i ? free_while_waiting_body : two_readers_body);
}
END_TEST

// ---- Short reads and the end of the stream

enum ending { FIN_WITH_DATA, FIN_LATER, FIN_BEFORE_WAIT, RESET_WITH_DATA, PIPE_WITH_DATA, ENDINGS };

// A connected pair of TCP sockets on loopback, for endings that only TCP has.
static void open_tcp_pair(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, sizeof sin), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(ends[1], (struct sockaddr *)&sin, sizeof sin), 0);
    ends[0] = accept(listener, NULL, NULL);
    ck_assert_int_ge(ends[0], 0);
    close(listener);
    here = co_fd_new(ends[0]);
}

static void late_fin(void *arg)
{
    co_assert_running();
    settle();
    close(ends[1]);
}

// The reader takes 3 bytes with a large buffer; then the end of the stream must be seen, and within two seconds.
static enum ending ending;
static void ending_body(void)
{
    co_assert_running();
    char data[100];
    struct linger reset = {1, 0};
    if (ending == PIPE_WITH_DATA) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        here = co_fd_new(ends[0]);
    } else {
        open_tcp_pair();
    }
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    if (ending == RESET_WITH_DATA)
        setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (ending == FIN_WITH_DATA || ending == RESET_WITH_DATA || ending == PIPE_WITH_DATA)
        close(ends[1]);
    if (ending == FIN_LATER)
        co_spawn("fin", late_fin, NULL);
    ck_assert_int_eq(careful_read(here, data, sizeof data, SOON), 3);
    if (ending == FIN_BEFORE_WAIT)
        close(ends[1]);
    int64_t start = clock_ms();
    ssize_t got = careful_read(here, data, sizeof data, start + 5000);
    ck_assert_int_eq(got, ending == RESET_WITH_DATA ? -1 : 0);
    if (got < 0)
        ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_lt(clock_ms() - start, ending == RESET_WITH_DATA ? 2000 : 900);
    close_end(&here);
}
START_TEST(short_read_does_not_hide_the_end)
{
    ending = (enum ending)_i;
    drive(ending_body);
}
END_TEST

static void short_read_body(void)
{
    co_assert_running();
    char data[100];
    open_pair();
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(careful_read(here, data, sizeof data, SOON), 3);
    trace_outcome("quiet", co_fd_wait(here, CO_READ, clock_ms() + 50)); // no system call was needed to know
    ck_assert_int_eq(write(ends[1], "d", 1), 1);
    ck_assert_int_eq(careful_read(here, data, sizeof data, SOON), 1);
    close_pair();
}
START_TEST(short_read_saves_a_call)
{
    drive_expect(short_read_body, "quiet:timeout ");
}
END_TEST

// ---- Accept and connect

static struct sockaddr_in listen_address;
static void accept_one(void *arg)
{
    co_assert_running();
    struct co_fd *listener = arg;
    int fd = co_accept(listener, SOON);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    trace("accepted");
    close(fd);
}
static int connect_to(const void *sa, unsigned len, int family) CO
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct co_fd *cfd = co_fd_new(fd);
    settle(); // the edge of the unconnected socket comes in, and must not count
    int result = co_connect(cfd, sa, len, clock_ms() + 500);
    int error = errno;
    co_fd_free(cfd);
    close(fd);
    errno = error;
    return result;
}
static void tcp_body(void)
{
    co_assert_running();
    struct sockaddr_in *sin = &listen_address;
    socklen_t len = sizeof *sin;
    *sin = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)sin, sizeof *sin), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)sin, &len), 0);
    struct co_fd *listener = co_fd_new(fd);
    struct co *acceptor = co_ref(co_spawn("acceptor", accept_one, listener));
    ck_assert_int_eq(connect_to(sin, sizeof *sin, AF_INET), 0);
    ck_assert_int_eq(co_join(acceptor, SOON), 0);
    co_unref(acceptor);
    trace_outcome("accept", co_accept(listener, clock_ms() + 20));
    co_fd_free(listener);
    close(fd);
    ck_assert_int_eq(connect_to(sin, sizeof *sin, AF_INET), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
}
START_TEST(connects_and_accepts)
{
    drive_expect(tcp_body, "accepted accept:timeout ");
}
END_TEST

// A UNIX listener whose backlog is full: connecting waits for room, and no longer than it may.
static void make_room(void *arg)
{
    co_assert_running();
    settle();
    int fd = accept(*(int *)arg, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
static void backlog_body(void)
{
    co_assert_running();
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "/tmp/dromos-co-test-%d", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, sizeof sun), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    ck_assert_int_eq(connect(filler, (struct sockaddr *)&sun, sizeof sun), 0);
    trace_outcome("full", connect_to(&sun, sizeof sun, AF_UNIX));
    struct co *server = co_ref(co_spawn("server", make_room, &listener));
    co_sleep_until(clock_ms() + 1);
    trace_outcome("room", connect_to(&sun, sizeof sun, AF_UNIX));
    ck_assert_int_eq(co_join(server, SOON), 0);
    co_unref(server);
    unlink(sun.sun_path);
    close(listener);
    close(filler);
}
START_TEST(connecting_waits_for_the_backlog)
{
    drive_expect(backlog_body, "full:timeout room:ok ");
}
END_TEST

// ---- Watches, timers, signals

static int watch_calls;
static struct co_watch *watch;
static void watched(int fd, int events, void *arg)
{
    ck_assert_ptr_null(co_self());
    ck_assert_int_eq(events, CO_READ);
    watch_calls++;
    if (arg && watch_calls == 3) {
        co_watch_free(watch); // from inside
        watch = NULL;
    }
}
static void watch_body(void)
{
    co_assert_running();
    open_pair();
    co_fd_free(here); // one registration of a descriptor at a time
    here = NULL;
    watch = co_watch_fd(ends[0], CO_READ, true, watched, &watch_calls);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    settle();
    ck_assert_int_eq(watch_calls, 3); // level-triggered: as long as nobody reads
    watch = co_watch_fd(ends[0], CO_READ, false, watched, NULL);
    settle();
    ck_assert_int_eq(watch_calls, 4); // edge-triggered: once
    co_watch_free(watch);
    close(ends[0]);
    close_pair();
}
START_TEST(watches_call_back)
{
    drive(watch_body);
}
END_TEST

static struct co_timer *timer;
static void ticked(void *arg)
{
    trace("tick");
    if (--*(int *)arg > 0)
        co_timer_set(timer, clock_ms() - 5); // in the past: the loop must still get on
}
static void timer_body(void)
{
    co_assert_running();
    int left = 3;
    timer = co_timer_new(ticked, &left);
    co_timer_set(timer, clock_ms() + 5);
    settle();
    co_timer_set(timer, clock_ms() + 5);
    co_timer_set(timer, CLOCK_NEVER);
    settle();
    trace("disarmed");
    co_timer_free(timer);
}
START_TEST(timers_tick)
{
    drive_expect(timer_body, "tick tick tick disarmed ");
}
END_TEST

static void signalled(int signo, void *arg)
{
    ck_assert_ptr_null(co_self());
    trace(signo == SIGUSR1 ? "usr1" : arg);
}
static void signal_body(void)
{
    co_assert_running();
    co_on_signal(SIGUSR1, signalled, NULL);
    co_on_signal(SIGUSR2, signalled, NAME("usr2"));
    raise(SIGUSR1);
    trace("raised");
    settle();
    raise(SIGUSR2);
    settle();
}
START_TEST(signals_run_in_the_loop)
{
    drive_expect(signal_body, "raised usr1 usr2 ");
}
END_TEST

static void hold(void *arg)
{
    co_assert_running();
    ck_assert_int_ge(co_yield (), 0);
    while (co_yield () == 0)
        continue;
}
static void fair_body(void)
{
    co_assert_running();
    char data[4];
    open_pair();
    co_spawn("busy", hold, NULL); // never lets the ready queue run empty
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(co_read(here, data, sizeof data, SOON), 1);
    co_sleep_until(clock_ms() + 10);
    close_pair();
}
START_TEST(busy_coroutines_do_not_starve_io)
{
    drive(fair_body);
}
END_TEST

// ---- Many

enum { MANY = 3000 };
static unsigned many_done;
static void one_of_many(void *arg)
{
    co_assert_running();
    int fds[2];
    char data[8];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct co_fd *a = co_fd_new(fds[0]), *b = co_fd_new(fds[1]);
    co_sleep_until(clock_ms() + 100 + (int64_t)(co_id(co_self()) % 50));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(co_write_all(a, "x", 1, SOON), 1);
        ck_assert_int_eq(co_read(b, data, sizeof data, SOON), 1);
    }
    co_fd_free(a);
    co_fd_free(b);
    close(fds[0]);
    close(fds[1]);
    many_done++;
}
static void many_body(void)
{
    co_assert_running();
    static struct co *all[MANY];
    for (int i = 0; i < MANY; i++)
        all[i] = co_ref(co_spawn("one", one_of_many, NULL));
    ck_assert_uint_eq(co_count(), MANY + 1);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(co_join(all[i], clock_deadline(100)), 0);
        co_unref(all[i]);
    }
    ck_assert_uint_eq(many_done, MANY);
}
START_TEST(three_thousand_at_once)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > 2 * MANY + 50)
        drive(many_body);
}
END_TEST

static Suite *io_suite(void)
{
    Suite *suite = suite_create("co_io");
    TCase *tc = tcase_create("descriptors");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, reads_and_writes);
    tcase_add_test(tc, readiness_is_sticky);
    tcase_add_test(tc, moves_more_than_the_kernel_holds);
    tcase_add_test(tc, writes_time_out);
    tcase_add_test(tc, one_reader_and_one_writer_may_wait);
    tcase_add_test(tc, cancels_io);
    tcase_add_loop_test_raise_signal(tc, descriptor_misuse_aborts, SIGABRT, 0, 2);
    tcase_add_loop_test(tc, short_read_does_not_hide_the_end, 0, ENDINGS);
    tcase_add_test(tc, short_read_saves_a_call);
    tcase_add_test(tc, connects_and_accepts);
    tcase_add_test(tc, connecting_waits_for_the_backlog);
    tcase_add_test(tc, watches_call_back);
    tcase_add_test(tc, timers_tick);
    tcase_add_test(tc, signals_run_in_the_loop);
    tcase_add_test(tc, busy_coroutines_do_not_starve_io);
    tcase_add_test(tc, three_thousand_at_once);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    return run_suite(io_suite());
}
