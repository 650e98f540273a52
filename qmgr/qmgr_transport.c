// SPDX-License-Identifier: ISC
// qmgr_transport.c: delivery transports: their limits, whether they can be reached, and the round that wakes what
// rests. Suspends: never.
#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { FAILURES_MAX = 5, RETRY_MS = 1000, AGENT_IDLE_MS = 60 * 1000, TICK_MS = 1000, REST_MS = 60 * 1000 };

// TRANSPORT_SUFFIX, else default_SUFFIX (or initial_…).
static int64_t get_number(const struct qmgr_transport *t, const char *suffix, const char *otherwise)
{
    struct buf name = BUF_INIT;
    struct err err = ERR_INIT;
    int64_t value = 0;
    buf_addf(&name, STR_FMT "_%s", STR_ARG(t->name), suffix);
    if (conf_get_int(t->qmgr->ctx->conf, buf_cstr(&name), otherwise, &value, &err) < 0) {
        log_warn("%s", err.text);
        (void)conf_get_int(t->qmgr->ctx->conf, "default_process_limit", "20", &value, &err);
    }
    buf_release(&name);
    return value;
}

static int64_t get_seconds(const struct qmgr_transport *t, const char *suffix, const char *otherwise)
{
    struct buf name = BUF_INIT;
    struct err err = ERR_INIT;
    int64_t value = 0;
    buf_addf(&name, STR_FMT "_%s", STR_ARG(t->name), suffix);
    if (conf_get_time(t->qmgr->ctx->conf, buf_cstr(&name), otherwise, &value, &err) < 0)
        log_warn("%s", err.text);
    buf_release(&name);
    return value;
}

static struct qmgr_feedback get_feedback(const struct qmgr_transport *t, const char *suffix, const char *otherwise)
{
    struct buf name = BUF_INIT, text = BUF_INIT;
    struct err err = ERR_INIT;
    struct qmgr_feedback feedback = {1, FEEDBACK_CONSTANT};
    buf_addf(&name, STR_FMT "_%s", STR_ARG(t->name), suffix);
    if (conf_get_str(t->qmgr->ctx->conf, buf_cstr(&name), otherwise, &text, &err) < 0)
        log_warn("%s", err.text);
    else if (qmgr_feedback_parse(buf_str(&text), &feedback) < 0)
        log_warn("bad feedback in %s = %s", buf_cstr(&name), buf_cstr(&text));
    buf_release(&name);
    buf_release(&text);
    return feedback;
}

static unsigned bounded(int64_t value, unsigned most)
{
    return value < 0 ? 0 : value > most ? most : (unsigned)value;
}

static void read_limits(struct qmgr_transport *t)
{
    t->rules.initial =
        bounded(get_number(t, "initial_destination_concurrency", "$initial_destination_concurrency"), 10000);
    t->rules.limit =
        bounded(get_number(t, "destination_concurrency_limit", "$default_destination_concurrency_limit"), 100000);
    t->rules.positive = get_feedback(t, "destination_concurrency_positive_feedback",
                                     "$default_destination_concurrency_positive_feedback");
    t->rules.negative = get_feedback(t, "destination_concurrency_negative_feedback",
                                     "$default_destination_concurrency_negative_feedback");
    t->rules.failed_cohort_limit = bounded(get_number(t, "destination_concurrency_failed_cohort_limit",
                                                      "$default_destination_concurrency_failed_cohort_limit"),
                                           100000);
    t->recipient_limit = bounded(get_number(t, "destination_recipient_limit", "$default_destination_recipient_limit"),
                                 DELIVERY_RECIPIENTS_MAX);
    if (t->recipient_limit == 0)
        t->recipient_limit = DELIVERY_RECIPIENTS_MAX;
    t->rate_delay_ms = 1000 * get_seconds(t, "destination_rate_delay", "$default_destination_rate_delay");
    if (t->rate_delay_ms > 0)
        t->rules.initial = t->rules.limit = 1;
    t->total_rate_delay_ms = 1000 * get_seconds(t, "transport_rate_delay", "$default_transport_rate_delay");
}

static void read_memory_limits(struct qmgr_transport *t)
{
    const unsigned most = 100 * 1000 * 1000;
    t->slot_rules = (struct qmgr_slot_rules){
        .cost = bounded(get_number(t, "delivery_slot_cost", "$default_delivery_slot_cost"), most),
        .loan = bounded(get_number(t, "delivery_slot_loan", "$default_delivery_slot_loan"), most),
        .discount = bounded(get_number(t, "delivery_slot_discount", "$default_delivery_slot_discount"), 100),
        .minimum = bounded(get_number(t, "minimum_delivery_slots", "$default_minimum_delivery_slots"), most),
    };
    t->recipients_max = bounded(get_number(t, "recipient_limit", "$default_recipient_limit"), most);
    t->recipients_extra = bounded(get_number(t, "extra_recipient_limit", "$default_extra_recipient_limit"), most);
    t->refill_limit = bounded(get_number(t, "recipient_refill_limit", "$default_recipient_refill_limit"), most);
    t->refill_delay_ms = 1000 * get_seconds(t, "recipient_refill_delay", "$default_recipient_refill_delay");
    const char *limit = map_get(&t->qmgr->process_limits, t->name);
    t->process_limit = limit ? (unsigned)(uintptr_t)limit - 1 : 0;
}

