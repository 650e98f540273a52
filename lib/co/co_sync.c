// SPDX-License-Identifier: ISC
// co_sync.c: events and locks among coroutines.
#include <errno.h>

#include "lib/co/co_internal.h"

void co_event_init(struct co_event *ev)
{
    list_init(&ev->waiters);
}

int co_event_wait(struct co_event *ev, int64_t deadline)
{
    struct co *self = co_running_self();
    int failed = ECANCELED;
    if (!self->cancelled) {
        list_append(&ev->waiters, &self->waits); // co_wake takes it out again
        failed = co_suspend(deadline);
    }
    if (failed == 0)
        return 0;
    errno = failed;
    return -1;
}

static struct co *wake_first(struct co_event *ev)
{
    struct list *first = list_first(&ev->waiters);
    if (first == NULL)
        return NULL;
    struct co *co = container_of(first, struct co, waits);
    co_wake(co, 0);
    return co;
}

void co_event_signal(struct co_event *ev)
{
    wake_first(ev);
}

void co_event_broadcast(struct co_event *ev)
{
    while (wake_first(ev))
        continue;
}

void co_lock_init(struct co_lock *lock)
{
    lock->owner = NULL;
    co_event_init(&lock->released);
}

int co_lock_acquire(struct co_lock *lock, int64_t deadline)
{
    struct co *self = co_running_self();
    if (lock->owner == self)
        bug("coroutine %s takes a lock twice", self->name);
    if (lock->owner)
        return co_event_wait(&lock->released, deadline); // the one who releases makes us the owner
    if (self->cancelled) {
        errno = ECANCELED;
        return -1;
    }
    lock->owner = self;
    return 0;
}

void co_lock_release(struct co_lock *lock)
{
    if (lock->owner == NULL || lock->owner != co_self())
        bug("a lock is released by another than its owner");
    lock->owner = wake_first(&lock->released);
}
