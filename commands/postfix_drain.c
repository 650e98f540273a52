// SPDX-License-Identifier: ISC
// postfix_drain.c: takes no more mail, waits until what is queued has left, and stops the mail system.
//
// master is told by a mark (lib/conf/drain.h) and a reload. Trust: as the rest of the command; queue directories are
// only counted.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/conf/drain.h"
#include "lib/ipc/ipc.h"
#include "lib/mail/queue_file.h"

enum {
    MAILDROP_SECONDS = 10, // how long submitted mail may take to be picked up before
    LOOK_MS = 250,
    LOOK_MS_MAX = 5000,
    SHARE = 10,       // of the time at most one tenth is spent on counting
    SAY_SECONDS = 60, // between two lines of the log
    FLUSHES = 2,      // deferred mail is tried at once: by the former queue manager's successor, whenever that is up
    FLUSH_AFTER_MS = 1000,
    FLUSH_FACTOR = 4,
};

struct drain {
    struct control *control;
    struct str nexthop; // --to, or ""
    int64_t deadline;   // --timeout, or CLOCK_NEVER
    bool cancels;       // --cancel
    bool is_terminal;
    int64_t next_line; // clock_ms
    int64_t next_flush, flush_pause;
    unsigned flushes;
};

struct queue_sizes {
    size_t maildrop, incoming, active, deferred, hold;
};

static void usage(void)
{
    die("usage: postfix drain [--to host] [--timeout time] | postfix drain --cancel");
}

static void parse_arguments(struct drain *d, char **words)
{
    int64_t seconds;
    for (; *words != NULL; words++) {
        struct str word = str_from(*words);
        if (str_is(word, STR("--cancel"))) {
            d->cancels = true;
        } else if (words[1] == NULL) {
            usage();
        } else if (str_is(word, STR("--to"))) {
            d->nexthop = str_from(*++words);
            if (!drain_nexthop_is_valid(d->nexthop))
                die("not a host: \"%s\"", *words);
        } else if (str_is(word, STR("--timeout")) && conf_parse_time(str_from(*++words), 's', &seconds) == 0) {
            d->deadline = clock_deadline(seconds);
        } else {
            usage();
        }
    }
    if (d->cancels && (d->nexthop.len > 0 || d->deadline != CLOCK_NEVER))
        usage();
}

// ---- The mark

static void write_mark(struct drain *d)
{
    struct control *c = d->control;
    struct stat st;
    struct err err = ERR_INIT;
    struct str text = arena_strf(&c->arena, STR_FMT "\n", STR_ARG(d->nexthop));
    struct sys_open how = {drain_mark_path(&c->settings, &c->arena).ptr, O_WRONLY | O_CREAT | O_TRUNC, 0644, (uid_t)-1,
                           (gid_t)-1};
    int fd = sys_safe_open(&how, &st, &err);
    if (fd < 0)
        die("%s", err.text);
    if (sys_write_all(fd, text.ptr, text.len) < 0 || fsync(fd) < 0)
        die("write %s: %s", how.path, strerror(errno));
    close(fd);
}

void control_end_drain(struct control *c)
{
    struct str path = drain_mark_path(&c->settings, &c->arena);
    if (unlink(path.ptr) < 0 && errno != ENOENT)
        die("remove %s: %s", path.ptr, strerror(errno));
}

static int cancel(struct drain *d, pid_t pid)
{
    control_end_drain(d->control);
    kill(pid, SIGHUP);
    log_info("the Postfix mail system accepts mail again");
    return 0;
}

// ---- Counting

static size_t count_queue(const char *queue)
{
    struct err err = ERR_INIT;
    struct str id;
    size_t count = 0;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, queue, &err);
    int rc = names == NULL ? -1 : 0;
    while (names != NULL && (rc = queue_scan_next(names, &id, &err)) == 1)
        count++;
    queue_scan_close(names);
    if (rc < 0)
        die("%s", err.text);
    return count;
}

static size_t leaving(const struct queue_sizes *s)
{
    return s->incoming + s->active + s->deferred;
}

static void count_all(struct queue_sizes *s)
{
    s->incoming = count_queue(QUEUE_INCOMING);
    s->active = count_queue(QUEUE_ACTIVE);
    s->deferred = count_queue(QUEUE_DEFERRED);
}

// Messages move between the queues while they are counted: empty is what was found empty three times, in the direction
// in which messages move, and in the other.
static bool is_empty(struct queue_sizes *s)
{
    for (int i = 0; i < 3; i++) {
        count_all(s);
        if (leaving(s) > 0)
            return false;
    }
    return true;
}

