// SPDX-License-Identifier: ISC
// qmgr_scan.c: recovery of active/ at start, and the scans of incoming/ and deferred/: by the clock, or when asked.
//
// A scan looks at one name after the other (a stat each) and lets others run after a few. What lies in incoming/ is
// taken up as it is seen, and the scan waits while the active queue is full; what lies in deferred/ enters the index of
// times. At start deferred/ is read once; after that a scan finds only what others have put there, so it is rare.
// Suspends: everywhere.
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { TURN_MS = 3, NAMES_PER_TURN = 50, INCOMING_PERIOD = 60, ROOM_WAIT_SECONDS = 60, FOLLOW_UP_SECONDS = 5 };
enum { DEFERRED_PERIODS = 12 }; // queue_run_delay times this: how long a file that appears unannounced may wait

int qmgr_turn_step(struct qmgr_turn *turn, unsigned steps_max)
{
    if (++turn->steps < steps_max && clock_ms() < turn->ends)
        return 0;
    int rc = co_yield ();
    *turn = (struct qmgr_turn){.ends = clock_ms() + TURN_MS};
    return rc;
}

void qmgr_scan_request(struct qmgr_scan *s, bool ignores_times)
{
    s->is_requested = true;
    s->ignores_times |= ignores_times;
    co_event_broadcast(&s->wanted);
}

// A message that is complete, or marked as damaged, and not in memory.
static bool is_ours(const struct qmgr *q, const struct qmgr_scan *s, struct str id, struct stat *st_r)
{
    struct buf path = BUF_INIT;
    bool is = map_get(&q->messages, id) == NULL && queue_path(&q->layout, s->queue, id, &path) == 0 &&
              fstatat(AT_FDCWD, buf_cstr(&path), st_r, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st_r->st_mode);
    buf_release(&path);
    mode_t mode = is ? st_r->st_mode & S_IRWXU : 0;
    return mode == QUEUE_MODE_READY || mode == QUEUE_MODE_CORRUPT;
}

int qmgr_scan_wait_for_room(struct qmgr *q, bool is_deferred)
{
    bool *waits = is_deferred ? &q->old_mail_waits : &q->new_mail_waits;
    int rc = 0;
    while (rc == 0 && !qmgr_active_has_room(q, is_deferred)) {
        *waits = true;
        (void)!co_event_wait(&q->room, clock_deadline(ROOM_WAIT_SECONDS)); // looked at again in any case
        if (co_is_cancelled() || qmgr_is_ending(q))
            rc = -1;
    }
    *waits = false;
    return rc;
}

static void set_corrupt_aside(struct qmgr *q, const char *queue, struct str id)
{
    struct err err = ERR_INIT;
    if (queue_file_move(AT_FDCWD, &q->layout, id, queue, QUEUE_CORRUPT, &err) == 1)
        log_warn(STR_FMT ": marked as damaged; saved in " QUEUE_CORRUPT, STR_ARG(id));
    else
        log_warn(STR_FMT ": marked as damaged, and cannot be moved: %s", STR_ARG(id), err.text);
}

// One name of incoming/: taken up, unless it waits for a reason.
static int see_new(struct qmgr *q, struct str id) CO
{
    if (qmgr_due_find(&q->due, id) != NULL)
        return 0;
    if (qmgr_scan_wait_for_room(q, false) < 0)
        return -1;
    in_flow_taken(q->in_flow);
    qmgr_active_load(q, QUEUE_INCOMING, id);
    return 0;
}

// One name of deferred/: its time enters the index. What waits for room at its destination goes on waiting.
static void see_deferred(struct qmgr *q, const struct qmgr_scan *round, struct str id, int64_t when)
{
    const struct qmgr_due_entry *known = qmgr_due_find(&q->due, id);
    int64_t now = clock_wall(), longest = now + q->settings->maximal_backoff_time;
    if (known != NULL && known->position == QMGR_DUE_ELSEWHERE)
        return;
    if (round->distrusts_times && when > longest)
        when = now;
    if (round->ignores_times)
        qmgr_load_at(q, QUEUE_DEFERRED, id, 0, true);
    else if (known == NULL || known->when != when)
        qmgr_load_at(q, QUEUE_DEFERRED, id, when, round->distrusts_times);
}

