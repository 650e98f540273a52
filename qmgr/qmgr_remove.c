// SPDX-License-Identifier: ISC
// qmgr_remove.c: removal of finished messages' files, off the loop.
//
// On a journaling disk an unlink often waits for the commit that cleanup's fsync has begun. So removals gather and a
// few jobs make them, many in one; where nothing ever waits (a queue in memory) they are made at once. A file
// that is left by a crash has no recipient without a mark, and is removed when it is found.
// Suspends: the removers.
#include <fcntl.h>

#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { REMOVERS_MAX = 4, BATCH_MAX = 32, REMOVE_SECONDS = 600 };

struct removal { // belongs to the job while it runs
    struct queue_layout layout;
    size_t count;
    struct {
        char id[QUEUE_ID_MAX + 1];
        int result;
    } items[BATCH_MAX];
};

static void log_removed(struct str id, int result)
{
    if (result < 0)
        log_warn(STR_FMT ": cannot remove the message file", STR_ARG(id));
    else
        log_info(STR_FMT ": removed", STR_ARG(id));
}

static void remove_job(void *data)
{
    struct removal *r = data;
    for (size_t i = 0; i < r->count; i++) {
        struct err err = ERR_INIT;
        r->items[i].result = queue_file_remove(AT_FDCWD, &r->layout, QUEUE_ACTIVE, str_from(r->items[i].id), &err);
    }
}

// Takes what has gathered, at most a batch. The messages stay known until their files are gone.
static void take_batch(struct qmgr *q, struct removal *r, struct qmgr_message **messages)
{
    struct list *first;
    r->layout = q->layout;
    r->count = 0;
    while (r->count < BATCH_MAX && (first = list_first(&q->removals)) != NULL) {
        struct qmgr_message *m = container_of(first, struct qmgr_message, link);
        list_remove(first);
        memcpy(r->items[r->count].id, m->request.queue_id.ptr, m->request.queue_id.len);
        r->items[r->count].id[m->request.queue_id.len] = '\0';
        messages[r->count++] = m;
    }
}

static void remover_main(void *arg)
{
    co_assert_running();
    struct qmgr *q = arg;
    struct qmgr_message *messages[BATCH_MAX];
    while (!list_is_empty(&q->removals)) {
        struct removal *r = MEM_NEW(struct removal);
        take_batch(q, r, messages);
        size_t count = r->count;
        bool is_done = co_job(remove_job, r, mem_free, clock_deadline(REMOVE_SECONDS)) == 0;
        for (size_t i = 0; i < count; i++) {
            if (is_done)
                log_removed(messages[i]->request.queue_id, r->items[i].result);
            qmgr_message_free(messages[i]);
        }
        if (is_done)
            mem_free(r);
    }
    q->removers--;
}

void qmgr_remove(struct qmgr_message *m)
{
    struct qmgr *q = m->qmgr;
    struct err err = ERR_INIT;
    if (q->removes_at_once || m->request.queue_id.len > QUEUE_ID_MAX) {
        log_removed(m->request.queue_id,
                    queue_file_remove(AT_FDCWD, &q->layout, QUEUE_ACTIVE, m->request.queue_id, &err));
        qmgr_message_free(m);
        return;
    }
    list_append(&q->removals, &m->link);
    if (q->removers < REMOVERS_MAX) {
        q->removers++;
        co_spawn("remover", remover_main, q);
    }
}
