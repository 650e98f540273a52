// SPDX-License-Identifier: ISC
// qmgr_job.c: whose turn it is among the messages that wait at a destination.
//
// They go in the order in which they came, but a small one may go ahead of a large one when the large one has earned
// the slots for it (qmgr_slots.h). It then stands before the large one until it is through.
// Suspends: never. Limits: CANDIDATES are looked at.
#include "qmgr/qmgr.h"

enum { CANDIDATES = 200 };

struct qmgr_job *qmgr_job_new(struct qmgr_message *m, unsigned batch)
{
    struct qmgr_job *job = ARENA_NEW(&m->batches[batch].arena, struct qmgr_job);
    list_init(&job->link);
    list_init(&job->entries);
    job->since = clock_ms();
    return job;
}

static void joined(struct qmgr_job *job, struct qmgr_entry *e)
{
    struct qmgr_message *m = e->message;
    job->left++;
    e->job = job;
    list_append(&m->waiting, &e->waits);
    m->waiting_count++;
}

static void unlink_entry(struct qmgr_entry *e)
{
    struct qmgr_job *job = e->job;
    list_remove(&e->link);
    list_remove(&e->waits);
    e->message->waiting_count--;
    if (--job->left == 0)
        list_remove(&job->link);
}

void qmgr_job_add(struct qmgr_job *job, struct qmgr_entry *e)
{
    list_append(&job->entries, &e->link);
    job->open++;
    joined(job, e);
}

struct qmgr_entry *qmgr_job_take(struct qmgr_job *job)
{
    struct qmgr_entry *e = container_of(list_first(&job->entries), struct qmgr_entry, link);
    unlink_entry(e);
    qmgr_slots_delivered(&job->slots);
    return e;
}

void qmgr_job_take_back(struct qmgr_job *job, struct qmgr_entry *e, struct list *jobs)
{
    if (job->left == 0)
        list_prepend(jobs, &job->link);
    list_prepend(&job->entries, &e->link);
    joined(job, e);
}

void qmgr_job_drop(struct qmgr_entry *e)
{
    unlink_entry(e);
}

// The one that has waited longest for what it needs, of those small enough.
static struct qmgr_job *best_candidate(const struct list *jobs, const struct qmgr_job *head, unsigned allowed)
{
    struct qmgr_job *best = NULL;
    double best_score = 0;
    int64_t now = clock_ms();
    unsigned seen = 0;
    LIST_EACH(item, jobs)
    {
        struct qmgr_job *job = container_of(item, struct qmgr_job, link);
        if (++seen > CANDIDATES)
            break;
        double score = (double)(now - job->since + 1) / (double)job->left;
        if (job != head && job->left <= allowed && job->left < head->left && score > best_score) {
            best = job;
            best_score = score;
        }
    }
    return best;
}

struct qmgr_job *qmgr_job_next(struct list *jobs, const struct qmgr_slot_rules *rules)
{
    struct qmgr_job *head = container_of(list_first(jobs), struct qmgr_job, link);
    if (head->left == 1 || head->link.next == jobs)
        return head;
    unsigned allowed = qmgr_slots_allow(&head->slots, rules, (unsigned)head->left);
    struct qmgr_job *other = allowed ? best_candidate(jobs, head, allowed) : NULL;
    if (other == NULL)
        return head;
    qmgr_slots_spend(&head->slots, (unsigned)other->left);
    list_remove(&other->link);
    list_prepend(jobs, &other->link);
    return other;
}
