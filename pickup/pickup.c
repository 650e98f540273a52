// SPDX-License-Identifier: ISC
// pickup.c: takes locally submitted mail from the maildrop directory to cleanup.
//
// Trust: maildrop files come from any local user; runs as mail_owner, jailed. A file is removed only after cleanup has
// stored the message, or after its refusal was reported to the sender, or when nothing is left to deliver; malformed
// files go to corrupt/.
// Suspends: one coroutine scans, woken by trigger bytes; one message at a time.
#include "pickup/pickup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/agent/bounce_client.h"
#include "lib/base/log.h"
#include "lib/ipc/service.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_file.h"
#include "lib/sys/sys.h"

enum { FUTURE_LIMIT = 2 * 3600, OLD_LIMIT = 86400, RETRY_SECONDS = 10 };

struct pickup {
    struct service_context *ctx;
    struct queue_layout layout;
    struct submit_pool *pool;
    struct co_event wake;
    bool is_wanted; // a trigger came since the last scan began
    bool has_left;  // a file is still being delivered, or its sender could not be told
    int queue_dirfd;
};

// What is known about one file under way.
struct job {
    struct pickup *pickup;
    struct str id;
    int fd;
    struct stat st;
    struct arena arena;
    struct pickup_message message;
};

static const struct settings *settings_of(const struct pickup *p)
{
    return p->ctx->settings;
}

static void remove_file(struct job *job)
{
    struct err err = ERR_INIT;
    if (queue_file_remove(job->pickup->queue_dirfd, &job->pickup->layout, QUEUE_MAILDROP, job->id, &err) < 0)
        log_warn("%s", err.text);
}

static void move_to_corrupt(struct job *job, const struct err *why)
{
    struct err err = ERR_INIT;
    log_warn("%s: " STR_FMT ": moved to corrupt", why->text, STR_ARG(job->id));
    if (queue_file_move(job->pickup->queue_dirfd, &job->pickup->layout, job->id, QUEUE_MAILDROP, QUEUE_CORRUPT, &err) <
        0)
        log_warn("%s", err.text);
}

static void add_received(struct job *job, struct buf *before, struct buf *after)
{
    const struct settings *s = settings_of(job->pickup);
    buf_addf(before, "Received: by " STR_FMT " (" STR_FMT ", from userid %ld)\n\tid ", STR_ARG(s->myhostname),
             STR_ARG(s->mail_name), (long)job->st.st_uid);
    buf_add_cstr(after, "; ");
    int64_t arrival = job->message.envelope.arrival_us;
    clock_add_rfc5322(after, arrival > 0 ? arrival / 1000000 : clock_wall());
}

static void add_log_text(struct job *job, struct buf *text)
{
    buf_addf(text, "uid=%ld from=<", (long)job->st.st_uid);
    address_add_log(text, job->message.envelope.sender);
    buf_add_char(text, '>');
    if (job->message.is_requeued)
        buf_addf(text, " orig_id=" STR_FMT, STR_ARG(job->id));
}

static int send_content(struct job *job, struct submit *s, struct err *err) CO
{
    struct queue_reader *reader = queue_reader_open(job->fd, job->message.data_offset, err);
    struct str text;
    bool has_ended = false;
    int got = reader == NULL ? -1 : 1;
    while (got > 0) {
        got = queue_reader_next(reader, &text, &has_ended, err);
        if (got > 0 && submit_write(s, text, err) != 0)
            got = -1;
        if (got > 0 && has_ended && submit_write(s, STR("\n"), err) != 0)
            got = -1;
    }
    if (reader != NULL)
        queue_reader_close(reader);
    return got;
}

static int submit_message(struct job *job, struct submit_result *result_r, struct err *err) CO
{
    struct buf before = BUF_INIT, after = BUF_INIT, tag = BUF_INIT, text = BUF_INIT;
    const struct settings *s = settings_of(job->pickup);
    struct submit_envelope *e = &job->message.envelope;
    int status = -1;
    add_received(job, &before, &after);
    add_log_text(job, &text);
    buf_addf(&tag, STR_FMT "/pickup[%ld]", STR_ARG(s->syslog_name), (long)getpid());
    e->received_before = buf_str(&before);
    e->received_after = buf_str(&after);
    e->log_tag = buf_str(&tag);
    e->log_text = buf_str(&text);
    e->filter = s->content_filter;
    e->flags = SUBMIT_FILTER | SUBMIT_MAP | SUBMIT_ADD_MISSING | SUBMIT_KEEP_TIME;
    if (e->arrival_us == 0)
        e->arrival_us = (int64_t)job->st.st_mtime * 1000000;
    struct submit *submit = submit_begin(job->pickup->pool, e, clock_deadline(s->ipc_timeout), err);
    if (submit != NULL && send_content(job, submit, err) == 0)
        status = submit_finish(submit, result_r, err);
    else if (submit != NULL)
        submit_abort(submit);
    buf_release(&before);
    buf_release(&after);
    buf_release(&tag);
    buf_release(&text);
    return status;
}

