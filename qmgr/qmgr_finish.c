// SPDX-License-Identifier: ISC
// qmgr_finish.c: the end of a round: notifications, then removal, or deferral with back-off.
//
// The common case (all sent) goes straight to qmgr_remove. What needs the bounce service, or more recipients
// read, is a chore: a few workers take those in turn, so that a slow service holds up nothing but notifications.
// Suspends: workers.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/agent/bounce_client.h"
#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { WORKERS_MAX = 20, WARN_PAYLOAD = 15 };

static bool is_warning_due(const struct qmgr_message *m)
{
    return m->deferred > 0 && m->warn_time > 0 && m->warn_time <= clock_wall();
}

static void defer_message(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct str id = m->request.queue_id;
    struct err err = ERR_INIT;
    if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_DEFERRED, &err) < 0)
        log_warn(STR_FMT ": cannot defer: %s", STR_ARG(id), err.text); // found again at the next start
}

// Tried again after a while: the file's time says when.
static void retry_later(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    const struct settings *s = q->settings;
    struct qmgr_backoff rules = {s->minimal_backoff_time, s->maximal_backoff_time, (unsigned)s->qmgr_retry_jitter};
    struct buf path = BUF_INIT;
    int64_t now = clock_wall();
    int64_t when = now + qmgr_backoff(now - m->request.arrival_us / 1000000, &rules, arc4random());
    struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
    if (queue_path(&q->layout, QUEUE_ACTIVE, m->request.queue_id, &path) == 0)
        (void)!utimensat(AT_FDCWD, buf_cstr(&path), times, 0); // tried early at worst
    buf_release(&path);
    defer_message(m);
    qmgr_load_at(q, QUEUE_DEFERRED, m->request.queue_id, when, false);
    qmgr_message_free(m);
}

static void end_round(struct qmgr_message *m)
{
    if (m->deferred > 0) {
        retry_later(m);
    } else if (m->parked_at != NULL) {
        defer_message(m);
        qmgr_active_park(m->qmgr, m->request.queue_id, QUEUE_DEFERRED, &m->parked_at->parked[m->parked_beside_others]);
        qmgr_message_free(m);
    } else {
        qmgr_remove(m);
    }
}

// ---- Notifications

static int flush(struct qmgr_message *m, enum bounce_notice notice) CO
{
    const struct delivery_request *r = &m->request;
    struct err err = ERR_INIT;
    struct bounce_flush f = {.notice = notice,
                             .queue_name = r->queue_name,
                             .queue_id = r->queue_id,
                             .sender = r->sender,
                             .envelope_id = r->envelope_id,
                             .encoding = r->encoding,
                             .ret_flags = r->ret_flags,
                             .sendopts = r->sendopts,
                             .arrival_s = r->arrival_us / 1000000};
    if (bounce_client_flush(&f, &err) == 0)
        return 0;
    log_warn(STR_FMT ": cannot send notification: %s", STR_ARG(r->queue_id), err.text);
    return -1;
}

static void overwrite(struct qmgr_message *m, int64_t offset, const char *text, size_t len)
{
    struct err err = ERR_INIT;
    int fd = queue_file_open(AT_FDCWD, &m->qmgr->layout, QUEUE_ACTIVE, m->request.queue_id, O_WRONLY, &err);
    if (fd < 0 || pwrite(fd, text, len, offset) != (ssize_t)len)
        log_warn(STR_FMT ": cannot update the message file", STR_ARG(m->request.queue_id));
    if (fd >= 0)
        close(fd);
}

// A report was asked for once: the record that asks is struck out.
static void send_trace(struct qmgr_message *m) CO
{
    bool is_verify = m->trace_flags != 0;
    if (flush(m, is_verify ? BOUNCE_NOTICE_VERIFY : BOUNCE_NOTICE_SUCCESS) < 0) {
        m->deferred++;
        return;
    }
    if (is_verify && m->deferred > 0 && m->trace_flags_offset > 0)
        overwrite(m, m->trace_flags_offset, "K", 1);
}

static void send_warning(struct qmgr_message *m) CO
{
    char zero[WARN_PAYLOAD + 1];
    if (flush(m, BOUNCE_NOTICE_DELAY) < 0 || m->warn_offset <= 0)
        return;
    snprintf(zero, sizeof zero, "%*d", WARN_PAYLOAD, 0);
    overwrite(m, m->warn_offset, zero, WARN_PAYLOAD);
}

static void send_notices(struct qmgr_message *m) CO
{
    if (m->has_expired)
        qmgr_message_log_from(m, m->is_forced_to_expire ? ">, status=force-expired, returned to sender"
                                                        : ">, status=expired, returned to sender");
    if (qmgr_has_file(m->qmgr, QUEUE_MAILDROP, m->request.queue_id)) {
        end_round(m); // postsuper -r took it during its delivery: pickup reports, to report all once
        return;
    }
    if (m->has_bounced && flush(m, BOUNCE_NOTICE_FAILURE) < 0)
        m->deferred++; // the file stays until the sender was told
    if (m->has_trace)
        send_trace(m);
    if (is_warning_due(m))
        send_warning(m);
    end_round(m);
}

void qmgr_finish(struct qmgr_message *m)
{
    if (m->has_bounced || m->has_trace || is_warning_due(m))
        qmgr_chore_add(m);
    else
        end_round(m);
}

// ---- Workers

static void worker_main(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    struct list *first;
    while (!co_is_cancelled() && (first = list_first(&q->chores)) != NULL) {
        struct qmgr_message *m = container_of(first, struct qmgr_message, link);
        list_remove(&m->link);
        if (m->is_refilling)
            qmgr_active_refill(m);
        else
            send_notices(m);
    }
    q->workers--;
}

void qmgr_chore_add(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    list_append(&q->chores, &m->link);
    if (q->workers < WORKERS_MAX && !qmgr_is_ending(q)) {
        q->workers++;
        co_spawn("finish", worker_main, q);
    }
}

bool qmgr_is_drained(const struct qmgr *q)
{
    return q->outstanding == 0 && q->workers == 0 && q->removers == 0;
}
