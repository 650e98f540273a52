// SPDX-License-Identifier: ISC
// qmgr_schedule.c: which entry goes to which agent next.
//
// Destinations of a transport take turns, one entry at a time, as long as their windows allow; whose turn it is within
// a destination is qmgr_job's affair. The last of the deliveries that master lets run at once are for destinations that
// have few under way. So neither a long list nor destinations that hang hold up the others.
// Suspends: never.
#include "qmgr/qmgr.h"

enum { RESERVED_SHARE = 5 }; // of the process limit
enum { SPREAD_FROM = 4 };    // requests under way at every agent before one more process is worth its start

static bool has_slot(const struct qmgr_agent *a)
{
    return !a->is_closed && a->busy < a->capacity;
}

// The agent that served the destination last may still have a session open to it.
static struct qmgr_agent *choose_agent(struct qmgr_transport *t, const struct qmgr_destination *d)
{
    struct qmgr_agent *best = NULL;
    LIST_EACH(item, &t->agents)
    {
        struct qmgr_agent *a = container_of(item, struct qmgr_agent, link);
        if (!has_slot(a))
            continue;
        if (a == d->last_agent && d->busy == 0)
            return a;
        if (best == NULL || a->busy < best->busy)
            best = a;
    }
    return best;
}

// One more agent: when none has a free slot, or when all are well used and there are CPUs left.
static void want_agents(struct qmgr_transport *t, const struct qmgr_agent *least_busy)
{
    if (t->is_connecting || t->dead_until)
        return;
    if (least_busy == NULL ||
        (least_busy->capacity > 1 && least_busy->busy >= SPREAD_FROM && list_count(&t->agents) < t->qmgr->cpus))
        qmgr_agent_connect(t);
}

// Does one more delivery leave enough for others?
static bool may_have_more(const struct qmgr_transport *t, const struct qmgr_destination *d)
{
    unsigned left = t->process_limit > t->busy ? t->process_limit - t->busy : 0;
    return t->process_limit == 0 || d->busy == 0 || left > t->process_limit / RESERVED_SHARE || d->busy < left;
}

static struct qmgr_destination *choose_in(const struct qmgr_transport *t, const struct list *ready)
{
    LIST_EACH(item, ready)
    {
        struct qmgr_destination *d = container_of(item, struct qmgr_destination, link);
        if (may_have_more(t, d))
            return d;
    }
    return NULL;
}

static struct qmgr_destination *choose_destination(struct qmgr_transport *t)
{
    struct qmgr_destination *d = choose_in(t, &t->ready[t->turn]);
    t->turn ^= 1;
    return d != NULL ? d : choose_in(t, &t->ready[t->turn]);
}

void qmgr_transport_run(struct qmgr_transport *t)
{
    struct qmgr_destination *d;
    if (qmgr_is_ending(t->qmgr))
        return;
    if (t->is_given_up) {
        qmgr_transport_defer_all(t);
        return;
    }
    while (!(t->total_rate_delay_ms && (t->not_before || t->busy > 0)) && (d = choose_destination(t)) != NULL) {
        struct qmgr_agent *a = choose_agent(t, d);
        want_agents(t, a);
        if (a == NULL)
            return;
        d->last_agent = a;
        qmgr_agent_give(a, qmgr_destination_take(d));
    }
}