// Sends the notification that a log of the message gives rise to; without a log nothing is sent.
static int notify(const struct job *job, enum bounce_notice notice, struct err *err) CO
{
    const struct submit_envelope *e = &job->message.envelope;
    struct bounce_flush flush = {.notice = notice,
                                 .queue_name = STR(QUEUE_MAILDROP),
                                 .queue_id = job->id,
                                 .sender = e->sender,
                                 .envelope_id = e->envelope_id,
                                 .encoding = STR(""),
                                 .ret_flags = e->ret_flags,
                                 .sendopts = e->sendopts,
                                 .arrival_s = e->arrival_us / 1000000};
    return bounce_client_flush(&flush, err);
}

// What deliveries under the former id have left in its logs: nobody looks at them under the new one.
static int close_logs(const struct job *job, struct err *err) CO
{
    if (notify(job, BOUNCE_NOTICE_FAILURE, err) != 0)
        return -1;
    if (notify(job, job->message.envelope.trace_flags ? BOUNCE_NOTICE_VERIFY : BOUNCE_NOTICE_SUCCESS, err) != 0)
        return -1;
    return bounce_client_forget("defer", job->id, err);
}

// A permanent refusal goes back to the sender as a bounce. -1: not reported yet, the file must stay.
static int report_refusal(struct job *job, const struct submit_result *result, struct err *err) CO
{
    const struct submit_envelope *e = &job->message.envelope;
    if (bounce_client_forget("bounce", job->id, err) != 0) // of an attempt that was cut short
        return -1;
    for (size_t i = 0; i < e->recipient_count; i++) {
        const struct submit_recipient *r = &e->recipients[i];
        struct delivery_recipient rcpt = {
            .address = r->address, .original = r->address, .dsn_orcpt = r->dsn_orcpt, .notify = r->notify};
        struct delivery_report report = {.status = DELIVERY_BOUNCED,
                                         .dsn = str_from(result->status),
                                         .text = str_from(result->reason),
                                         .relay = STR("none")};
        if (bounce_client_append("bounce", job->id, &rcpt, &report, err) != 0)
            return -1;
    }
    return notify(job, BOUNCE_NOTICE_FAILURE, err);
}

static void take_verdict(struct job *job, const struct submit_result *result) CO
{
    struct err err = ERR_INIT;
    if (result->code == 250) {
        remove_file(job);
        return;
    }
    log_warn("maildrop/" STR_FMT ": uid=%ld: refused: %d %s %s", STR_ARG(job->id), (long)job->st.st_uid, result->code,
             result->status, result->reason);
    if (result->code < 500)
        return; // stays for the next wake-up
    if (report_refusal(job, result, &err) != 0)
        log_warn("maildrop/" STR_FMT ": the sender could not be told, will try again: %s", STR_ARG(job->id), err.text);
    else
        remove_file(job);
}

static void check_times(struct job *job)
{
    int64_t age = clock_wall() - (int64_t)job->st.st_mtime;
    if (age < -FUTURE_LIMIT) {
        log_warn("maildrop/" STR_FMT ": message dated %lld seconds into the future: reset", STR_ARG(job->id),
                 (long long)-age);
        (void)futimes(job->fd, NULL);
        job->st.st_mtime = clock_wall();
    } else if (age > OLD_LIMIT) {
        log_warn("maildrop/" STR_FMT ": message has been queued for %lld days", STR_ARG(job->id),
                 (long long)(age / 86400));
    }
}

// 1: a complete file; 0: not for us (being written, not a regular file) or not yet; -1: cannot be read now.
static int open_file(struct job *job, struct err *err)
{
    job->fd = queue_file_open(job->pickup->queue_dirfd, &job->pickup->layout, QUEUE_MAILDROP, job->id, O_RDONLY, err);
    if (job->fd < 0)
        return err->errnum == ENOENT ? 0 : -1;
    if (fstat(job->fd, &job->st) != 0)
        return err_errno(err, "stat maildrop/" STR_FMT, STR_ARG(job->id));
    if (!S_ISREG(job->st.st_mode) || (job->st.st_mode & S_IRWXU) != QUEUE_MODE_READY)
        return 0;
    // postsuper -r does not wait for deliveries. Who is done is known at their end.
    if (pickup_is_requeued(&job->st) && sys_flock(job->fd, SYS_LOCK_EXCLUSIVE, false) != 1) {
        log_info("maildrop/" STR_FMT ": skipped, still being delivered", STR_ARG(job->id));
        job->pickup->has_left = true;
        return 0;
    }
    return 1;
}

