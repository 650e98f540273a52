// SPDX-License-Identifier: ISC
// qmgr_active.c: how messages enter the active queue: from a notice without reading the file, or from the file.
// Trust: queue files may be garbage: they go to corrupt/ and never stop the queue manager.
// Suspends: routing. Limits: qmgr_message_active_limit, qmgr_message_recipient_limit.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"
#include "qmgr/qmgr.h"

enum { BATCH_MAX = 1000, LOCKED_RETRY_SECONDS = 5, MODE_EXPIRED = 0010, MODE_UNTHROTTLE = 0040, GUARANTEED_SHARE = 4 };

// New mail and mail that is tried again: while both wait, each has its share, and what one leaves is the other's.
bool qmgr_active_has_room(const struct qmgr *q, bool for_deferred)
{
    size_t limit = (size_t)q->settings->qmgr_message_active_limit, share = limit / GUARANTEED_SHARE;
    size_t old = q->retried, new = q->messages.count - q->retried;
    if (q->recipients >= (size_t)q->settings->qmgr_message_recipient_limit)
        return false;
    if (for_deferred) // new mail finds room however much is retried, also when it comes all of a sudden
        return q->messages.count < limit - (new < share ? share - new : 0);
    return q->messages.count < limit - (q->old_mail_waits && old < share ? share - old : 0);
}

static size_t rest(size_t limit, size_t used)
{
    return used < limit ? limit - used : 0;
}

// How many recipients may be read at once, for a message over that transport (NULL: not known yet).
static size_t batch_size(const struct qmgr *q, const struct qmgr_transport *t)
{
    const struct settings *s = q->settings;
    size_t least = (size_t)s->qmgr_message_recipient_minimum;
    size_t room = rest((size_t)s->qmgr_message_recipient_limit, q->recipients);
    size_t of_transport = t ? rest(t->recipients_max, t->recipients) : (size_t)s->default_recipient_limit;
    if (room > of_transport)
        room = of_transport;
    if (room > BATCH_MAX)
        room = BATCH_MAX;
    return room > least ? room : least;
}

static void log_active(const struct qmgr_message *m, int64_t recipients)
{
    struct buf rest_of_line = BUF_INIT;
    buf_addf(&rest_of_line, ">, size=%lld, nrcpt=%lld (queue active)", (long long)m->request.message_size,
             (long long)recipients);
    qmgr_message_log_from(m, buf_cstr(&rest_of_line));
    buf_release(&rest_of_line);
}

bool qmgr_has_file(const struct qmgr *q, const char *queue, struct str id)
{
    struct buf path = BUF_INIT;
    bool exists = queue_path(&q->layout, queue, id, &path) == 0 && faccessat(AT_FDCWD, buf_cstr(&path), F_OK, 0) == 0;
    buf_release(&path);
    return exists;
}

// What former attempts left beside the file.
static void read_logs(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct str id = m->request.queue_id;
    struct err err = ERR_INIT;
    m->has_bounced = qmgr_has_file(q, QUEUE_BOUNCE, id);
    m->has_trace = qmgr_has_file(q, QUEUE_TRACE, id);
    if (queue_file_remove(AT_FDCWD, &q->layout, QUEUE_DEFER, id, &err) < 0) // this attempt gives new reasons
        log_warn(STR_FMT ": %s", STR_ARG(id), err.text);
}

void qmgr_active_park(struct qmgr *q, struct str id, const char *queue, struct list *parked)
{
    qmgr_load_at(q, queue, id, 0, true);
    struct qmgr_due_entry *e = qmgr_due_find(&q->due, id);
    if (e != NULL)
        qmgr_due_set_aside(&q->due, e, parked);
}

// A message in its file, before it is in active/.
struct source {
    const char *queue;
    int fd;             // -1: nobody tried to deliver it before
    int64_t recipients; // as the log shows them
};

