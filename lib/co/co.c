// SPDX-License-Identifier: ISC
// co.c: coroutines: their start, suspension, cancellation and end.
#include "lib/co/co.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/co/co_internal.h"

struct co_capability co_running, co_no_suspend;

// ---- Life

static void wait_timed_out(struct co_timer_node *node)
{
    co_wake(container_of(node, struct co, timer), ETIMEDOUT);
}

struct co *co_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
    struct co *co = MEM_NEW(struct co);
    co->id = ++co_the_loop.last_id;
    co->refs = 1;
    co->fn = fn;
    co->arg = arg;
    co->action = "";
    co->cancelled = co_the_loop.draining;
    co->state = CO_STATE_READY;
    snprintf(co->name, sizeof co->name, "%s", name);
    list_init(&co->waits);
    co_timer_node_init(&co->timer, wait_timed_out);
    co_event_init(&co->finished);
    list_append(&co_the_loop.all, &co->all);
    list_append(&co_the_loop.ready, &co->queue);
    co_the_loop.count++;
    return co;
}

// The lowest frame of every coroutine. A kept stack stays suspended in here and serves the next coroutine.
static void entry(void)
{
    for (;;) {
        struct co *co = co_the_loop.running;
        co_context_entered(&co->stack->context, &co_the_loop.main);
        co->fn(co->arg);
        if (co_the_loop.atomic_depth)
            bug("coroutine %s ended inside an atomic section", co->name);
        co->state = CO_STATE_FINISHED;
        co_switch(&co->stack->context, &co_the_loop.main, true);
    }
}

static void co_end(struct co *co)
{
    co_stack_give(co->stack);
    co->stack = NULL;
    co_timer_node_remove(&co->timer);
    list_remove(&co->all);
    co_the_loop.count--;
    co_event_broadcast(&co->finished);
    co_unref(co);
}

void co_resume(struct co *co)
{
    static const char *const states[] = {"ready", "running", "suspended", "finished"};
    if (co->state != CO_STATE_READY || co_the_loop.running)
        bug("coroutine %s resumed while %s", co->name, states[co->state]);
    list_remove(&co->queue);
    co->state = CO_STATE_RUNNING;
    co_the_loop.running = co;
    if (co->stack == NULL)
        co->stack = co_stack_take(entry);
    co_switch(&co_the_loop.main, &co->stack->context, false);
    co_the_loop.running = NULL;
    if (co->state == CO_STATE_FINISHED)
        co_end(co);
}

struct co *co_ref(struct co *co)
{
    co->refs++;
    return co;
}

void co_unref(struct co *co)
{
    if (--co->refs == 0)
        mem_free(co);
}

// ---- Waiting

struct co *co_running_self(void)
{
    if (co_the_loop.running == NULL)
        bug("a wait outside a coroutine");
    return co_the_loop.running;
}

int co_suspend(int64_t deadline)
{
    struct co *self = co_running_self();
    if (co_the_loop.atomic_depth)
        bug("coroutine %s waits inside an atomic section", self->name);
    if (self->cancelled)
        return ECANCELED;
    co_timer_node_set(&self->timer, deadline);
    self->state = CO_STATE_SUSPENDED;
    co_switch(&self->stack->context, &co_the_loop.main, false);
    return self->result;
}

void co_wake(struct co *co, int result)
{
    if (co->state != CO_STATE_SUSPENDED)
        return;
    list_remove(&co->waits);
    co_timer_node_set(&co->timer, CLOCK_NEVER);
    co->result = result;
    co->state = CO_STATE_READY;
    list_append(&co_the_loop.ready, &co->queue);
}

void co_cancel(struct co *co)
{
    if (co->state == CO_STATE_FINISHED)
        return;
    co->cancelled = true;
    co_wake(co, ECANCELED);
}

int co_join(struct co *co, int64_t deadline)
{
    if (co == co_running_self())
        bug("coroutine %s joins itself", co->name);
    while (!co_has_finished(co))
        if (co_event_wait(&co->finished, deadline) < 0)
            return -1;
    return 0;
}

void co_sleep_until(int64_t deadline)
{
    while (co_suspend(deadline) == 0)
        continue; // nobody wakes a sleeper, so this is once
}

int co_yield (void)
{
    struct co *self = co_running_self();
    if (co_the_loop.atomic_depth)
        bug("coroutine %s yields inside an atomic section", self->name);
    if (!self->cancelled) {
        self->state = CO_STATE_SUSPENDED;
        co_wake(self, 0);
        co_switch(&self->stack->context, &co_the_loop.main, false);
    }
    if (!self->cancelled)
        return 0;
    errno = ECANCELED;
    return -1;
}

// ---- Rules

CO_UNCHECKED void co_atomic_begin(void)
{
    co_the_loop.atomic_depth++;
}

CO_UNCHECKED void co_atomic_end(void)
{
    if (co_the_loop.atomic_depth == 0)
        bug("end of an atomic section that was not begun");
    co_the_loop.atomic_depth--;
}

CO_UNCHECKED void co_assert_running(void)
{
    if (co_the_loop.running == NULL)
        bug("called outside a coroutine");
}

// ---- Questions

struct co *co_self(void)
{
    return co_the_loop.running;
}

uint64_t co_id(const struct co *co)
{
    return co->id;
}

bool co_is_cancelled(void)
{
    return co_running_self()->cancelled;
}

bool co_has_finished(const struct co *co)
{
    return co->state == CO_STATE_FINISHED;
}

void co_set_action(const char *text)
{
    if (co_the_loop.running)
        co_the_loop.running->action = text;
}

const char *co_name(const struct co *co)
{
    return co->name;
}

unsigned co_count(void)
{
    return co_the_loop.count;
}
