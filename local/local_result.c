// SPDX-License-Identifier: ISC
// local_result.c: the fates of all leaves of one recipient become the one fate that the queue file knows.
//
// A deferred leaf defers the recipient; the others are then served again at the next attempt, as in other agents of
// this kind. Suspends: in the bounce and defer services.
#include "lib/agent/bounce_client.h"
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"
#include "local/local.h"

bool local_list_has(struct str list, const char *word)
{
    struct str token;
    while (str_token(&list, ", \t\r\n", &token))
        if (str_is_nocase(token, str_from(word)))
            return true;
    return false;
}

bool local_is_probe(const struct local_delivery *l)
{
    return (l->delivery->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER)) != 0;
}

struct delivery_report *local_result_add(struct local_delivery *l, struct str address)
{
    struct local_result *r = ARENA_NEW(l->arena, struct local_result);

    r->address = address;
    r->report.relay = STR("local");
    r->report.dsn = STR("4.3.0");
    r->report.status = DELIVERY_DEFERRED;
    *l->results_end = r;
    l->results_end = &r->next;
    l->result_count++;
    return &r->report;
}

void local_result_set(struct local_delivery *l, struct str address, enum delivery_status status, const char *dsn,
                      struct str text)
{
    mailbox_report(local_result_add(l, address), status, dsn, text);
}

void local_result_set_err(struct local_delivery *l, struct str address, const char *dsn, struct str text,
                          const struct err *err)
{
    log_warn(STR_FMT ": " STR_FMT ": %s", STR_ARG(l->delivery->request.queue_id), STR_ARG(text), err->text);
    local_result_set(l, address, DELIVERY_DEFERRED, dsn, text);
}

// The recipient as the leaf names it: its own address, with the recipient's as the original.
static struct delivery_recipient leaf_recipient(const struct local_delivery *l, const struct local_result *r)
{
    struct delivery_recipient rcpt = l->delivery->request.recipients[l->recipient];

    if (rcpt.original.len == 0)
        rcpt.original = rcpt.address;
    rcpt.address = r->address;
    return rcpt;
}

static void log_leaf(const struct local_delivery *l, const struct local_result *r) CO
{
    struct delivery copy = *l->delivery;
    struct delivery_recipient rcpt = leaf_recipient(l, r);
    struct buf line = BUF_INIT;

    copy.request.recipients = &rcpt;
    copy.request.recipient_count = 1;
    delivery_add_status_line(&line, &copy, 0, &r->report);
    log_info(STR_FMT ": %s", STR_ARG(copy.request.queue_id), buf_cstr(&line));
    buf_release(&line);
    (void)delivery_trace(l->delivery, &rcpt, &r->report);
}

// Records a bounce of one among several leaves. On failure the leaf becomes a deferred one.
static void bounce_leaf(struct local_delivery *l, struct local_result *r) CO
{
    struct delivery_recipient rcpt = leaf_recipient(l, r);
    struct err err = ERR_INIT;

    if (bounce_client_append("bounce", l->delivery->request.queue_id, &rcpt, &r->report, &err) == 0)
        return;
    log_warn(STR_FMT ": bounce service failure: %s", STR_ARG(l->delivery->request.queue_id), err.text);
    mailbox_report(&r->report, DELIVERY_DEFERRED, "4.3.0", STR("bounce or trace service failure"));
}

// The whole recipient gets this leaf's fate, under the leaf's address.
static void settle_with(struct local_delivery *l, struct local_result *r) CO
{
    struct delivery *d = l->delivery;
    struct delivery_recipient *all = ARENA_ARRAY(l->arena, struct delivery_recipient, d->request.recipient_count);
    const struct delivery_recipient *saved = d->request.recipients;

    if (!r->is_passed) {
        memcpy(all, saved, d->request.recipient_count * sizeof(*all));
        all[l->recipient] = leaf_recipient(l, r);
        d->request.recipients = all;
        delivery_settle(d, l->recipient, &r->report);
        d->request.recipients = saved;
        return;
    }
    if (r->report.status != DELIVERY_DEFERRED) {
        struct err err = ERR_INIT;
        if (queue_recipient_mark_done(d->fd, saved[l->recipient].offset, &err) < 0)
            log_warn(STR_FMT ": %s", STR_ARG(d->request.queue_id), err.text);
    }
    d->settled[l->recipient] = (unsigned char)(1 + r->report.status);
}

static struct local_result *find_deferred(struct local_delivery *l)
{
    for (struct local_result *r = l->results; r != NULL; r = r->next)
        if (r->report.status == DELIVERY_DEFERRED)
            return r;
    return NULL;
}

// With several leaves: bounces are recorded one by one unless all is tried again.
static void record_bounces(struct local_delivery *l, const struct local_result *last) CO
{
    for (struct local_result *r = l->results; r != NULL; r = r->next)
        if (r != last && r->report.status == DELIVERY_BOUNCED && !r->is_passed)
            bounce_leaf(l, r);
}

void local_result_settle(struct local_delivery *l)
{
    struct local_result *last = find_deferred(l);

    if (l->results == NULL) // duplicates of what was served
        local_result_set(l, l->delivery->request.recipients[l->recipient].address, DELIVERY_SENT, "2.0.0",
                         STR("discarded"));
    if (last == NULL) {
        for (last = l->results; last->next != NULL;)
            last = last->next;
        if (l->delivery->settings->soft_bounce == false)
            record_bounces(l, last);
        if (find_deferred(l) != NULL)
            last = find_deferred(l);
    }
    for (struct local_result *r = l->results; r != NULL; r = r->next)
        if (r != last && !r->is_passed)
            log_leaf(l, r);
    settle_with(l, last);
}