// The file goes to active/ and the recipients to their destinations, or all wait until there is room.
static void activate(struct qmgr_message *m, const struct source *from, struct qmgr_assignment *a)
{
    struct qmgr *q = m->qmgr;
    struct str id = m->request.queue_id;
    struct err err = ERR_INIT;
    bool are_several;
    struct qmgr_destination *full = qmgr_assignment_full_at(a, &are_several);
    int moved = full != NULL ? 0 : queue_file_move(AT_FDCWD, &q->layout, id, from->queue, QUEUE_ACTIVE, &err);
    if (full != NULL)
        qmgr_active_park(q, id, from->queue, &full->parked[are_several]);
    else if (moved < 0)
        log_warn(STR_FMT ": %s", STR_ARG(id), err.text);
    if (moved != 1) { // absent: somebody took it away meanwhile
        qmgr_assignment_release(a);
        qmgr_message_free(m);
        return;
    }
    m->request.active_us = clock_wall_us();
    if (from->fd >= 0)
        read_logs(m);
    log_active(m, from->recipients);
    m->refilled_at = clock_ms();
    m->open = 1;
    qmgr_assignment_queue(a);
    qmgr_message_release(m);
}

// ---- From a notice

void qmgr_active_arrived(struct qmgr *q, const struct ipc_view *notice)
{
    struct err err = ERR_INIT;
    struct arrival arrival;
    if (qmgr_is_ending(q) || !q->is_ready)
        return; // found by a scan
    if (!qmgr_active_has_room(q, false)) {
        qmgr_scan_request(&q->incoming, false); // waits for room
        return;
    }
    in_flow_taken(q->in_flow);
    struct qmgr_message *m = qmgr_message_from_arrival(q, notice, &arrival, &err);
    if (m == NULL) {
        if (err.kind != ERR_NONE)
            log_warn("malformed notice of a new message: %s", err.text);
        return;
    }
    if (!arrival.has_all_recipients || m->redirect.len > 0) {
        struct buf id = BUF_INIT;
        buf_add_str(&id, m->request.queue_id);
        qmgr_message_free(m);
        qmgr_active_load(q, QUEUE_INCOMING, buf_str(&id));
        buf_release(&id);
        return;
    }
    struct qmgr_assignment a = {.message = m,
                                .recipients = (struct delivery_recipient *)(uintptr_t)arrival.request.recipients,
                                .count = arrival.request.recipient_count};
    const struct source from = {QUEUE_INCOMING, -1, (int64_t)a.count};
    qmgr_assignment_route(&a);
    activate(m, &from, &a);
}

// ---- From the file

static void save_corrupt(struct qmgr *q, const char *queue, struct str id, const char *why)
{
    struct err err = ERR_INIT;
    if (queue_file_move(AT_FDCWD, &q->layout, id, queue, QUEUE_CORRUPT, &err) == 1)
        log_warn(STR_FMT ": message file is damaged (%s); saved in " QUEUE_CORRUPT, STR_ARG(id), why);
    else
        log_warn(STR_FMT ": message file is damaged (%s) and cannot be moved: %s", STR_ARG(id), why, err.text);
}

static void look_again(struct qmgr *q, const char *queue, struct str id, int64_t seconds)
{
    qmgr_load_at(q, queue, id, clock_wall() + seconds, true);
}

// Opens QUEUE/ID, alone. -1: still being delivered, or gone, or no file that is ready.
static int open_alone(struct qmgr *q, const char *queue, struct str id, struct stat *st_r)
{
    struct err err = ERR_INIT;
    int fd = queue_file_open(AT_FDCWD, &q->layout, queue, id, O_RDWR, &err);
    if (fd < 0) {
        if (err.errnum == ELOOP) {
            save_corrupt(q, queue, id, "no regular file");
        } else if (err.errnum != ENOENT) {
            log_warn(STR_FMT ": %s", STR_ARG(id), err.text);
            look_again(q, queue, id, q->settings->minimal_backoff_time);
        }
        return -1;
    }
    if (fstat(fd, st_r) == 0 && S_ISREG(st_r->st_mode) && (st_r->st_mode & S_IRWXU) == QUEUE_MODE_READY) {
        if (sys_flock(fd, SYS_LOCK_EXCLUSIVE, false) == 1)
            return fd;
        log_info(STR_FMT ": skipped, still being delivered", STR_ARG(id));
        look_again(q, queue, id, LOCKED_RETRY_SECONDS);
    }
    close(fd);
    return -1;
}

// Only one recipient of redirected mail remains, with the new address. The others are marked first: the one left keeps
// the file.
static void redirect(struct qmgr_message *m, int fd, struct qmgr_assignment *a)
{
    struct err err = ERR_INIT;
    if (m->redirect.len == 0 || a->count == 0)
        return;
    for (size_t i = 1; i < a->count; i++)
        if (queue_recipient_mark_done(fd, a->recipients[i].offset, &err) < 0)
            log_warn(STR_FMT ": %s", STR_ARG(m->request.queue_id), err.text);
    a->recipients[0].address = m->redirect;
    a->count = 1;
    m->next_recipient_offset = 0;
}