static int see(struct qmgr *q, const struct qmgr_scan *round, struct str id) CO
{
    struct stat st;
    if (!is_ours(q, round, id, &st))
        return 0;
    if ((st.st_mode & S_IRWXU) == QUEUE_MODE_CORRUPT)
        set_corrupt_aside(q, round->queue, id);
    else if (str_is(str_from(round->queue), STR(QUEUE_DEFERRED)))
        see_deferred(q, round, id, st.st_mtime);
    else if (st.st_mtime > clock_wall() && !round->ignores_times)
        qmgr_load_at(q, QUEUE_INCOMING, id, st.st_mtime, false);
    else
        return see_new(q, id);
    return 0;
}

// `round` is what was asked for when it began.
static void scan_queue(struct qmgr *q, const struct qmgr_scan *round) CO
{
    struct err err = ERR_INIT;
    struct str id;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, round->queue, &err);
    if (names == NULL) {
        log_warn("%s", err.text);
        return;
    }
    int rc = 0;
    struct qmgr_turn turn = {0};
    while (!qmgr_is_ending(q) && (rc = queue_scan_next(names, &id, &err)) == 1) {
        if (queue_scan_settle(names, &q->layout, id, &err) < 0)
            log_warn("%s", err.text);
        if (see(q, round, id) < 0 || qmgr_turn_step(&turn, NAMES_PER_TURN) < 0)
            break;
    }
    if (rc < 0)
        log_warn("%s: %s", round->queue, err.text);
    else if (rc == 0 && str_is(str_from(round->queue), STR(QUEUE_INCOMING)))
        in_flow_level(q->in_flow);
    queue_scan_close(names);
}

static void scan_loop(struct qmgr *q, struct qmgr_scan *s) CO
{
    while (!co_is_cancelled() && !qmgr_is_ending(q)) {
        if (!s->is_requested && clock_ms() < s->next) {
            (void)!co_event_wait(&s->wanted, s->next);
            continue;
        }
        struct qmgr_scan round = *s;
        s->is_requested = s->ignores_times = s->distrusts_times = false;
        s->next = clock_deadline(s->period);
        scan_queue(q, &round);
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
    struct qmgr_turn turn = {0};
    struct queue_scan *names = queue_scan_open(AT_FDCWD, QUEUE_ACTIVE, &err);
    int rc = names == NULL ? -1 : 0;
    while (names != NULL && (rc = queue_scan_next(names, &id, &err)) == 1) {
        if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_INCOMING, &err) < 0)
            log_warn("%s", err.text);
        if (qmgr_turn_step(&turn, NAMES_PER_TURN) < 0)
            break;
    }
    if (rc < 0)
        log_warn("%s", err.text);
    queue_scan_close(names);
}

static void scan_init(struct qmgr_scan *s, const char *queue, int64_t period)
{
    *s = (struct qmgr_scan){.queue = queue, .is_requested = true, .period = period, .next = clock_ms()};
    co_event_init(&s->wanted);
}

void qmgr_scan_start(struct qmgr *q)
{
    int64_t delay = q->settings->queue_run_delay;
    scan_init(&q->incoming, QUEUE_INCOMING, delay < INCOMING_PERIOD ? delay : INCOMING_PERIOD);
    scan_init(&q->deferred, QUEUE_DEFERRED, delay * DEFERRED_PERIODS);
    recover_active(q);
    q->is_ready = true;
    co_spawn("scan-incoming", scan_incoming, q);
    co_spawn("scan-deferred", scan_deferred, q);
    co_spawn("loader", qmgr_load_main, q);
    // A notice may have gone to the queue manager that we replace, after our first look.
    co_sleep_until(clock_ms() + FOLLOW_UP_SECONDS * 1000);
    qmgr_scan_request(&q->incoming, false);
}
