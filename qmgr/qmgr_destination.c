// SPDX-License-Identifier: ISC
// qmgr_destination.c: per-destination queues: who may send now, feedback, dead destinations, shares of the active
// queue.
// Suspends: never.
#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { UNPARK_MAX = 500, CLOG_SHARE = 5, MOVING_MS = 3000 };

struct qmgr_destination *qmgr_destination_find(struct qmgr_transport *t, struct str nexthop, struct str recipient)
{
    struct buf key = BUF_INIT;
    buf_add_str(&key, nexthop);
    if (t->recipient_limit == 1) { // one recipient at a time: concurrency counts for each recipient
        buf_add_char(&key, '\n');
        buf_add_str(&key, recipient);
    }
    struct map_entry *found = map_find(&t->destinations, buf_str(&key));
    struct qmgr_destination *d = found ? found->value : NULL;
    if (d == NULL) {
        d = MEM_NEW(struct qmgr_destination);
        map_set(&t->destinations, buf_str(&key), d);
        d->transport = t;
        d->ready_as = -1;
        d->key = map_find(&t->destinations, buf_str(&key))->key;
        d->nexthop = str_of(mem_dup_str(nexthop), nexthop.len);
        list_init(&d->link);
        list_init(&d->parked[0]);
        list_init(&d->parked[1]);
        d->moved_at = clock_ms();
        for (size_t i = 0; i < QMGR_CLASSES; i++)
            list_init(&d->jobs[i]);
        qmgr_window_reset(&d->window, &t->rules);
    }
    buf_release(&key);
    d->references++;
    return d;
}

// What is worth remembering: that it is dead, or must pause, and who waits for it. The window is learnt again in a few
// deliveries.
static bool has_memory(const struct qmgr_destination *d)
{
    return d->dead_until || d->not_before || !list_is_empty(&d->parked[0]) || !list_is_empty(&d->parked[1]);
}

void qmgr_destination_free(struct qmgr_destination *d)
{
    d->transport->qmgr->dead -= d->dead_until != 0;
    list_remove(&d->link);
    map_remove(&d->transport->destinations, d->key);
    buf_release(&d->dead_text);
    mem_free((char *)(uintptr_t)d->nexthop.ptr);
    mem_free(d);
}

static void free_if_unused(struct qmgr_destination *d)
{
    if (d->references > 0 || has_memory(d))
        return;
    qmgr_destination_free(d);
}

void qmgr_destination_unref(struct qmgr_destination *d)
{
    d->references--;
    free_if_unused(d);
}

bool qmgr_destination_has_waiting(const struct qmgr_destination *d)
{
    return !list_is_empty(&d->jobs[QMGR_FRESH]) || !list_is_empty(&d->jobs[QMGR_RETRIED]);
}

void qmgr_destination_update(struct qmgr_destination *d)
{
    int should = -1;
    if (d->busy < d->window.size && !d->dead_until && !d->not_before && qmgr_destination_has_waiting(d))
        should = list_is_empty(&d->jobs[QMGR_FRESH]) ? QMGR_RETRIED : QMGR_FRESH;
    if (should == d->ready_as)
        return;
    list_remove(&d->link);
    d->ready_as = should;
    if (should >= 0)
        list_append(&d->transport->ready[should], &d->link);
}

// ---- Its share of the active queue

static size_t rest(int64_t limit, size_t used)
{
    return (size_t)limit > used ? (size_t)limit - used : 0;
}

static size_t room_for_messages(const struct qmgr *q)
{
    return rest(q->settings->qmgr_message_active_limit, q->messages.count);
}

static size_t room_for_recipients(const struct qmgr_destination *d)
{
    const struct qmgr_transport *t = d->transport;
    size_t room = rest(t->qmgr->settings->qmgr_message_recipient_limit, t->qmgr->recipients);
    size_t of_transport = rest((int64_t)(t->recipients_max + t->recipients_extra), t->recipients);
    return room < of_transport ? room : of_transport;
}

bool qmgr_destination_is_full(const struct qmgr_destination *d)
{
    return d->held > 0 && (d->held >= room_for_messages(d->transport->qmgr) || d->recipients >= room_for_recipients(d));
}