// Somebody wants this message to be tried although its destinations could not be reached lately. Said once.
static void unthrottle(const struct qmgr_assignment *a, int fd, mode_t mode)
{
    for (size_t i = 0; i < a->count; i++)
        qmgr_destination_revive(a->destinations[i]);
    (void)!fchmod(fd, mode & 07777 & ~(mode_t)MODE_UNTHROTTLE); // at worst it is said again
}

static void load(struct qmgr_message *m, const char *queue, int fd, mode_t mode) CO
{
    struct qmgr *q = m->qmgr;
    struct err err = ERR_INIT;
    struct qmgr_assignment a = {.message = m};
    struct queue_envelope *envelope = ARENA_NEW(&m->batches[0].arena, struct queue_envelope);
    if (queue_envelope_read(fd, &m->batches[0].arena, batch_size(q, NULL), 0, envelope, &err) < 0) {
        if (err_is_permanent(&err)) {
            save_corrupt(q, queue, m->request.queue_id, err.text);
        } else {
            log_warn(STR_FMT ": cannot read message file: %s", STR_ARG(m->request.queue_id), err.text);
            look_again(q, queue, m->request.queue_id, q->settings->minimal_backoff_time);
        }
        qmgr_message_free(m);
        return;
    }
    qmgr_message_set_envelope(m, envelope);
    m->next_recipient_offset = envelope->next_recipient_offset;
    a.recipients = qmgr_message_copy_recipients(&m->batches[0].arena, envelope);
    a.count = envelope->recipient_count_read;
    redirect(m, fd, &a);
    const struct source from = {queue, fd, envelope->recipient_count ? envelope->recipient_count : (int64_t)a.count};
    qmgr_assignment_route(&a);
    if (mode & MODE_UNTHROTTLE)
        unthrottle(&a, fd, mode);
    activate(m, &from, &a);
}

void qmgr_active_load(struct qmgr *q, const char *queue, struct str id)
{
    struct stat st;
    struct qmgr_message *m = qmgr_message_new(q, id);
    if (m == NULL)
        return;
    struct qmgr_due_entry *waiting = qmgr_due_find(&q->due, m->request.queue_id);
    if (waiting != NULL)
        qmgr_due_forget(&q->due, waiting);
    int fd = open_alone(q, queue, m->request.queue_id, &st);
    if (fd < 0) {
        qmgr_message_free(m);
        return;
    }
    m->is_forced_to_expire = (st.st_mode & MODE_EXPIRED) != 0;
    m->is_retried = str_is(str_from(queue), STR(QUEUE_DEFERRED));
    q->retried += m->is_retried;
    load(m, queue, fd, st.st_mode);
    close(fd);
}

// ---- The next recipients of a message that has too many to be held at once

// The caller's hold on the message is given back at the end.
void qmgr_active_refill(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct err err = ERR_INIT;
    struct queue_envelope envelope = {0};
    int64_t from = m->next_recipient_offset;
    unsigned batch = m->batches[1].open == 0 ? 1 : 2;
    struct arena *arena = &m->batches[batch].arena;
    m->next_recipient_offset = 0;
    arena_release(arena);
    struct qmgr_assignment a = {.message = m, .batch = batch};
    int fd = queue_file_open(AT_FDCWD, &q->layout, QUEUE_ACTIVE, m->request.queue_id, O_RDONLY, &err);
    if (fd < 0 || queue_envelope_read(fd, arena, batch_size(q, m->transport), from, &envelope, &err) < 0) {
        log_warn(STR_FMT ": cannot read further recipients: %s", STR_ARG(m->request.queue_id), err.text);
        m->deferred++; // the file is kept and read again
    } else {
        m->next_recipient_offset = envelope.next_recipient_offset;
        a.recipients = qmgr_message_copy_recipients(arena, &envelope);
        a.count = envelope.recipient_count_read;
    }
    if (fd >= 0)
        close(fd);
    qmgr_assignment_route(&a);
    qmgr_assignment_queue(&a);
    m->refilled_at = clock_ms();
    m->is_refilling = false; // not earlier: the batch looks unused until its entries are queued
    qmgr_message_release(m);
}
