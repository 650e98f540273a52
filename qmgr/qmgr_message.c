// SPDX-License-Identifier: ISC
// qmgr_message.c: messages in the active queue: what is known of them, and how their recipients become entries.
// Trust: notices and queue files may lie about addresses; routing decides what becomes of them.
// Suspends: routing.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "qmgr/qmgr.h"

enum { REFILL_BELOW = 250 };
enum { ENTRY_BYTES_MAX = 512 * 1024, RECIPIENT_OVERHEAD = 128 };

struct qmgr_message *qmgr_message_new(struct qmgr *q, struct str id)
{
    if (map_get(&q->messages, id) != NULL)
        return NULL;
    struct qmgr_message *m = MEM_NEW(struct qmgr_message);
    m->qmgr = q;
    list_init(&m->link);
    m->request.queue_id = arena_str(&m->batches[0].arena, id);
    map_set(&q->messages, id, m);
    return m;
}

void qmgr_message_free(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    map_remove(&q->messages, m->request.queue_id);
    q->recipients -= m->recipients;
    list_remove(&m->link);
    for (size_t i = 0; i < QMGR_BATCHES; i++)
        arena_release(&m->batches[i].arena);
    mem_free(m);
    co_event_signal(&q->room);
}

struct qmgr_message *qmgr_message_from_arrival(struct qmgr *q, const struct ipc_view *notice, struct arrival *arrival_r,
                                               struct err *err)
{
    struct arena arena = ARENA_INIT;
    if (arrival_read(notice, &arena, arrival_r, err) < 0 ||
        !str_is(arrival_r->request.queue_name, STR(QUEUE_INCOMING))) {
        arena_release(&arena);
        return NULL;
    }
    struct qmgr_message *m = qmgr_message_new(q, arrival_r->request.queue_id);
    if (m == NULL) {
        arena_release(&arena);
        return NULL;
    }
    arena_release(&m->batches[0].arena);
    m->batches[0].arena = arena;
    m->request = arrival_r->request;
    m->request.queue_name = STR(QUEUE_ACTIVE);
    m->request.recipients = NULL;
    m->request.recipient_count = 0;
    m->request.flags = 0;
    m->warn_time = arrival_r->warn_time;
    m->warn_offset = arrival_r->warn_offset;
    m->trace_flags = arrival_r->trace_flags;
    m->trace_flags_offset = arrival_r->trace_flags_offset;
    m->filter = arrival_r->filter;
    m->redirect = arrival_r->redirect;
    m->verp = arrival_r->verp;
    return m;
}

// The log's view of the client (XFORWARD), or the client itself.
static struct str client_attr(const struct queue_envelope *e, const char *log_name, const char *name)
{
    struct str value = queue_envelope_attr(e, log_name);
    return value.len ? value : queue_envelope_attr(e, name);
}

void qmgr_message_set_envelope(struct qmgr_message *m, const struct queue_envelope *e)
{
    struct delivery_request *r = &m->request;
    r->queue_name = STR(QUEUE_ACTIVE);
    r->sender = e->sender;
    r->envelope_id = e->envelope_id;
    r->encoding = e->encoding;
    r->data_offset = e->data_offset;
    r->message_size = e->message_size;
    r->ret_flags = e->ret_flags;
    r->sendopts = (int)e->sendopts;
    r->arrival_us = e->arrival_s * 1000000 + e->arrival_us;
    r->client_name = client_attr(e, "log_client_name", "client_name");
    r->client_address = client_attr(e, "log_client_address", "client_address");
    r->client_port = client_attr(e, "log_client_port", "client_port");
    r->protocol_name = client_attr(e, "log_protocol_name", "protocol_name");
    r->helo_name = client_attr(e, "log_helo_name", "helo_name");
    r->sasl_method = queue_envelope_attr(e, "sasl_method");
    r->sasl_username = queue_envelope_attr(e, "sasl_username");
    r->sasl_sender = queue_envelope_attr(e, "sasl_sender");
    r->log_ident = queue_envelope_attr(e, "log_ident");
    r->rewrite_context = queue_envelope_attr(e, "rewrite_context");
    m->warn_time = e->warn_time;
    m->warn_offset = e->warn_offset;
    m->trace_flags = e->trace_flags;
    m->trace_flags_offset = e->trace_flags_offset;
    m->filter = e->filter;
    m->redirect = e->redirect;
    m->verp = e->verp;
}

struct delivery_recipient *qmgr_message_copy_recipients(struct arena *arena, const struct queue_envelope *e)
{
    struct delivery_recipient *copy = ARENA_ARRAY(arena, struct delivery_recipient, e->recipient_count_read);
    for (size_t i = 0; i < e->recipient_count_read; i++) {
        const struct queue_recipient *r = &e->recipients[i];
        copy[i] = (struct delivery_recipient){r->address, r->original, r->dsn_orcpt, r->notify, r->offset};
    }
    return copy;
}