// ---- Waiting

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void say(struct drain *d, const struct queue_sizes *s)
{
    if (d->is_terminal) {
        fprintf(stderr, "\r\033[Kdraining: %zu queued (%zu incoming, %zu active, %zu deferred)", leaving(s),
                s->incoming, s->active, s->deferred);
    } else if (clock_ms() >= d->next_line) {
        d->next_line = clock_deadline(SAY_SECONDS);
        log_info("draining: %zu queued (%zu incoming, %zu active, %zu deferred)", leaving(s), s->incoming, s->active,
                 s->deferred);
    }
}

static void end_line(const struct drain *d)
{
    if (d->is_terminal)
        fputs("\r\033[K", stderr);
}

static void flush_when_due(struct drain *d)
{
    struct control *c = d->control;
    struct err err = ERR_INIT;
    if (d->flushes == FLUSHES || clock_ms() < d->next_flush)
        return;
    const char *qmgr = arena_strf(&c->arena, "public/" STR_FMT, STR_ARG(c->settings.queue_service_name)).ptr;
    if (ipc_trigger(qmgr, STR("FAID"), &err) < 0)
        log_warn("%s", err.text);
    d->flush_pause *= FLUSH_FACTOR;
    d->next_flush = clock_ms() + d->flush_pause;
    d->flushes++;
}

// What was submitted before is taken in first; pickup rests afterwards.
static void wait_for_pickup(struct drain *d)
{
    struct control *c = d->control;
    struct err err = ERR_INIT;
    const char *pickup = arena_strf(&c->arena, "public/" STR_FMT, STR_ARG(c->settings.pickup_service_name)).ptr;
    int64_t until = clock_deadline(MAILDROP_SECONDS);
    if (count_queue(QUEUE_MAILDROP) == 0)
        return;
    if (ipc_trigger(pickup, STR("W"), &err) < 0)
        log_warn("%s", err.text);
    while (clock_ms() < until && clock_ms() < d->deadline && count_queue(QUEUE_MAILDROP) > 0)
        pause_ms(LOOK_MS);
}

// True: the queue is empty. False: time is up, or master is gone.
static bool wait_until_empty(struct drain *d, struct queue_sizes *s)
{
    int64_t pause = LOOK_MS;
    for (;;) {
        int64_t begin = clock_ms();
        if (is_empty(s))
            return true;
        int64_t spent = clock_ms() - begin;
        say(d, s);
        if (control_master_pid(d->control) == 0)
            die("the Postfix mail system has ended; %zu messages are queued", leaving(s));
        if (clock_ms() >= d->deadline)
            return false;
        flush_when_due(d);
        pause = spent * SHARE > LOOK_MS ? spent * SHARE : LOOK_MS;
        pause_ms(pause < LOOK_MS_MAX ? pause : LOOK_MS_MAX);
    }
}

static void say_rest(struct queue_sizes *s)
{
    s->hold = count_queue(QUEUE_HOLD);
    s->maildrop = count_queue(QUEUE_MAILDROP);
    if (s->hold > 0)
        log_info("%zu message%s on hold", s->hold, s->hold == 1 ? " is" : "s are");
    if (s->maildrop > 0)
        log_info("%zu submitted message%s for the next start", s->maildrop, s->maildrop == 1 ? " waits" : "s wait");
}

int control_drain(struct control *c)
{
    struct drain d = {.control = c, .nexthop = STR(""), .deadline = CLOCK_NEVER};
    struct queue_sizes sizes = {0, 0, 0, 0, 0};
    parse_arguments(&d, c->arguments);
    pid_t pid = control_running_pid(c);
    if (chdir(c->settings.queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(c->settings.queue_directory), strerror(errno));
    if (d.cancels)
        return cancel(&d, pid);
    if (!control_master_cf_is_sound(c))
        die("the Postfix mail system would not read its configuration again");
    d.is_terminal = isatty(2);
    d.flush_pause = FLUSH_AFTER_MS;
    wait_for_pickup(&d);
    write_mark(&d);
    log_info("draining the Postfix mail system");
    kill(pid, SIGHUP);
    d.next_flush = clock_ms() + d.flush_pause;
    d.next_line = clock_deadline(SAY_SECONDS);
    bool is_done = wait_until_empty(&d, &sizes);
    end_line(&d);
    if (!is_done)
        die("time is up: %zu message%s left; delivery goes on, no mail is accepted (postfix stop, or postfix drain "
            "--cancel)",
            leaving(&sizes), leaving(&sizes) == 1 ? " is" : "s are");
    log_info("the mail queue is empty");
    control_stop(c);
    say_rest(&sizes);
    if (!is_empty(&sizes)) // a session that was still open
        die("%zu message%s arrived at the last moment", leaving(&sizes), leaving(&sizes) == 1 ? "" : "s");
    return 0;
}
