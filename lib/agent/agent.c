// SPDX-License-Identifier: ISC
// agent.c: one delivery request in an agent: the queue file, the fate of each recipient, the answer.
// Suspends: settling, in the bounce, defer and trace services.
#include "lib/agent/agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/agent/bounce_client.h"
#include "lib/base/log.h"
#include "lib/ipc/delivery.h"
#include "lib/ipc/verify_client.h"
#include "lib/mail/queue_file.h"
#include "lib/sys/sys.h"

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2 };
// What d->settled holds: 0 open, 1 + enum delivery_status, or this.
enum { SETTLED_EXPIRED = 2 + DELIVERY_BOUNCED };

int delivery_begin(struct delivery *d, const struct settings *settings, struct err *err)
{
    const struct delivery_request *r = &d->request;
    struct queue_layout layout =
        queue_layout_of(settings->hash_queue_names, settings->hash_queue_depth, settings->enable_long_queue_ids);
    d->settings = settings;
    d->settled = arena_alloc(d->arena, r->recipient_count);
    d->dead_reason = STR("");
    d->fd = queue_file_open(AT_FDCWD, &layout, arena_cstr(d->arena, r->queue_name), r->queue_id, O_RDWR, err);
    if (d->fd < 0)
        return -1;
    int locked = sys_flock(d->fd, SYS_LOCK_SHARED, false);
    if (locked == 1)
        return 0;
    if (locked == 0)
        err_set(err, ERR_TEMPORARY, "the queue file is locked by another process");
    else
        err_errno(err, "lock the queue file");
    close(d->fd);
    d->fd = -1;
    return -1;
}

static void log_status(const struct delivery *d, size_t recipient, const struct delivery_report *report)
{
    struct buf line = BUF_INIT;
    delivery_add_status_line(&line, d, recipient, report);
    log_info(STR_FMT ": %s", STR_ARG(d->request.queue_id), buf_cstr(&line));
    buf_release(&line);
}

// Appends to one of the per-message logs; a failure is logged here.
static int record(struct delivery *d, const char *which, const struct delivery_recipient *rcpt,
                  const struct delivery_report *report) CO
{
    struct err err = ERR_INIT;
    if (bounce_client_append(which, d->request.queue_id, rcpt, report, &err) == 0)
        return 0;
    log_warn(STR_FMT ": %s service failure: %s", STR_ARG(d->request.queue_id), which, err.text);
    return -1;
}

static bool wants_trace(const struct delivery *d, const struct delivery_recipient *rcpt,
                        const struct delivery_report *report)
{
    bool wants_success = rcpt->notify & NOTIFY_SUCCESS && !report->relays_dsn;
    if (d->request.flags & (DELIVERY_RECORD | DELIVERY_PROBE_USER))
        return true;
    return report->status == DELIVERY_SENT && (wants_success || d->request.flags & DELIVERY_AFTER_WARNING);
}

// What a report for the sender says of a delivery names the relay, too.
static int record_trace(struct delivery *d, const struct delivery_recipient *given,
                        const struct delivery_report *report) CO
{
    struct delivery_recipient rcpt = *given;
    struct delivery_report traced = *report;
    if (report->trace_text != NULL)
        traced.text = str_from(report->trace_text);
    if (report->relay.len > 0 && !str_is(report->relay, STR("none")))
        traced.text =
            arena_strf(d->arena, "delivery via " STR_FMT ": " STR_FMT, STR_ARG(report->relay), STR_ARG(traced.text));
    if (d->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER))
        traced.action = report->status == DELIVERY_SENT ? "deliverable" : "undeliverable";
    if (d->request.flags & DELIVERY_AFTER_WARNING && rcpt.notify != NOTIFY_NEVER)
        rcpt.notify |= NOTIFY_SUCCESS; // who was warned is told that all is well
    return record(d, "trace", &rcpt, &traced);
}

int delivery_trace(struct delivery *d, const struct delivery_recipient *rcpt, const struct delivery_report *report)
{
    return wants_trace(d, rcpt, report) ? record_trace(d, rcpt, report) : 0;
}

static void mark_done(struct delivery *d, size_t recipient)
{
    struct err err = ERR_INIT;
    if (d->request.recipients[recipient].offset == 0)
        return; // the agent that passed the recipient on marks it
    if (queue_recipient_mark_done(d->fd, d->request.recipients[recipient].offset, &err) < 0)
        log_warn(STR_FMT ": cannot mark a recipient as done: %s", STR_ARG(d->request.queue_id), err.text);
}

static void settle(struct delivery *d, size_t recipient, unsigned char how)
{
    d->settled[recipient] = how;
}

static void settle_sent(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    mark_done(d, recipient);
    log_status(d, recipient, report);
    settle(d, recipient, 1 + DELIVERY_SENT);
    (void)delivery_trace(d, &d->request.recipients[recipient],
                         report); // delivered is delivered: only the report is missing
}

