// SPDX-License-Identifier: ISC
// qmgr_scan.c: recovery of active/ at start, and the scans of incoming/ and deferred/: by the clock, or when asked.
//
// A scan looks at one name after the other (a stat each), holds nothing in memory, lets others run after a few, and
// waits while the active queue is full. Names are seen again by the next scan; what is active already is passed over.
// Suspends: everywhere.
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { NAMES_PER_TURN = 50, INCOMING_PERIOD = 60, ROOM_WAIT_SECONDS = 60, FOLLOW_UP_SECONDS = 5 };

void qmgr_scan_request(struct qmgr_scan *s, bool ignores_times)
{
    s->is_requested = true;
    s->ignores_times |= ignores_times;
    co_event_broadcast(&s->wanted);
}

void qmgr_scan_soon(struct qmgr_scan *s, int64_t seconds)
{
    int64_t then = clock_ms() + seconds * 1000;
    if (then < s->next) {
        s->next = then;
        co_event_broadcast(&s->wanted); // waits anew, not as long
    }
}

// 1 due now, 0 not yet or not ours.
static int is_due(const struct qmgr *q, const struct qmgr_scan *s, bool ignores_times, struct str id, mode_t *mode_r)
{
    struct buf path = BUF_INIT;
    struct stat st;
    int rc = 0;
    if (map_get(&q->messages, id) == NULL && queue_path(&q->layout, s->queue, id, &path) == 0 &&
        fstatat(AT_FDCWD, buf_cstr(&path), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
        bool is_ready = (st.st_mode & S_IRWXU) == QUEUE_MODE_READY || (st.st_mode & S_IRWXU) == QUEUE_MODE_CORRUPT;
        rc = is_ready && (ignores_times || st.st_mtime <= clock_wall());
        *mode_r = st.st_mode;
    }
    buf_release(&path);
    return rc;
}

static int wait_for_room(struct qmgr *q, bool is_deferred) CO
{
    while (!qmgr_active_has_room(q, is_deferred)) {
        if (co_is_cancelled() || qmgr_is_ending(q))
            return -1;
        (void)!co_event_wait(&q->room, clock_deadline(ROOM_WAIT_SECONDS)); // looked at again in any case
    }
    return 0;
}

static void set_corrupt_aside(struct qmgr *q, const char *queue, struct str id)
{
    struct err err = ERR_INIT;
    if (queue_file_move(AT_FDCWD, &q->layout, id, queue, QUEUE_CORRUPT, &err) == 1)
        log_warn(STR_FMT ": marked as damaged; saved in " QUEUE_CORRUPT, STR_ARG(id));
    else
        log_warn(STR_FMT ": marked as damaged, and cannot be moved: %s", STR_ARG(id), err.text);
}

static void scan_queue(struct qmgr *q, struct qmgr_scan *s, bool ignores_times) CO
{
    struct err err = ERR_INIT;
    struct str id;
    bool is_deferred = s == &q->deferred;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, s->queue, &err);
    if (names == NULL) {
        log_warn("%s", err.text);
        return;
    }
    int rc = 0;
    for (unsigned seen = 1; !qmgr_is_ending(q) && (rc = queue_scan_next(names, &id, &err)) == 1; seen++) {
        mode_t mode;
        if (is_due(q, s, ignores_times, id, &mode)) {
            if ((mode & S_IRWXU) == QUEUE_MODE_CORRUPT)
                set_corrupt_aside(q, s->queue, id);
            else if (wait_for_room(q, is_deferred) < 0)
                break;
            else
                qmgr_active_load(q, s->queue, id);
        }
        if (seen % NAMES_PER_TURN == 0 && co_yield () < 0)
            break;
    }
    if (rc < 0)
        log_warn("%s: %s", s->queue, err.text);
    queue_scan_close(names);
}

static void scan_loop(struct qmgr *q, struct qmgr_scan *s) CO
{
    while (!co_is_cancelled() && !qmgr_is_ending(q)) {
        if (!s->is_requested && clock_ms() < s->next) {
            (void)!co_event_wait(&s->wanted, s->next);
            continue;
        }
        bool ignores_times = s->ignores_times;
        s->is_requested = s->ignores_times = false;
        s->next = clock_deadline(s->period);
        scan_queue(q, s, ignores_times);
    }
}

static void scan_incoming(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    scan_loop(q, &q->incoming);
}

static void scan_deferred(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    scan_loop(q, &q->deferred);
}

// What a former life left in active/ goes back to incoming/, where the scan takes it up.
static void recover_active(struct qmgr *q) CO
{
    struct err err = ERR_INIT;
    struct str id;
    unsigned seen = 0;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, QUEUE_ACTIVE, &err);
    int rc = names == NULL ? -1 : 0;
    while (names != NULL && (rc = queue_scan_next(names, &id, &err)) == 1) {
        if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_INCOMING, &err) < 0)
            log_warn("%s", err.text);
        if (++seen % NAMES_PER_TURN == 0 && co_yield () < 0)
            break;
    }
    if (rc < 0)
        log_warn("%s", err.text);
    queue_scan_close(names);
}

static void scan_init(struct qmgr_scan *s, const char *queue, int64_t period)
{
    *s = (struct qmgr_scan){.queue = queue, .is_requested = true, .period = (unsigned)period, .next = clock_ms()};
    co_event_init(&s->wanted);
}

void qmgr_scan_start(struct qmgr *q)
{
    int64_t delay = q->settings->queue_run_delay;
    scan_init(&q->incoming, QUEUE_INCOMING, delay < INCOMING_PERIOD ? delay : INCOMING_PERIOD);
    scan_init(&q->deferred, QUEUE_DEFERRED, delay);
    recover_active(q);
    q->is_ready = true;
    co_spawn("scan-incoming", scan_incoming, q);
    co_spawn("scan-deferred", scan_deferred, q);
    // A notice may have gone to the queue manager that we replace, after our first look.
    co_sleep_until(clock_ms() + FOLLOW_UP_SECONDS * 1000);
    qmgr_scan_request(&q->incoming, false);
}