static bool is_in_list(struct str list, struct str name)
{
    struct str token;
    while (str_token(&list, ", \t\r\n", &token))
        if (str_is(token, name))
            return true;
    return false;
}

struct qmgr_transport *qmgr_transport_find(struct qmgr *q, struct str name)
{
    struct qmgr_transport *t = map_get(&q->transports, name);
    if (t != NULL)
        return t;
    t = MEM_NEW(struct qmgr_transport);
    map_set(&q->transports, name, t);
    t->qmgr = q;
    t->name = map_find(&q->transports, name)->key;
    t->destinations = MAP_INIT_NOCASE;
    for (size_t i = 0; i < QMGR_CLASSES; i++)
        list_init(&t->ready[i]);
    list_init(&t->agents);
    t->is_deferred = is_in_list(q->settings->defer_transports, name);
    read_limits(t);
    read_memory_limits(t);
    return t;
}

bool qmgr_transport_is_reporter(const struct qmgr_transport *t)
{
    return str_is(t->name, STR("error")) || str_is(t->name, STR("retry"));
}

void qmgr_transport_defer_all(struct qmgr_transport *t)
{
    struct list *first;
    for (size_t i = 0; i < QMGR_CLASSES; i++)
        while ((first = list_first(&t->ready[i])) != NULL)
            qmgr_destination_flush_to_retry(container_of(first, struct qmgr_destination, link),
                                            STR("4.3.0 mail transport unavailable"));
}

static void revive(struct qmgr_transport *t)
{
    t->dead_until = 0;
    t->is_given_up = false;
}

void qmgr_transport_failed(struct qmgr_transport *t, const char *reason, bool at_once)
{
    t->failures++;
    if (!at_once && t->failures < FAILURES_MAX) {
        t->dead_until = clock_ms() + RETRY_MS; // not given up yet: the mail waits
        return;
    }
    log_warn("connect to transport private/" STR_FMT ": %s", STR_ARG(t->name), reason);
    t->dead_until = clock_deadline(t->qmgr->settings->transport_retry_time);
    t->is_given_up = true;
    qmgr_transport_defer_all(t);
}

void qmgr_transport_delivered(struct qmgr_transport *t)
{
    t->busy--;
    if (t->total_rate_delay_ms > 0) {
        t->not_before = clock_ms() + t->total_rate_delay_ms;
        co_event_signal(&t->qmgr->stirred);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return b != 0 && b < a ? b : a;
}

// Destinations may go away under the walk: what the map returned last only. The end of the first pause, or `next`.
static int64_t tick_destinations(struct qmgr_transport *t, int64_t now, int64_t next)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&t->destinations, &it)) != NULL) {
        struct qmgr_destination *d = entry->value;
        if (d->not_before > now)
            next = earlier(next, d->not_before);
        qmgr_destination_tick(d, now);
    }
    return next;
}

static void close_idle_agents(struct qmgr_transport *t, int64_t now)
{
    LIST_EACH_SAFE(item, &t->agents)
    {
        struct qmgr_agent *a = container_of(item, struct qmgr_agent, link);
        bool is_over = qmgr_is_ending(t->qmgr) || now - a->idle_since >= AGENT_IDLE_MS;
        if (a->busy == 0 && is_over && !a->is_closed) {
            a->is_closed = true;
            co_cancel(a->reader);
        }
    }
}

static int64_t tick_transport(struct qmgr_transport *t, int64_t now, int64_t next)
{
    if (t->dead_until && t->dead_until <= now)
        revive(t);
    if (t->not_before && t->not_before <= now)
        t->not_before = 0;
    next = tick_destinations(t, now, earlier(next, t->not_before));
    close_idle_agents(t, now);
    qmgr_transport_run(t);
    bool is_busy = t->is_connecting || t->dead_until || t->destinations.count > 0 || !list_is_empty(&t->agents);
    return is_busy ? earlier(next, now + TICK_MS) : next;
}

int64_t qmgr_transport_tick(struct qmgr *q)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    int64_t now = clock_ms(), next = now + REST_MS;
    while ((entry = map_next(&q->transports, &it)) != NULL)
        next = tick_transport(entry->value, now, next);
    return next - now;
}

void qmgr_transport_revive(struct qmgr *q)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry, *inner;
    while ((entry = map_next(&q->transports, &it)) != NULL) {
        struct qmgr_transport *t = entry->value;
        struct map_iter destinations = MAP_ITER_INIT;
        revive(t);
        t->failures = 0;
        while ((inner = map_next(&t->destinations, &destinations)) != NULL)
            qmgr_destination_revive(inner->value);
        qmgr_transport_run(t);
    }
}

void qmgr_transport_free_all(struct qmgr *q)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry, *inner;
    while ((entry = map_next(&q->transports, &it)) != NULL) {
        struct qmgr_transport *t = entry->value;
        struct map_iter destinations = MAP_ITER_INIT;
        while ((inner = map_next(&t->destinations, &destinations)) != NULL)
            qmgr_destination_free(inner->value);
        map_release(&t->destinations);
        mem_free(t);
    }
    map_release(&q->transports);
}
