// SPDX-License-Identifier: ISC
// qmgr_load.c: messages that wait are taken up when their time has come, from an index in memory.
//
// A deferral enters the index as it happens, so no directory is read between restarts but now and then (qmgr_scan.c).
// Whoever changes files without saying so (postsuper, a restored backup) is noticed here: a file that is gone is
// forgotten, one that has another time than the index thought waits for that.
// Suspends: the loader.
#include <fcntl.h>

#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { LOADS_PER_TURN = 10, WAIT_MAX_SECONDS = 60, CLOCK_STEP = 30, EXPIRY_STEP = 3600 };

void qmgr_load_at(struct qmgr *q, const char *queue, struct str id, int64_t when, bool is_asked)
{
    const struct qmgr_due_entry *first = qmgr_due_first(&q->due);
    int64_t awaited = first ? first->when : INT64_MAX;
    struct qmgr_due_entry *e = qmgr_due_set(&q->due, id, when);
    if (e == NULL)
        return; // no name of ours
    e->mark = (uint8_t)((str_is(str_from(queue), STR(QUEUE_INCOMING)) ? QMGR_DUE_INCOMING : 0) |
                        (is_asked ? QMGR_DUE_ASKED : 0));
    if (when < awaited)
        co_event_broadcast(&q->due_changed);
}

void qmgr_watch_clock(struct qmgr *q)
{
    int64_t offset = clock_wall() - clock_ms() / 1000, step = offset - q->clock_offset;
    q->clock_offset = offset;
    if (step > -CLOCK_STEP && step < CLOCK_STEP)
        return;
    log_warn("the clock was set %s by %lld seconds", step < 0 ? "back" : "forward",
             (long long)(step < 0 ? -step : step));
    q->deferred.distrusts_times = step < 0;
    if (step >= EXPIRY_STEP)
        q->expires_from = clock_deadline(q->settings->maximal_backoff_time);
    qmgr_scan_request(&q->deferred, false);
}

static bool has_time_come(struct qmgr *q, const char *queue, struct str id)
{
    struct buf path = BUF_INIT;
    struct stat st;
    bool is_there = queue_path(&q->layout, queue, id, &path) == 0 &&
                    fstatat(AT_FDCWD, buf_cstr(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
    buf_release(&path);
    if (is_there && st.st_mtime > clock_wall()) {
        qmgr_load_at(q, queue, id, st.st_mtime, false);
        return false;
    }
    return is_there;
}

static void load_first(struct qmgr *q) CO
{
    struct buf id = BUF_INIT;
    struct qmgr_due_entry *e = qmgr_due_first(&q->due);
    const char *queue = e->mark & QMGR_DUE_INCOMING ? QUEUE_INCOMING : QUEUE_DEFERRED;
    bool is_asked = (e->mark & QMGR_DUE_ASKED) != 0;
    buf_add_str(&id, qmgr_due_id(e));
    qmgr_due_forget(&q->due, e);
    if (is_asked || has_time_come(q, queue, buf_str(&id)))
        qmgr_active_load(q, queue, buf_str(&id));
    buf_release(&id);
}

void qmgr_load_main(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    struct qmgr_turn turn = {0};
    while (!co_is_cancelled() && !qmgr_is_ending(q)) {
        const struct qmgr_due_entry *e = qmgr_due_first(&q->due);
        int64_t wait = e == NULL ? WAIT_MAX_SECONDS : e->when - clock_wall();
        qmgr_watch_clock(q);
        if (wait > 0) {
            if (wait > WAIT_MAX_SECONDS) // the clock may be set meanwhile
                wait = WAIT_MAX_SECONDS;
            (void)!co_event_wait(&q->due_changed, clock_deadline(wait));
            continue;
        }
        bool is_old = !(e->mark & QMGR_DUE_INCOMING);
        if (!qmgr_active_has_room(q, is_old)) {
            if (qmgr_scan_wait_for_room(q, is_old) < 0)
                break;
            continue; // the index may have changed
        }
        load_first(q);
        if (qmgr_turn_step(&turn, LOADS_PER_TURN) < 0)
            break;
    }
}
