// SPDX-License-Identifier: ISC
// qmgr_due.h: when each message that waits outside the active queue is to be looked at: a heap by time and a hash by
// id. Pure. Limits: about 80 bytes for each message; times are wall-clock seconds.
#ifndef DROMOS_QMGR_QMGR_DUE_H
#define DROMOS_QMGR_QMGR_DUE_H

#include "lib/base/list.h"
#include "lib/base/str.h"

// One message. It waits either for its time (in the heap) or for something else, in a list of the caller's.
struct qmgr_due_entry {
    union {
        int64_t when;     // in the heap
        struct list link; // elsewhere
    };
    struct qmgr_due_entry *next; // in the bucket
    uint32_t position;           // in the heap, or QMGR_DUE_ELSEWHERE
    uint8_t mark;                // the caller's
    uint8_t id_len;
    char id[];
};
#define QMGR_DUE_ELSEWHERE UINT32_MAX

struct qmgr_due {
    struct qmgr_due_entry **heap;
    size_t heap_count, heap_room;
    struct qmgr_due_entry **buckets;
    size_t bucket_count; // a power of two, or 0
    size_t count;
};
#define QMGR_DUE_INIT ((struct qmgr_due){NULL, 0, 0, NULL, 0, 0})

void qmgr_due_release(struct qmgr_due *d);
struct str qmgr_due_id(const struct qmgr_due_entry *e);
struct qmgr_due_entry *qmgr_due_find(const struct qmgr_due *d, struct str id); // NULL when unknown
// Sets the time of a message, known or not; one that waits elsewhere waits for its time from now on. Ids of more than
// 255 bytes are refused with NULL.
struct qmgr_due_entry *qmgr_due_set(struct qmgr_due *d, struct str id, int64_t when);
struct qmgr_due_entry *qmgr_due_first(const struct qmgr_due *d); // the earliest, NULL when none waits for its time
void qmgr_due_set_aside(struct qmgr_due *d, struct qmgr_due_entry *e, struct list *list); // appended there
void qmgr_due_forget(struct qmgr_due *d, struct qmgr_due_entry *e);                       // frees e

#endif