// False: cleanup cannot be reached: no use in going on with the scan.
static bool take_message(struct job *job, struct err *err) CO
{
    struct submit_result result = {0};
    if (pickup_message_read(job->fd, &job->st, &job->arena, &job->message, err) != 0) {
        if (err_is_permanent(err))
            move_to_corrupt(job, err);
        else
            log_warn("%s", err->text);
    } else if (job->message.is_requeued && close_logs(job, err) != 0) {
        log_warn("maildrop/" STR_FMT ": the sender could not be told, will try again: %s", STR_ARG(job->id), err->text);
        job->pickup->has_left = true;
    } else if (job->message.envelope.recipient_count == 0) { // their deliveries went on to the end
        log_info("maildrop/" STR_FMT ": all recipients are done: removed", STR_ARG(job->id));
        remove_file(job);
    } else if (submit_message(job, &result, err) == 0) {
        take_verdict(job, &result);
    } else {
        log_warn("maildrop/" STR_FMT ": %s", STR_ARG(job->id), err->text);
        return false;
    }
    return true;
}

static bool pick_up(struct pickup *p, struct str id) CO
{
    struct job job = {.pickup = p, .id = id, .fd = -1, .arena = ARENA_INIT};
    struct err err = ERR_INIT;
    bool goes_on = true;
    int found = open_file(&job, &err);
    if (found < 0)
        log_warn("%s", err.text);
    if (found > 0) {
        check_times(&job);
        goes_on = take_message(&job, &err);
    }
    if (job.fd >= 0)
        close(job.fd);
    arena_release(&job.arena);
    return goes_on;
}

// True: everything that could be taken was taken.
static bool scan(struct pickup *p) CO
{
    struct err err = ERR_INIT;
    struct str id;
    bool goes_on = true;
    int got = 1;
    p->has_left = false;
    struct queue_scan *s = queue_scan_open(p->queue_dirfd, QUEUE_MAILDROP, &err);
    if (s == NULL) {
        log_warn("%s", err.text);
        return false;
    }
    while (goes_on && !co_is_cancelled() && (got = queue_scan_next(s, &id, &err)) > 0)
        goes_on = pick_up(p, id);
    if (got < 0)
        log_warn("%s", err.text);
    queue_scan_close(s);
    return goes_on && !p->has_left;
}

static void pickup_start(struct service_context *ctx)
{
    co_assert_running();
    struct pickup *p = ctx->state;
    int64_t deadline = CLOCK_NEVER; // the next trigger may be long in coming; retirement cancels the wait
    while (!co_is_cancelled()) {
        if (p->is_wanted) {
            p->is_wanted = false;
            service_hold(ctx);
            bool is_clean = scan(p);
            service_unhold(ctx);
            deadline = is_clean ? CLOCK_NEVER : clock_deadline(RETRY_SECONDS);
            continue;
        }
        if (co_event_wait(&p->wake, deadline) != 0) {
            if (errno != ETIMEDOUT)
                break;
            p->is_wanted = true;
        }
    }
}

static void pickup_trigger(struct service_context *ctx, char request)
{
    struct pickup *p = ctx->state;
    (void)request; // 'W', or anything from postkick: there is one thing to do
    p->is_wanted = true;
    co_event_signal(&p->wake);
}

static int pickup_init(struct service_context *ctx, struct err *err)
{
    const struct settings *s = ctx->settings;
    struct pickup *p = MEM_NEW(struct pickup);
    struct buf path = BUF_INIT;
    p->ctx = ctx;
    p->is_wanted = true; // what was submitted while the mail system was down
    p->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    co_event_init(&p->wake);
    buf_addf(&path, "public/" STR_FMT, STR_ARG(s->cleanup_service_name));
    p->pool = submit_pool_new(buf_cstr(&path));
    buf_release(&path);
    p->queue_dirfd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ctx->state = p;
    return p->queue_dirfd < 0 ? err_errno(err, "open queue directory") : 0;
}

static void pickup_deinit(struct service_context *ctx)
{
    struct pickup *p = ctx->state;
    submit_pool_free(p->pool);
    close(p->queue_dirfd);
    mem_free(p);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "pickup",
        .flags = SERVICE_SOLITARY | SERVICE_WRITES_QUEUE,
        .init = pickup_init,
        .start = pickup_start,
        .trigger = pickup_trigger,
        .deinit = pickup_deinit,
    };
    return service_main(&service, argc, argv);
}
