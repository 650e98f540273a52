// SPDX-License-Identifier: ISC
// qmgr_destination.c: per-destination queues: who may send now, feedback, dead destinations.
// Suspends: never.
#include "lib/base/log.h"
#include "qmgr/qmgr.h"

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
        d->key = map_find(&t->destinations, buf_str(&key))->key;
        d->nexthop = str_of(mem_dup_str(nexthop), nexthop.len);
        list_init(&d->link);
        list_init(&d->waiting);
        qmgr_window_reset(&d->window, &t->rules);
    }
    buf_release(&key);
    d->references++;
    return d;
}

// What is worth remembering: that it is dead, or must pause. The window is learnt again in a few deliveries.
static bool has_memory(const struct qmgr_destination *d)
{
    return d->dead_until || d->not_before;
}

void qmgr_destination_free(struct qmgr_destination *d)
{
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

void qmgr_destination_update(struct qmgr_destination *d)
{
    bool is_ready = !list_is_empty(&d->waiting) && d->busy < d->window.size && !d->dead_until && !d->not_before;
    if (is_ready == d->is_ready)
        return;
    d->is_ready = is_ready;
    if (is_ready)
        list_append(&d->transport->ready, &d->link);
    else
        list_remove(&d->link);
}

void qmgr_destination_queue(struct qmgr_destination *d, struct qmgr_entry *e, bool at_front)
{
    if (d->dead_until) { // it and its siblings need not wait to hear that
        struct str text = buf_str(&d->dead_text);
        for (struct qmgr_entry *next; e != NULL; e = next) {
            next = e->sibling;
            e->sibling = NULL;
            qmgr_entry_to_retry(e, text);
        }
        return;
    }
    if (at_front)
        list_prepend(&d->waiting, &e->link);
    else
        list_append(&d->waiting, &e->link);
    qmgr_destination_update(d);
}

struct qmgr_entry *qmgr_destination_take(struct qmgr_destination *d)
{
    struct qmgr_entry *e = container_of(list_first(&d->waiting), struct qmgr_entry, link);
    list_remove(&e->link);
    if (e->sibling != NULL) { // behind the other messages: a long list does not hold them up
        list_append(&d->waiting, &e->sibling->link);
        e->sibling = NULL;
    }
    d->busy++;
    if (d->transport->rate_delay_ms > 0)
        d->not_before = clock_ms() + d->transport->rate_delay_ms;
    if (d->is_ready) { // the next destination's turn
        list_remove(&d->link);
        d->is_ready = false;
    }
    qmgr_destination_update(d);
    return e;
}

void qmgr_destination_succeeded(struct qmgr_destination *d)
{
    qmgr_window_succeeded(&d->window, &d->transport->rules, d->busy);
    qmgr_destination_update(d);
}

void qmgr_destination_flush_to_retry(struct qmgr_destination *d, struct str text)
{
    struct list *first;
    struct buf copy = BUF_INIT;
    buf_add_str(&copy, text); // the destination may go with its last entry
    d->references++;
    while ((first = list_first(&d->waiting)) != NULL) {
        struct qmgr_entry *e = container_of(first, struct qmgr_entry, link);
        list_remove(&e->link);
        if (e->sibling != NULL)
            list_prepend(&d->waiting, &e->sibling->link);
        e->sibling = NULL;
        qmgr_entry_to_retry(e, buf_str(&copy));
    }
    qmgr_destination_update(d);
    qmgr_destination_unref(d);
    buf_release(&copy);
}

void qmgr_destination_failed(struct qmgr_destination *d, struct str dsn, struct str reason)
{
    struct qmgr_transport *t = d->transport;
    if (d->dead_until || qmgr_transport_is_reporter(t) || !qmgr_window_failed(&d->window, &t->rules)) {
        qmgr_destination_update(d);
        return;
    }
    d->dead_until = clock_deadline(t->qmgr->settings->minimal_backoff_time);
    buf_clear(&d->dead_text);
    buf_addf(&d->dead_text, STR_FMT " delivery temporarily suspended: " STR_FMT, STR_ARG(dsn), STR_ARG(reason));
    qmgr_destination_update(d);
    qmgr_destination_flush_to_retry(d, buf_str(&d->dead_text));
}

void qmgr_destination_tick(struct qmgr_destination *d, int64_t now)
{
    if (d->not_before && d->not_before <= now)
        d->not_before = 0;
    if (d->dead_until && d->dead_until <= now) {
        d->dead_until = 0;
        qmgr_window_reset(&d->window, &d->transport->rules);
    }
    qmgr_destination_update(d);
    free_if_unused(d);
}