bool qmgr_message_is_expired(const struct qmgr_message *m)
{
    const struct settings *s = m->qmgr->settings;
    int64_t lifetime = m->request.sender.len ? s->maximal_queue_lifetime : s->bounce_queue_lifetime;
    return m->is_forced_to_expire || clock_wall() - m->request.arrival_us / 1000000 >= lifetime;
}

void qmgr_message_log_from(const struct qmgr_message *m, const char *rest)
{
    struct buf line = BUF_INIT;
    buf_add_str(&line, m->request.queue_id);
    buf_add_cstr(&line, ": from=<");
    address_add_log(&line, m->request.sender);
    buf_add_cstr(&line, rest);
    log_info("%s", buf_cstr(&line));
    buf_release(&line);
}

void qmgr_message_release(struct qmgr_message *m)
{
    bool has_more = m->next_recipient_offset > 0 && !m->is_refilling;
    if (has_more && m->recipients <= REFILL_BELOW && (m->batches[1].open == 0 || m->batches[2].open == 0)) {
        m->is_refilling = true; // the worker takes over this hold on the message
        qmgr_chore_add(m);
    } else if (--m->open == 0) {
        qmgr_finish(m);
    }
}

// ---- Routing

struct routed {
    struct qmgr_destination *destination;
    size_t index;
};

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
    if (m->filter.len)
        return filtered(m, rcpt);
    if (route_resolve(q->route, m->request.sender, rcpt->address, arena, &where, &err) < 0) {
        log_warn(STR_FMT ": cannot resolve <" STR_FMT ">: %s", STR_ARG(m->request.queue_id), STR_ARG(rcpt->address),
                 err.text);
        return explained(q, "retry", STR("4.3.0 address resolver failure"));
    }
    rcpt->address = where.recipient;
    if (where.class == ROUTE_LOCAL && str_is_nocase(address_local(rcpt->address), q->settings->double_bounce_sender))
        return explained(q, "discard", STR("2.0.0 undeliverable postmaster notification discarded"));
    struct qmgr_transport *t = qmgr_transport_find(q, where.transport);
    if (t->is_deferred)
        return explained(q, "retry", STR("4.3.2 deferred transport"));
    return qmgr_destination_find(t, where.nexthop, rcpt->address);
}

static int compare_routed(const void *a, const void *b)
{
    const struct routed *x = a, *y = b;
    if (x->destination != y->destination)
        return (uintptr_t)x->destination < (uintptr_t)y->destination ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
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

// Queues recipients[0..count), all for d. Consumes one reference of d for each recipient.
static void queue_group(struct qmgr_message *m, unsigned batch, struct qmgr_destination *d,
                        struct delivery_recipient *recipients, size_t count)
{
    struct qmgr_entry *first = NULL, **tail = &first;
    for (size_t done = 0; done < count;) {
        struct qmgr_entry *e = ARENA_NEW(&m->batches[batch].arena, struct qmgr_entry);
        list_init(&e->link);
        e->message = m;
        e->destination = d;
        e->recipients = recipients + done;
        e->count = m->verp.len ? 1 : entry_size(d, e->recipients, count - done); // each has a sender of its own
        for (size_t i = 1; i < e->count; i++)
            qmgr_destination_unref(d); // the entry keeps one
        done += e->count;
        e->batch = batch;
        m->batches[batch].open++;
        m->open++;
        *tail = e;
        tail = &e->sibling;
    }
    qmgr_destination_queue(d, first, false);
}

void qmgr_message_assign(struct qmgr_message *m, unsigned batch, struct delivery_recipient *recipients, size_t count)
{
    struct arena *arena = &m->batches[batch].arena;
    struct routed *routed = mem_alloc((count ? count : 1) * sizeof *routed);
    m->recipients += count;
    m->qmgr->recipients += count;
    for (size_t i = 0; i < count; i++)
        routed[i] = (struct routed){route_recipient(m, arena, &recipients[i]), i};
    struct delivery_recipient *sorted = recipients;
    if (count > 1) {
        qsort(routed, count, sizeof *routed, compare_routed);
        sorted = ARENA_ARRAY(arena, struct delivery_recipient, count);
        for (size_t i = 0; i < count; i++)
            sorted[i] = recipients[routed[i].index];
    }
    for (size_t i = 0, n; i < count; i += n) {
        struct qmgr_transport *t = routed[i].destination->transport;
        for (n = 1; i + n < count && routed[i + n].destination == routed[i].destination; n++)
            ;
        queue_group(m, batch, routed[i].destination, sorted + i, n);
        qmgr_transport_run(t);
    }
    mem_free(routed);
}
