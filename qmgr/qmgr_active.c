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

enum { BATCH_MAX = 1000, LOCKED_RETRY_SECONDS = 5, MODE_EXPIRED = 0010, DEFERRED_SHARE = 4 };

bool qmgr_active_has_room(const struct qmgr *q, bool for_deferred)
{
    size_t limit = (size_t)q->settings->qmgr_message_active_limit;
    if (for_deferred && limit >= DEFERRED_SHARE) // new mail finds room however much is retried
        limit -= limit / DEFERRED_SHARE;
    return q->messages.count < limit && q->recipients < (size_t)q->settings->qmgr_message_recipient_limit;
}

static size_t batch_size(const struct qmgr *q)
{
    size_t limit = (size_t)q->settings->qmgr_message_recipient_limit;
    size_t least = (size_t)q->settings->qmgr_message_recipient_minimum;
    size_t room = q->recipients < limit ? limit - q->recipients : 0;
    if (room > BATCH_MAX)
        room = BATCH_MAX;
    return room > least ? room : least;
}

static void log_active(const struct qmgr_message *m, int64_t recipients)
{
    struct buf rest = BUF_INIT;
    buf_addf(&rest, ">, size=%lld, nrcpt=%lld (queue active)", (long long)m->request.message_size,
             (long long)recipients);
    qmgr_message_log_from(m, buf_cstr(&rest));
    buf_release(&rest);
}

// Only one recipient of redirected mail remains, with the new address. The others are marked first: the one left keeps
// the file.
static size_t redirect(struct qmgr_message *m, int fd, struct delivery_recipient *recipients, size_t count)
{
    struct err err = ERR_INIT;
    if (m->redirect.len == 0 || count == 0)
        return count;
    for (size_t i = 1; fd >= 0 && i < count; i++)
        if (queue_recipient_mark_done(fd, recipients[i].offset, &err) < 0)
            log_warn(STR_FMT ": %s", STR_ARG(m->request.queue_id), err.text);
    recipients[0].address = m->redirect;
    m->next_recipient_offset = 0;
    return 1;
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
    if (queue_file_move(AT_FDCWD, &q->layout, m->request.queue_id, QUEUE_INCOMING, QUEUE_ACTIVE, &err) != 1) {
        if (err.kind != ERR_NONE)
            log_warn(STR_FMT ": %s", STR_ARG(m->request.queue_id), err.text);
        qmgr_message_free(m); // absent: a scan was faster
        return;
    }
    m->request.active_us = clock_wall_us();
    log_active(m, (int64_t)arrival.request.recipient_count);
    m->open = 1;
    qmgr_message_assign(m, 0, (struct delivery_recipient *)(uintptr_t)arrival.request.recipients,
                        arrival.request.recipient_count);
    qmgr_message_release(m);
}

// ---- From the file

static void save_corrupt(struct qmgr *q, struct str id, const char *why)
{
    struct err err = ERR_INIT;
    if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_CORRUPT, &err) == 1)
        log_warn(STR_FMT ": message file is damaged (%s); saved in " QUEUE_CORRUPT, STR_ARG(id), why);
    else
        log_warn(STR_FMT ": message file is damaged (%s) and cannot be moved: %s", STR_ARG(id), why, err.text);
}

// Reads the envelope. 0; -1: the message is not for now, the file was put where it belongs.
static int read_file(struct qmgr_message *m, int fd, struct queue_envelope *envelope_r, struct err *err)
{
    struct qmgr *q = m->qmgr;
    struct str id = m->request.queue_id;
    if (queue_envelope_read(fd, &m->batches[0].arena, batch_size(q), 0, envelope_r, err) == 0)
        return 0;
    if (err_is_permanent(err)) {
        save_corrupt(q, id, err->text);
        return -1;
    }
    log_warn(STR_FMT ": cannot read message file: %s", STR_ARG(id), err->text);
    if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_INCOMING, err) == 1)
        qmgr_scan_soon(&q->incoming, q->settings->minimal_backoff_time);
    return -1;
}

// Opens active/ID, alone. -1: still being delivered, or gone.
static int open_alone(struct qmgr *q, struct str id, struct err *err)
{
    int fd = queue_file_open(AT_FDCWD, &q->layout, QUEUE_ACTIVE, id, O_RDWR, err);
    if (fd < 0 && err->errnum == ELOOP) {
        save_corrupt(q, id, "no regular file");
        return -1;
    }
    if (fd >= 0 && sys_flock(fd, SYS_LOCK_EXCLUSIVE, false) == 1)
        return fd;
    if (fd >= 0) {
        close(fd);
        log_info(STR_FMT ": skipped, still being delivered", STR_ARG(id));
    } else {
        log_warn(STR_FMT ": %s", STR_ARG(id), err->text);
    }
    if (queue_file_move(AT_FDCWD, &q->layout, id, QUEUE_ACTIVE, QUEUE_INCOMING, err) == 1)
        qmgr_scan_soon(&q->incoming, LOCKED_RETRY_SECONDS);
    return -1;
}

