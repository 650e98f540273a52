// SPDX-License-Identifier: ISC
// qmgr_message.c: messages in the active queue: what is known of them, and when more must be known.
// Suspends: never.
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "qmgr/qmgr.h"

enum { REFILL_BELOW = 250, TRACE_PROBE_MTA = 256 };

struct qmgr_message *qmgr_message_new(struct qmgr *q, struct str id)
{
    if (map_get(&q->messages, id) != NULL)
        return NULL;
    struct qmgr_message *m = MEM_NEW(struct qmgr_message);
    m->qmgr = q;
    list_init(&m->link);
    list_init(&m->waiting);
    m->request.queue_id = arena_str(&m->batches[0].arena, id);
    map_set(&q->messages, id, m);
    return m;
}

void qmgr_message_free(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    map_remove(&q->messages, m->request.queue_id);
    q->recipients -= m->recipients;
    q->retried -= m->is_retried;
    q->probes -= m->is_probe;
    list_remove(&m->link);
    if (m->parked_at != NULL)
        qmgr_destination_unref(m->parked_at);
    for (size_t i = 0; i < QMGR_BATCHES; i++)
        arena_release(&m->batches[i].arena);
    mem_free(m);
    co_event_broadcast(&q->room);
}

static void note_probe(struct qmgr_message *m)
{
    m->is_probe = (m->trace_flags & TRACE_PROBE_MTA) != 0;
    m->qmgr->probes += m->is_probe;
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
    m->has_trace = arrival_r->has_trace;
    m->trace_flags = arrival_r->trace_flags;
    m->trace_flags_offset = arrival_r->trace_flags_offset;
    note_probe(m);
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
    note_probe(m);
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
    bool is_old = clock_wall() - m->request.arrival_us / 1000000 >= lifetime;
    if (is_old)
        qmgr_watch_clock(m->qmgr);
    return m->is_forced_to_expire || (is_old && clock_ms() >= m->qmgr->expires_from);
}

bool qmgr_message_was_warned_about(const struct qmgr_message *m)
{
    return m->qmgr->settings->confirm_delay_cleared && m->warn_offset > 0 && m->warn_time == 0;
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

// ---- Entries come and go

// Enough room has gathered for the next reading, or it was waited for long enough. Nothing in memory: it must go on.
static bool is_refill_due(const struct qmgr_message *m)
{
    const struct qmgr_transport *t = m->transport;
    if (m->recipients == 0 || t == NULL)
        return true;
    if (m->recipients > REFILL_BELOW)
        return false;
    return t->recipients + t->refill_limit <= t->recipients_max || clock_ms() - m->refilled_at >= t->refill_delay_ms;
}

// All that is left to do waits at a destination that is full (or several, and none of them moves): the message need not
// stand in the active queue.
static struct qmgr_destination *stuck_at(const struct qmgr_message *m, bool *several_r)
{
    struct qmgr_destination *best = NULL;
    bool is_one_moving = false;
    *several_r = false;
    if (m->open == 0 || m->open != m->waiting_count)
        return NULL;
    LIST_EACH(item, &m->waiting)
    {
        struct qmgr_destination *d = container_of(item, struct qmgr_entry, waits)->destination;
        bool has_others = d->recipients > m->recipients; // whose end will be noticed
        if (!has_others || !qmgr_destination_is_full(d))
            return NULL;
        *several_r |= best != NULL && d != best;
        is_one_moving |= qmgr_destination_is_moving(d);
        if (best == NULL || d->moved_at > best->moved_at)
            best = d;
    }
    return *several_r && is_one_moving ? NULL : best;
}

// What waits leaves: the message goes on when d has room.
static void withdraw(struct qmgr_message *m, struct qmgr_destination *d, bool has_others)
{
    struct list *first;
    d->references++;
    m->parked_at = d;
    m->parked_beside_others = has_others;
    m->open++; // until all are out
    while ((first = list_first(&m->waiting)) != NULL) {
        struct qmgr_entry *e = container_of(first, struct qmgr_entry, waits);
        qmgr_job_drop(e);
        qmgr_entry_close(e);
    }
    qmgr_message_release(m);
}

void qmgr_message_release(struct qmgr_message *m)
{
    bool has_more = m->next_recipient_offset > 0 && !m->is_refilling && m->parked_at == NULL;
    if (has_more && (m->batches[1].open == 0 || m->batches[2].open == 0) && is_refill_due(m)) {
        m->is_refilling = true; // the worker takes over this hold on the message
        qmgr_chore_add(m);
        return;
    }
    m->open--;
    bool are_several;
    struct qmgr_destination *full = m->parked_at ? NULL : stuck_at(m, &are_several);
    if (full != NULL)
        withdraw(m, full, are_several);
    else if (m->open == 0)
        qmgr_finish(m);
}
