// SPDX-License-Identifier: ISC
// qmgr_due.c: the index of waiting messages: a binary heap whose members know their place, and a chained hash.
#include "qmgr/qmgr_due.h"

#include "lib/base/mem.h"

enum { FIRST_BUCKETS = 64, FIRST_ROOM = 64, ID_MAX = 255 };

struct str qmgr_due_id(const struct qmgr_due_entry *e)
{
    return str_of(e->id, e->id_len);
}

// ---- The heap

static void put(struct qmgr_due *d, size_t at, struct qmgr_due_entry *e)
{
    d->heap[at] = e;
    e->position = (uint32_t)at;
}

static void sift_up(struct qmgr_due *d, size_t at, struct qmgr_due_entry *e)
{
    for (size_t parent; at > 0 && e->when < d->heap[parent = (at - 1) / 2]->when; at = parent)
        put(d, at, d->heap[parent]);
    put(d, at, e);
}

static void sift_down(struct qmgr_due *d, size_t at, struct qmgr_due_entry *e)
{
    for (size_t child; (child = 2 * at + 1) < d->heap_count; at = child) {
        if (child + 1 < d->heap_count && d->heap[child + 1]->when < d->heap[child]->when)
            child++;
        if (e->when <= d->heap[child]->when)
            break;
        put(d, at, d->heap[child]);
    }
    put(d, at, e);
}

static void heap_add(struct qmgr_due *d, struct qmgr_due_entry *e)
{
    if (d->heap_count == d->heap_room) {
        d->heap_room = d->heap_room ? d->heap_room + d->heap_room / 2 : FIRST_ROOM;
        d->heap = mem_realloc(d->heap, d->heap_room * sizeof(struct qmgr_due_entry *));
    }
    d->heap_count++;
    sift_up(d, d->heap_count - 1, e);
}

static void heap_remove(struct qmgr_due *d, struct qmgr_due_entry *e)
{
    size_t at = e->position;
    struct qmgr_due_entry *last = d->heap[--d->heap_count];
    e->position = QMGR_DUE_ELSEWHERE;
    if (last == e)
        return;
    if (at > 0 && last->when < d->heap[(at - 1) / 2]->when)
        sift_up(d, at, last);
    else
        sift_down(d, at, last);
}

// ---- The hash

static struct qmgr_due_entry **find_slot(const struct qmgr_due *d, struct str id)
{
    struct qmgr_due_entry **slot = &d->buckets[str_hash(id) & (d->bucket_count - 1)];
    while (*slot != NULL && !str_is(qmgr_due_id(*slot), id))
        slot = &(*slot)->next;
    return slot;
}

static void grow(struct qmgr_due *d)
{
    size_t count = d->bucket_count ? d->bucket_count * 2 : FIRST_BUCKETS;
    struct qmgr_due_entry **buckets = mem_alloc(count * sizeof(struct qmgr_due_entry *));
    for (size_t i = 0; i < d->bucket_count; i++) {
        for (struct qmgr_due_entry *e = d->buckets[i], *next; e != NULL; e = next) {
            struct qmgr_due_entry **slot = &buckets[str_hash(qmgr_due_id(e)) & (count - 1)];
            next = e->next;
            e->next = *slot;
            *slot = e;
        }
    }
    mem_free(d->buckets);
    d->buckets = buckets;
    d->bucket_count = count;
}

struct qmgr_due_entry *qmgr_due_find(const struct qmgr_due *d, struct str id)
{
    return d->count ? *find_slot(d, id) : NULL;
}

static struct qmgr_due_entry *add(struct qmgr_due *d, struct str id, int64_t when)
{
    if (id.len > ID_MAX || d->heap_count >= QMGR_DUE_ELSEWHERE - 1)
        return NULL;
    if (d->count >= d->bucket_count)
        grow(d);
    struct qmgr_due_entry *e = mem_alloc(sizeof *e + id.len);
    struct qmgr_due_entry **slot = find_slot(d, id);
    memcpy(e->id, id.ptr, id.len);
    e->id_len = (uint8_t)id.len;
    e->when = when;
    *slot = e;
    d->count++;
    heap_add(d, e);
    return e;
}

// ---- The index

struct qmgr_due_entry *qmgr_due_set(struct qmgr_due *d, struct str id, int64_t when)
{
    struct qmgr_due_entry *e = qmgr_due_find(d, id);
    if (e == NULL)
        return add(d, id, when);
    if (e->position == QMGR_DUE_ELSEWHERE) {
        list_remove(&e->link);
        e->when = when;
        heap_add(d, e);
        return e;
    }
    bool is_earlier = when < e->when;
    e->when = when;
    if (is_earlier)
        sift_up(d, e->position, e);
    else
        sift_down(d, e->position, e);
    return e;
}

struct qmgr_due_entry *qmgr_due_first(const struct qmgr_due *d)
{
    return d->heap_count ? d->heap[0] : NULL;
}

void qmgr_due_set_aside(struct qmgr_due *d, struct qmgr_due_entry *e, struct list *list)
{
    if (e->position != QMGR_DUE_ELSEWHERE)
        heap_remove(d, e);
    else
        list_remove(&e->link);
    list_init(&e->link);
    list_append(list, &e->link);
}

void qmgr_due_forget(struct qmgr_due *d, struct qmgr_due_entry *e)
{
    struct qmgr_due_entry **slot = find_slot(d, qmgr_due_id(e));
    if (e->position != QMGR_DUE_ELSEWHERE)
        heap_remove(d, e);
    else
        list_remove(&e->link);
    *slot = e->next;
    d->count--;
    mem_free(e);
}

void qmgr_due_release(struct qmgr_due *d)
{
    for (size_t i = 0; i < d->bucket_count; i++)
        for (struct qmgr_due_entry *e = d->buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            mem_free(e);
        }
    mem_free(d->buckets);
    mem_free(d->heap);
    *d = QMGR_DUE_INIT;
}
