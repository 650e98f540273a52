// SPDX-License-Identifier: ISC
// cleanup_commit.c: the end of a queue file: extracted records, sizes, durability, and the log.
// Suspends: for recipients taken from headers, and while the file is synced.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup/cleanup.h"
#include "lib/base/log.h"

enum { SYNC_SECONDS = 300, SIZE_HEAD = 2, SIZE_TEXT = 95 };

static void put_extracted(struct cleanup_message *m) CO
{
    int bad = 0;
    m->content_end = cleanup_offset(m);
    queue_record_add(&m->out, REC_EXTRACTED, STR(""));
    if (m->message_id.len > 0)
        bad |= queue_record_add_attr(&m->out, "message_id", m->message_id);
    if (m->encoding.len > 0)
        bad |= queue_record_add_attr(&m->out, "encoding", m->encoding);
    if (m->late_filter.len > 0)
        bad |= queue_record_add_text(&m->out, REC_FILTER, m->filter = m->late_filter);
    if (m->redirect.len > 0)
        bad |= queue_record_add_text(&m->out, REC_REDIRECT, m->redirect);
    cleanup_add_collected(m);
    queue_record_add(&m->out, REC_END, STR(""));
    if (bad)
        cleanup_refuse(m, 550, "5.6.0", "Error: control character in the message headers");
    else if (m->recipient_count == 0)
        cleanup_refuse(m, 550, "5.1.0", "No recipients specified");
}

// The size record: into the buffer while it still holds the start of the file, else into the file.
static void put_sizes(struct cleanup_message *m)
{
    char text[SIZE_HEAD + SIZE_TEXT + 40];
    long long size = (long long)(m->content_end - m->data_offset);
    int len = snprintf(text, sizeof text, "%c%c%15lld %15lld %15zu %15d %15lld %15d", REC_SIZE, SIZE_TEXT, size,
                       (long long)m->data_offset, m->recipient_count, m->notify_seen << 1, size, m->sendopts);
    if (len != SIZE_HEAD + SIZE_TEXT) {
        cleanup_refuse(m, 552, "5.3.4", "Error: message file too big");
        return;
    }
    if (m->written == 0)
        memcpy(m->out.ptr, text, (size_t)len);
    else if (pwrite(m->fd, text, (size_t)len, 0) != len)
        cleanup_refuse_write(m, "write queue file");
}

// ---- Durability

struct sync_job {
    int fd, dirfd; // dirfd -1: not needed
    int errnum;
};

static void sync_run(void *data)
{
    struct sync_job *job = data;
    if (fsync(job->fd) < 0 || (job->dirfd >= 0 && fsync(job->dirfd) < 0))
        job->errnum = errno;
}

static void sync_release(void *data) // the waiter gave up
{
    struct sync_job *job = data;
    close(job->fd);
    if (job->dirfd >= 0)
        close(job->dirfd);
    mem_free(job);
}

// A pool job owns what it works on: descriptors of its own, so that nothing is closed under it.
static int sync_elsewhere(struct cleanup_message *m, int dirfd) CO
{
    struct sync_job *job = MEM_NEW(struct sync_job);
    job->fd = m->fd;
    job->dirfd = dirfd < 0 ? -1 : fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    if (co_job(sync_run, job, sync_release, clock_deadline(SYNC_SECONDS)) < 0) {
        int errnum = errno;
        m->fd = -1; // the job closes it
        struct err err = ERR_INIT;
        if (queue_file_remove(m->daemon->queue_dirfd, &m->daemon->layout, m->queue, buf_str(&m->id), &err) < 0)
            cleanup_warn(m, "%s", err.text);
        errno = errnum;
        return -1;
    }
    int errnum = dirfd >= 0 && job->dirfd < 0 ? EMFILE : job->errnum;
    if (job->dirfd >= 0)
        close(job->dirfd);
    mem_free(job);
    errno = errnum;
    return errnum ? -1 : 0;
}

static int sync_directory(struct cleanup_message *m) // -1: none to sync
{
    struct cleanup *d = m->daemon;
    return d->syncs_directory && strcmp(m->queue, QUEUE_INCOMING) == 0 ? d->incoming_dirfd : -1;
}

static void sync_file(struct cleanup_message *m) CO
{
    if (fchmod(m->fd, QUEUE_MODE_READY) < 0) {
        cleanup_refuse_write(m, "make queue file ready");
        return;
    }
    int rc = m->daemon->sync_is_instant ? fsync(m->fd) : sync_elsewhere(m, sync_directory(m));
    if (rc < 0)
        cleanup_refuse_write(m, "sync queue file");
}

// ---- The end

// Put on hold after the file was begun: it moves before it becomes ready, so that nobody takes it in between.
static void hold_late(struct cleanup_message *m)
{
    struct err err = ERR_INIT;
    if ((m->flags & SUBMIT_HOLD) == 0 || strcmp(m->queue, QUEUE_HOLD) == 0)
        return;
    if (queue_file_move(m->daemon->queue_dirfd, &m->daemon->layout, buf_str(&m->id), m->queue, QUEUE_HOLD, &err) < 0) {
        errno = err.errnum;
        cleanup_refuse_write(m, "put on hold");
        return;
    }
    m->queue = QUEUE_HOLD;
}

static void log_resent_id(struct cleanup_message *m)
{
    if ((m->headers_seen & SEEN_RESENT_MESSAGE_ID) == 0 && m->resent_message_id.len == 0)
        return;
    log_info(STR_FMT ": resent-message-id=" STR_FMT, STR_ARG(buf_str(&m->id)), STR_ARG(m->resent_message_id));
}

static void log_accepted(struct cleanup_message *m)
{
    struct str id = buf_str(&m->id);
    bool has_id = m->message_id.len > 0 || (m->headers_seen & SEEN_MESSAGE_ID) != 0;
    struct str text = arena_strf(&m->arena, STR_FMT ": message-id=" STR_FMT, STR_ARG(id),
                                 STR_ARG(has_id ? m->message_id : STR("<>")));
    struct str first = arena_strf(&m->arena, STR_FMT ": " STR_FMT, STR_ARG(id), STR_ARG(m->log_text));
    log_line_pair(m->has_logged ? STR("") : m->log_tag, first, text);
    m->has_logged = true;
    log_resent_id(m);
}

static void accept_message(struct cleanup_message *m)
{
    m->result.code = 250;
    snprintf(m->result.status, sizeof m->result.status, "2.0.0");
    snprintf(m->result.queue_id, sizeof m->result.queue_id, STR_FMT, STR_ARG(buf_str(&m->id)));
    log_accepted(m);
}

void cleanup_commit(struct cleanup_message *m)
{
    if (cleanup_is_good(m))
        put_extracted(m);
    if (!cleanup_is_good(m))
        return;
    if (m->flags & SUBMIT_DISCARD) {
        cleanup_drop_file(m);
        accept_message(m);
        log_info(STR_FMT ": removed (discarded)", STR_ARG(buf_str(&m->id)));
        return;
    }
    if (cleanup_is_probe(m) && m->recipient_count > 1) {
        accept_message(m);
        cleanup_end_probe(m);
        m->flags |= SUBMIT_DISCARD;
        return;
    }
    put_sizes(m);
    cleanup_flush(m, 0);
    if (cleanup_is_good(m))
        hold_late(m);
    if (cleanup_is_good(m))
        sync_file(m);
    if (!cleanup_is_good(m))
        return;
    close(m->fd);
    m->fd = -1;
    accept_message(m);
}