static void settle_deferred(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    (void)delivery_trace(d, &d->request.recipients[recipient], report);
    if (d->request.flags & DELIVERY_BOUNCE_ALL) {
        struct delivery_report last = *report;
        last.action = "failed";
        if (record(d, "bounce", &d->request.recipients[recipient], &last) == 0) {
            mark_done(d, recipient);
            log_status(d, recipient, report);
            settle(d, recipient, SETTLED_EXPIRED);
            return;
        }
    }
    (void)record(d, "defer", &d->request.recipients[recipient],
                 report); // the reason is for people; the message is safe without it
    log_status(d, recipient, report);
    settle(d, recipient, 1 + DELIVERY_DEFERRED);
}

static void settle_bounced(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    struct delivery_report deferred = *report;
    deferred.status = DELIVERY_DEFERRED;
    if (record(d, "bounce", &d->request.recipients[recipient], report) < 0) {
        deferred.dsn = STR("4.3.0");
        deferred.text = STR("bounce or trace service failure");
        settle_deferred(d, recipient, &deferred);
        return;
    }
    mark_done(d, recipient);
    log_status(d, recipient, report);
    settle(d, recipient, 1 + DELIVERY_BOUNCED);
    (void)delivery_trace(d, &d->request.recipients[recipient], report);
}

// soft_bounce: what would bounce is tried again; the log says SOFTBOUNCE.
static void settle_soft_bounce(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    struct delivery_report soft = *report;
    soft.dsn = arena_strf(d->arena, "4" STR_FMT, STR_ARG(str_slice(report->dsn, 1, report->dsn.len)));
    log_status(d, recipient, &soft);
    soft.status = DELIVERY_DEFERRED;
    (void)record(d, "defer", &d->request.recipients[recipient], &soft);
    settle(d, recipient, 1 + DELIVERY_DEFERRED);
}

// What is found out about an address holds for the one that was asked about and for the one that it led to. When it
// cannot be told, a later probe finds out again.
static void tell_verify(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    const struct delivery_recipient *rcpt = &d->request.recipients[recipient];
    const struct verify_answer found = {.status = report->status == DELIVERY_SENT       ? VERIFY_OK
                                                  : report->status == DELIVERY_DEFERRED ? VERIFY_DEFERRED
                                                                                        : VERIFY_BOUNCED,
                                        .text = report->text};
    struct err err = ERR_INIT;
    bool has_original = rcpt->original.len > 0 && !str_is(rcpt->original, rcpt->address);

    if (has_original && verify_client_update(d->settings, rcpt->original, &found, &err) < 0)
        return; // logged
    (void)!verify_client_update(d->settings, rcpt->address, &found, &err);
}

// Probes end here whatever the outcome is: nothing is delivered, nothing is tried again.
static void settle_probe(struct delivery *d, size_t recipient, const struct delivery_report *report) CO
{
    if (delivery_trace(d, &d->request.recipients[recipient], report) < 0) {
        settle(d, recipient, 1 + DELIVERY_DEFERRED);
        return;
    }
    if (d->request.flags & DELIVERY_PROBE_MTA)
        tell_verify(d, recipient, report);
    mark_done(d, recipient);
    log_status(d, recipient, report);
    settle(d, recipient, 1 + DELIVERY_SENT);
}

void delivery_settle(struct delivery *d, size_t recipient, const struct delivery_report *report)
{
    if (recipient >= d->request.recipient_count || d->settled[recipient] != 0)
        bug("delivery_settle: recipient %zu is settled or does not exist", recipient);
    if (co_is_cancelled() && report->status != DELIVERY_SENT)
        return; // the process ends, which says nothing about the recipient: it stays open
    if (d->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER))
        settle_probe(d, recipient, report);
    else if (report->status == DELIVERY_SENT)
        settle_sent(d, recipient, report);
    else if (report->status == DELIVERY_DEFERRED)
        settle_deferred(d, recipient, report);
    else if (d->settings->soft_bounce)
        settle_soft_bounce(d, recipient, report);
    else
        settle_bounced(d, recipient, report);
}

void delivery_settle_all(struct delivery *d, const struct delivery_report *report)
{
    for (size_t i = 0; i < d->request.recipient_count; i++)
        if (d->settled[i] == 0)
            delivery_settle(d, i, report);
}

void delivery_destination_failed(struct delivery *d, struct str dsn, struct str reason)
{
    d->destination_failed = true;
    d->dead_reason = arena_str(d->arena, str_slice(reason, 0, DELIVERY_TEXT_MAX));
    snprintf(d->dead_dsn, sizeof d->dead_dsn, STR_FMT, STR_ARG(dsn));
}

void delivery_end(struct delivery *d, struct ipc_msg *answer, uint32_t id)
{
    static const char letters[] = {'d', 's', 'd', 'b', 'e'}; // open counts as deferred
    size_t count = d->request.recipient_count;
    char *statuses = arena_alloc(d->arena, count);
    for (size_t i = 0; i < count; i++)
        statuses[i] = letters[d->settled[i]];
    struct delivery_done done = {str_of(statuses, count), STR(""), STR("")};
    if (d->destination_failed) {
        done.dead_dsn = str_from(d->dead_dsn);
        done.dead_reason = d->dead_reason;
    }
    delivery_done_add(answer, id, &done);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}
