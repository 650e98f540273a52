// SPDX-License-Identifier: ISC
// sessions.c: opens SMTP sessions on loopback for the measurements: many in a row, or many held idle at once.
//
// usage: sessions rate PORT PARALLEL COUNT   connect, EHLO, QUIT, COUNT times; prints the sessions per second
//        sessions refused PORT PARALLEL COUNT  the same with MAIL, a RCPT that must be refused, and DATA before QUIT,
//                                            the three in one packet, as servers send them that see PIPELINING
//        sessions hold PORT COUNT            connect and EHLO COUNT times, print "held COUNT", wait for end of input
// Limits: COUNT of `hold` is bounded by the descriptors this process may have.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_QUIT };

#define WAIT_MS      30000 // no answer from anybody for so long: give up
#define PARALLEL_MAX 20000

struct session {
    int fd;
    enum step step;
    char last[4]; // the first bytes of the line in hand, to see "250-" from "250 "
    size_t column;
};

struct run {
    int poll_fd;
    struct sockaddr_in peer;
    long wanted; // sessions to open in all
    long opened;
    long done;
    int holds;   // sessions stay open after EHLO
    int refuses; // sessions have a recipient refused
};

static void fail(const char *what)
{
    fprintf(stderr, "sessions: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void session_open(struct run *run, struct session *s)
{
    *s = (struct session){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (s->fd < 0)
        fail("socket");
    if (connect(s->fd, (struct sockaddr *)&run->peer, sizeof(run->peer)) != 0)
        fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(run->poll_fd, EPOLL_CTL_ADD, s->fd, &event) != 0)
        fail("epoll_ctl");
    run->opened++;
}

static void session_say(const struct session *s, const char *text)
{
    if (write(s->fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("write");
}

// One whole reply has come: say the next thing, or start over with a new connection.
static void session_step(struct run *run, struct session *s)
{
    if (s->step == STEP_GREETING) {
        session_say(s, "EHLO bench.example\r\n");
        s->step = STEP_EHLO;
    } else if (s->step == STEP_EHLO && run->holds) {
        run->done++;
    } else if (s->step == STEP_EHLO && run->refuses) {
        session_say(s, "MAIL FROM:<from@client.example>\r\nRCPT TO:<refused@virt.example>\r\nDATA\r\n");
        s->step = STEP_MAIL;
    } else if (s->step == STEP_MAIL || s->step == STEP_RCPT) {
        s->step++; // its reply follows
    } else if (s->step == STEP_EHLO || s->step == STEP_DATA) {
        session_say(s, "QUIT\r\n");
        s->step = STEP_QUIT;
    } else {
        close(s->fd);
        s->fd = -1;
        run->done++;
        if (run->opened < run->wanted)
            session_open(run, s);
    }
}

static void session_read(struct run *run, struct session *s)
{
    char bytes[2048];
    ssize_t got = read(s->fd, bytes, sizeof(bytes));
    if (got <= 0) {
        errno = got == 0 ? ECONNRESET : errno;
        fail("session ended early");
    }
    for (ssize_t i = 0; i < got && s->fd >= 0; i++) {
        if (bytes[i] != '\n') {
            if (s->column < sizeof(s->last))
                s->last[s->column] = bytes[i];
            s->column++;
            continue;
        }
        s->column = 0;
        if (s->last[0] != (s->step == STEP_RCPT || s->step == STEP_DATA ? '5' : '2')) {
            fprintf(stderr, "sessions: unexpected reply %.4s\n", s->last);
            exit(1);
        }
        if (s->last[3] != '-')
            session_step(run, s);
    }
}

static void run_until_done(struct run *run)
{
    struct epoll_event events[64];
    while (run->done < run->wanted) {
        int count = epoll_wait(run->poll_fd, events, 64, WAIT_MS);
        if (count == 0) {
            fprintf(stderr, "sessions: no answer for %d s, %ld of %ld done\n", WAIT_MS / 1000, run->done, run->wanted);
            exit(1);
        }
        for (int i = 0; i < count; i++)
            session_read(run, events[i].data.ptr);
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > max) {
        fprintf(stderr, "sessions: not a number from 1 to %ld: %s\n", max, text);
        exit(64);
    }
    return value;
}

static void run_hold(struct run *run, long count)
{
    struct session *sessions = calloc((size_t)count, sizeof(*sessions));
    if (sessions == NULL)
        fail("calloc");
    run->holds = 1;
    // In steps, so that the listen queue never overflows.
    for (long start = 0; start < count; start += 100) {
        long end = start + 100 < count ? start + 100 : count;
        for (long i = start; i < end; i++)
            session_open(run, &sessions[i]);
        run->wanted = end;
        run_until_done(run);
    }
    printf("held %ld\n", count);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    free(sessions);
}

static void run_rate(struct run *run, long parallel, long count)
{
    struct session *sessions = calloc((size_t)parallel, sizeof(*sessions));
    if (sessions == NULL)
        fail("calloc");
    double start = seconds_now();
    run->wanted = count;
    for (long i = 0; i < parallel && i < count; i++)
        session_open(run, &sessions[i]);
    run_until_done(run);
    printf("%.1f\n", (double)count / (seconds_now() - start));
    free(sessions);
}

int main(int argc, char **argv)
{
    int refused = argc == 5 && strcmp(argv[1], "refused") == 0;
    int rate = refused || (argc == 5 && strcmp(argv[1], "rate") == 0);
    if (!rate && !(argc == 4 && strcmp(argv[1], "hold") == 0)) {
        fprintf(stderr, "usage: sessions rate|refused PORT PARALLEL COUNT | sessions hold PORT COUNT\n");
        return 64;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct run run = {.poll_fd = epoll_create1(0), .refuses = refused};
    if (run.poll_fd < 0)
        fail("epoll_create1");
    run.peer.sin_family = AF_INET;
    run.peer.sin_port = htons((unsigned short)number(argv[2], 65535));
    run.peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (rate)
        run_rate(&run, number(argv[3], PARALLEL_MAX), number(argv[4], 100000000));
    else
        run_hold(&run, number(argv[3], PARALLEL_MAX));
    close(run.poll_fd);
    return 0;
}
