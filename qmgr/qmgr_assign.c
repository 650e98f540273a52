// SPDX-License-Identifier: ISC
// qmgr_assign.c: recipients are routed, and those for one destination become requests that wait there.
// Trust: notices and queue files may lie about addresses; routing decides what becomes of them.
// Suspends: routing.
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "qmgr/qmgr.h"

enum { ENTRY_BYTES_MAX = 512 * 1024, RECIPIENT_OVERHEAD = 128 };

// ---- Routing

static struct qmgr_destination *explained(struct qmgr *q, const char *transport, struct str text)
{
    return qmgr_destination_find(qmgr_transport_find(q, str_from(transport)), text, STR(""));
}

// content_filter: "transport:nexthop" takes the place of routing.
static struct qmgr_destination *filtered(struct qmgr_message *m, const struct delivery_recipient *rcpt)
{
    struct qmgr *q = m->qmgr;
    struct str nexthop = m->filter, transport;
    if (!str_cut(&nexthop, ':', &transport))
        nexthop = STR("");
    if (nexthop.len == 0)
        nexthop = q->settings->default_filter_nexthop;
    if (nexthop.len == 0)
        nexthop = address_domain(rcpt->address);
    return qmgr_destination_find(qmgr_transport_find(q, transport), nexthop, rcpt->address);
}

// Where this recipient goes; its address becomes the resolved one. The result is referenced.
static struct qmgr_destination *route_recipient(struct qmgr_message *m, struct arena *arena,
                                                struct delivery_recipient *rcpt) CO
{
    struct qmgr *q = m->qmgr;
    struct err err = ERR_INIT;
    struct route_result where;
    if (m->is_forced_to_expire)
        return explained(q, "retry", STR("4.7.0 message is administratively expired"));
    if (m->is_probe && q->probes > (size_t)q->settings->address_verify_pending_request_limit)
        return explained(q, "retry", STR("4.3.2 Too many address verification requests"));
    if (m->filter.len)
        return filtered(m, rcpt);
    if (route_resolve(m->is_probe ? q->probe_route : q->route, m->request.sender, rcpt->address, arena, &where, &err) <
        0) {
        log_warn(STR_FMT ": cannot resolve <" STR_FMT ">: %s", STR_ARG(m->request.queue_id), STR_ARG(rcpt->address),
                 err.text);
        return explained(q, "retry", STR("4.3.0 address resolver failure"));
    }
    rcpt->address = where.recipient;
    struct str local = address_local(rcpt->address);
    if (where.class == ROUTE_LOCAL &&
        (str_is_nocase(local, q->settings->double_bounce_sender) || route_is_probe_sender(q->settings, local)))
        return explained(q, "discard", STR("2.0.0 undeliverable postmaster notification discarded"));
    struct qmgr_transport *t = qmgr_transport_find(q, where.transport);
    if (t->is_deferred)
        return explained(q, "retry", STR("4.3.2 deferred transport"));
    return qmgr_destination_find(t, where.nexthop, rcpt->address);
}

static size_t recipient_bytes(const struct delivery_recipient *r)
{
    return r->address.len + r->original.len + r->dsn_orcpt.len + RECIPIENT_OVERHEAD;
}

// How many of these recipients, all of one destination, go into one request.
static size_t entry_size(const struct qmgr_destination *d, const struct delivery_recipient *recipients, size_t count)
{
    size_t n = 1, bytes = recipient_bytes(recipients);
    while (n < count && n < d->transport->recipient_limit) {
        bytes += recipient_bytes(&recipients[n]);
        if (bytes > ENTRY_BYTES_MAX)
            break;
        n++;
    }
    return n;
}

void qmgr_assignment_route(struct qmgr_assignment *a)
{
    a->destinations = mem_alloc((a->count ? a->count : 1) * sizeof(struct qmgr_destination *));
    for (size_t i = 0; i < a->count; i++)
        a->destinations[i] = route_recipient(a->message, &a->message->batches[a->batch].arena, &a->recipients[i]);
}

struct qmgr_destination *qmgr_assignment_full_at(const struct qmgr_assignment *a, bool *several_r)
{
    struct qmgr_destination *best = NULL;
    *several_r = false;
    for (size_t i = 0; i < a->count; i++) {
        struct qmgr_destination *d = a->destinations[i];
        if (!qmgr_destination_is_full(d))
            return NULL;
        *several_r |= best != NULL && d != best;
        if (best == NULL || d->moved_at > best->moved_at)
            best = d;
    }
    return best;
}

void qmgr_assignment_release(struct qmgr_assignment *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->destinations[i] != NULL)
            qmgr_destination_unref(a->destinations[i]);
    mem_free(a->destinations);
    a->destinations = NULL;
    a->count = 0;
}

// ---- Queueing

struct routed {
    struct qmgr_destination *destination;
    size_t index;
};

static int compare_routed(const void *a, const void *b)
{
    const struct routed *x = a, *y = b;
    if (x->destination != y->destination)
        return (uintptr_t)x->destination < (uintptr_t)y->destination ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

// Queues recipients[0..count), all for d. Consumes one reference of d for each recipient.
static void queue_group(struct qmgr_assignment *a, struct qmgr_destination *d, struct delivery_recipient *recipients,
                        size_t count)
{
    struct qmgr_message *m = a->message;
    struct qmgr_job *job = qmgr_job_new(m, a->batch);
    for (size_t done = 0; done < count;) {
        struct qmgr_entry *e = ARENA_NEW(&m->batches[a->batch].arena, struct qmgr_entry);
        list_init(&e->link);
        list_init(&e->waits);
        e->message = m;
        e->destination = d;
        e->recipients = recipients + done;
        e->count = m->verp.len ? 1 : entry_size(d, e->recipients, count - done); // each has a sender of its own
        for (size_t i = 1; i < e->count; i++)
            qmgr_destination_unref(d); // the entry keeps one
        done += e->count;
        e->batch = a->batch;
        m->batches[a->batch].open++;
        m->open++;
        qmgr_job_add(job, e);
    }
    m->transport = d->transport;
    qmgr_destination_queue(d, job);
}

void qmgr_assignment_queue(struct qmgr_assignment *a)
{
    struct qmgr_message *m = a->message;
    struct routed *routed = mem_alloc((a->count ? a->count : 1) * sizeof *routed);
    m->recipients += a->count;
    m->qmgr->recipients += a->count;
    for (size_t i = 0; i < a->count; i++)
        routed[i] = (struct routed){a->destinations[i], i};
    struct delivery_recipient *sorted = a->recipients;
    if (a->count > 1) {
        qsort(routed, a->count, sizeof *routed, compare_routed);
        sorted = ARENA_ARRAY(&m->batches[a->batch].arena, struct delivery_recipient, a->count);
        for (size_t i = 0; i < a->count; i++)
            sorted[i] = a->recipients[routed[i].index];
    }
    for (size_t i = 0, n; i < a->count; i += n) {
        struct qmgr_transport *t = routed[i].destination->transport;
        for (n = 1; i + n < a->count && routed[i + n].destination == routed[i].destination; n++)
            ;
        queue_group(a, routed[i].destination, sorted + i, n);
        qmgr_transport_run(t);
    }
    mem_free(routed);
    a->count = 0; // the entries have the references
    qmgr_assignment_release(a);
}