static bool log_exists(const struct qmgr *q, const char *which, struct str id)
{
    struct buf path = BUF_INIT;
    bool exists = queue_path(&q->layout, which, id, &path) == 0 && faccessat(AT_FDCWD, buf_cstr(&path), F_OK, 0) == 0;
    buf_release(&path);
    return exists;
}

// What former attempts left beside the file.
static void read_logs(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct str id = m->request.queue_id;
    struct err err = ERR_INIT;
    m->has_bounced = log_exists(q, QUEUE_BOUNCE, id);
    m->has_trace = log_exists(q, QUEUE_TRACE, id);
    if (queue_file_remove(AT_FDCWD, &q->layout, QUEUE_DEFER, id, &err) < 0) // this attempt gives new reasons
        log_warn(STR_FMT ": %s", STR_ARG(id), err.text);
}

static void admit(struct qmgr_message *m, int fd, const struct queue_envelope *envelope) CO
{
    struct delivery_recipient *recipients = qmgr_message_copy_recipients(&m->batches[0].arena, envelope);
    qmgr_message_set_envelope(m, envelope);
    m->next_recipient_offset = envelope->next_recipient_offset;
    m->request.active_us = clock_wall_us();
    int64_t shown = envelope->recipient_count ? envelope->recipient_count : (int64_t)envelope->recipient_count_read;
    size_t count = redirect(m, fd, recipients, envelope->recipient_count_read);
    read_logs(m);
    close(fd);
    log_active(m, shown);
    m->open = 1;
    qmgr_message_assign(m, 0, recipients, count);
    qmgr_message_release(m);
}

void qmgr_active_load(struct qmgr *q, const char *queue, struct str id)
{
    struct err err = ERR_INIT;
    struct stat st;
    struct qmgr_message *m = qmgr_message_new(q, id);
    if (m == NULL)
        return;
    struct queue_envelope *envelope = ARENA_NEW(&m->batches[0].arena, struct queue_envelope);
    int moved = queue_file_move(AT_FDCWD, &q->layout, id, queue, QUEUE_ACTIVE, &err);
    if (moved < 0)
        log_warn(STR_FMT ": %s", STR_ARG(id), err.text);
    int fd = moved == 1 ? open_alone(q, id, &err) : -1;
    if (fd < 0) {
        qmgr_message_free(m);
        return;
    }
    m->is_forced_to_expire = fstat(fd, &st) == 0 && (st.st_mode & MODE_EXPIRED);
    if (read_file(m, fd, envelope, &err) < 0) {
        close(fd);
        qmgr_message_free(m);
        return;
    }
    admit(m, fd, envelope);
}

// ---- The next recipients of a message that has too many to be held at once

// The caller's hold on the message is given back at the end.
void qmgr_active_refill(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct err err = ERR_INIT;
    struct queue_envelope envelope = {0};
    struct delivery_recipient *recipients = NULL;
    int64_t from = m->next_recipient_offset;
    unsigned batch = m->batches[1].open == 0 ? 1 : 2;
    struct arena *arena = &m->batches[batch].arena;
    m->next_recipient_offset = 0;
    arena_release(arena);
    int fd = queue_file_open(AT_FDCWD, &q->layout, QUEUE_ACTIVE, m->request.queue_id, O_RDONLY, &err);
    if (fd < 0 || queue_envelope_read(fd, arena, batch_size(q), from, &envelope, &err) < 0) {
        log_warn(STR_FMT ": cannot read further recipients: %s", STR_ARG(m->request.queue_id), err.text);
        envelope.recipient_count_read = 0;
        m->deferred++; // the file is kept and read again
    } else {
        m->next_recipient_offset = envelope.next_recipient_offset;
        recipients = qmgr_message_copy_recipients(arena, &envelope);
    }
    if (fd >= 0)
        close(fd);
    qmgr_message_assign(m, batch, recipients, envelope.recipient_count_read);
    m->is_refilling = false; // not earlier: the batch looks unused until its entries are queued
    qmgr_message_release(m);
}