bool qmgr_destination_is_moving(const struct qmgr_destination *d)
{
    return clock_ms() - d->moved_at < MOVING_MS;
}

static size_t unpark_from(struct qmgr_destination *d, struct list *parked, size_t most)
{
    struct qmgr *q = d->transport->qmgr;
    struct list *first;
    while (most > 0 && (first = list_first(parked)) != NULL) {
        struct qmgr_due_entry *e = container_of(first, struct qmgr_due_entry, link);
        bool is_new = (e->mark & QMGR_DUE_INCOMING) != 0;
        qmgr_load_at(q, is_new ? QUEUE_INCOMING : QUEUE_DEFERRED, qmgr_due_id(e), 0, true);
        most--;
    }
    return most;
}

// Messages that were kept out may come in: when half of the share is free again, so that many come at once.
static void unpark(struct qmgr_destination *d)
{
    size_t room = room_for_messages(d->transport->qmgr), most = room > d->held ? room - d->held : 1;
    if (d->held == 0 || (2 * d->held <= room && 2 * d->recipients <= room_for_recipients(d)))
        (void)unpark_from(d, &d->parked[0], unpark_from(d, &d->parked[1], most > UNPARK_MAX ? UNPARK_MAX : most));
}

static const char *shown(const struct qmgr_destination *d)
{
    return d->nexthop.len ? d->nexthop.ptr : "local delivery";
}

// Once in a while: who takes so much of the active queue, and what may help.
static void warn_of_clog(struct qmgr_destination *d)
{
    struct qmgr_transport *t = d->transport;
    const struct settings *s = t->qmgr->settings;
    int64_t now = clock_ms(), limit = s->qmgr_message_active_limit;
    if (s->qmgr_clog_warn_time == 0 || qmgr_transport_is_reporter(t) || d->held < (size_t)limit / CLOG_SHARE ||
        d->held < 2 || (d->warned_at && now - d->warned_at < s->qmgr_clog_warn_time * 1000))
        return;
    d->warned_at = now;
    log_warn("mail for %s is using up %zu of %zu active queue entries", shown(d), d->held, t->qmgr->messages.count);
    if (d->window.size < t->rules.initial || d->window.failure > 0 || d->window.failed_cohorts > 0) {
        log_warn("you may need to reduce " STR_FMT " connect and helo timeouts", STR_ARG(t->name));
        log_warn("so that Postfix quickly skips unavailable hosts");
        log_warn("you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time");
        log_warn("so that Postfix wastes less time on undeliverable mail");
    } else if (t->rules.limit && d->window.size >= t->rules.limit) {
        log_warn("you may need to increase the main.cf " STR_FMT "_destination_concurrency_limit from %u",
                 STR_ARG(t->name), t->rules.limit);
    } else if (t->process_limit && t->busy >= t->process_limit) {
        log_warn("you may need to increase the master.cf " STR_FMT " process limit", STR_ARG(t->name));
    }
    log_warn("you may need a separate master.cf transport for %s", shown(d));
}

// ---- Entries come and go

static void count_in(struct qmgr_destination *d, const struct qmgr_job *job)
{
    LIST_EACH(item, &job->entries)
    {
        size_t n = container_of(item, struct qmgr_entry, link)->count;
        d->recipients += n;
        d->transport->recipients += n;
    }
    d->held++;
}

void qmgr_destination_queue(struct qmgr_destination *d, struct qmgr_job *job)
{
    const struct qmgr_message *m = container_of(list_first(&job->entries), struct qmgr_entry, link)->message;
    count_in(d, job);
    list_append(&d->jobs[m->is_retried ? QMGR_RETRIED : QMGR_FRESH], &job->link);
    if (d->dead_until) { // it need not wait to hear that
        qmgr_job_to_retry(job, buf_str(&d->dead_text));
        return;
    }
    warn_of_clog(d);
    qmgr_destination_update(d);
}

void qmgr_destination_left(struct qmgr_entry *e)
{
    struct qmgr_destination *d = e->destination;
    d->recipients -= e->count;
    d->transport->recipients -= e->count;
    d->held -= --e->job->open == 0;
    e->destination = NULL;
    unpark(d);
    qmgr_destination_update(d);
    qmgr_destination_unref(d);
}

struct qmgr_entry *qmgr_destination_take(struct qmgr_destination *d)
{
    unsigned class = list_is_empty(&d->jobs[d->turn]) ? d->turn ^ 1 : d->turn;
    struct list *jobs = &d->jobs[class];
    d->turn = list_is_empty(&d->jobs[class ^ 1]) ? QMGR_FRESH : class ^ 1;
    struct qmgr_entry *e = qmgr_job_take(qmgr_job_next(jobs, &d->transport->slot_rules));
    d->busy++;
    d->transport->busy++;
    list_remove(&d->link); // the next destination's turn
    d->ready_as = -1;
    qmgr_destination_update(d);
    return e;
}

void qmgr_destination_delivered(struct qmgr_destination *d)
{
    struct qmgr_transport *t = d->transport;
    d->busy--;
    if (t->rate_delay_ms > 0) {
        d->not_before = clock_ms() + t->rate_delay_ms;
        co_event_signal(&t->qmgr->stirred);
    }
    qmgr_transport_delivered(t);
}

void qmgr_destination_flush_to_retry(struct qmgr_destination *d, struct str text)
{
    struct list *first;
    struct buf copy = BUF_INIT;
    buf_add_str(&copy, text); // the destination may go with its last entry
    d->references++;
    for (size_t i = 0; i < QMGR_CLASSES; i++)
        while ((first = list_first(&d->jobs[i])) != NULL)
            qmgr_job_to_retry(container_of(first, struct qmgr_job, link), buf_str(&copy));
    (void)unpark_from(d, &d->parked[0], SIZE_MAX);
    (void)unpark_from(d, &d->parked[1], SIZE_MAX);
    qmgr_destination_update(d);
    qmgr_destination_unref(d);
    buf_release(&copy);
}

// ---- Feedback

static void log_feedback(const struct qmgr_destination *d)
{
    const struct qmgr_window *w = &d->window;
    if (d->transport->qmgr->settings->destination_concurrency_feedback_debug)
        log_info("feedback: queue " STR_FMT ": limit %u window %u success %g failure %g fail_cohorts %g",
                 STR_ARG(d->nexthop), d->transport->rules.limit, w->size, w->success, w->failure, w->failed_cohorts);
}

void qmgr_destination_succeeded(struct qmgr_destination *d)
{
    d->moved_at = clock_ms();
    qmgr_window_succeeded(&d->window, &d->transport->rules, d->busy);
    log_feedback(d);
    qmgr_destination_update(d);
}

void qmgr_destination_failed(struct qmgr_destination *d, struct str dsn, struct str reason)
{
    struct qmgr_transport *t = d->transport;
    struct qmgr *q = t->qmgr;
    bool is_dead = !d->dead_until && !qmgr_transport_is_reporter(t) && qmgr_window_failed(&d->window, &t->rules);
    log_feedback(d);
    if (!is_dead || q->dead >= (size_t)q->settings->qmgr_message_recipient_limit) {
        qmgr_destination_update(d);
        return;
    }
    q->dead++;
    d->dead_until = clock_deadline(q->settings->minimal_backoff_time);
    buf_clear(&d->dead_text);
    buf_addf(&d->dead_text, STR_FMT " delivery temporarily suspended: " STR_FMT, STR_ARG(dsn), STR_ARG(reason));
    qmgr_destination_update(d);
    qmgr_destination_flush_to_retry(d, buf_str(&d->dead_text));
}

void qmgr_destination_revive(struct qmgr_destination *d)
{
    if (!d->dead_until)
        return;
    d->transport->qmgr->dead--;
    d->dead_until = 0;
    qmgr_window_reset(&d->window, &d->transport->rules);
    qmgr_destination_update(d);
    free_if_unused(d);
}

void qmgr_destination_tick(struct qmgr_destination *d, int64_t now)
{
    if (d->not_before && d->not_before <= now)
        d->not_before = 0;
    d->references++;
    if (d->dead_until && d->dead_until <= now)
        qmgr_destination_revive(d);
    unpark(d); // room may have come from others
    if (!qmgr_destination_is_moving(d))
        (void)unpark_from(d, &d->parked[1], UNPARK_MAX); // they look for another one
    qmgr_destination_update(d);
    qmgr_destination_unref(d);
}
