// SPDX-License-Identifier: ISC
// co_loop.c: the event loop: ready queue, timers, plain watches and signals.
// Limits: at most RUNS_PER_TURN coroutines run before the kernel is asked for news.
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>

#include "lib/base/mem.h"
#include "lib/co/co_internal.h"

enum { RUNS_PER_TURN = 64 };

struct co_loop co_the_loop = {.ready = LIST_INIT(co_the_loop.ready), .all = LIST_INIT(co_the_loop.all)};

struct co_watch {
    struct event event;
    void (*fn)(int fd, int events, void *arg);
    void *arg;
};

struct co_timer {
    struct co_timer_node node;
    void (*fn)(void *arg);
    void *arg;
};

struct signal_watch {
    struct signal_watch *next;
    struct event event;
    void (*fn)(int signo, void *arg);
    void *arg;
};
static struct signal_watch *signal_watches;

// ---- Timers: a binary heap over keys; slot 1 is the earliest.

struct heap_entry {
    int64_t key;
    struct co_timer_node *node;
};
static struct {
    struct heap_entry *entries; // [1 .. count]
    size_t count, cap;
    struct event event;   // the one timeout libevent knows of
    int64_t event_is_for; // the key it is set for, or CLOCK_NEVER
} heap;

static void heap_put(size_t slot, struct heap_entry entry)
{
    heap.entries[slot] = entry;
    entry.node->slot = slot;
}

static void sift_up(size_t slot, struct heap_entry entry)
{
    for (; slot > 1 && heap.entries[slot / 2].key > entry.key; slot /= 2)
        heap_put(slot, heap.entries[slot / 2]);
    heap_put(slot, entry);
}

static void sift_down(size_t slot, struct heap_entry entry)
{
    for (size_t child; (child = slot * 2) <= heap.count; slot = child) {
        if (child < heap.count && heap.entries[child + 1].key < heap.entries[child].key)
            child++;
        if (heap.entries[child].key >= entry.key)
            break;
        heap_put(slot, heap.entries[child]);
    }
    heap_put(slot, entry);
}

static void heap_insert(struct co_timer_node *node)
{
    if (heap.count + 1 >= heap.cap) {
        heap.cap = heap.cap ? heap.cap * 2 : 64;
        heap.entries = mem_realloc(heap.entries, heap.cap * sizeof *heap.entries);
    }
    node->key = node->deadline;
    heap.count++;
    sift_up(heap.count, (struct heap_entry){node->key, node});
}

void co_timer_node_init(struct co_timer_node *node, void (*fire)(struct co_timer_node *node))
{
    *node = (struct co_timer_node){.deadline = CLOCK_NEVER, .fire = fire};
}

void co_timer_node_set(struct co_timer_node *node, int64_t deadline)
{
    node->deadline = deadline;
    if (deadline == CLOCK_NEVER)
        return;
    if (node->slot == 0) {
        heap_insert(node);
    } else if (deadline < node->key) {
        node->key = deadline;
        sift_up(node->slot, (struct heap_entry){deadline, node});
    }
}

void co_timer_node_remove(struct co_timer_node *node)
{
    size_t slot = node->slot;
    if (slot == 0)
        return;
    node->slot = 0;
    struct heap_entry last = heap.entries[heap.count--];
    if (slot > heap.count)
        return;
    if (slot > 1 && heap.entries[slot / 2].key > last.key)
        sift_up(slot, last);
    else
        sift_down(slot, last);
}

// Fires what is due; each timer at most once, so that a timer set again at once does not hold the loop.
static void fire_timers(void)
{
    if (heap.count == 0)
        return;
    int64_t now = clock_ms();
    for (size_t left = heap.count; left > 0 && heap.count > 0 && heap.entries[1].key <= now; left--) {
        struct co_timer_node *node = heap.entries[1].node;
        if (node->deadline <= now) {
            co_timer_node_remove(node);
            node->deadline = CLOCK_NEVER;
            node->fire(node);
        } else if (node->deadline == CLOCK_NEVER) {
            co_timer_node_remove(node);
        } else {
            node->key = node->deadline;
            sift_down(1, (struct heap_entry){node->key, node});
        }
    }
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    heap.event_is_for = CLOCK_NEVER;
}

static void set_timeout(void)
{
    int64_t key = heap.count ? heap.entries[1].key : CLOCK_NEVER;
    if (key == heap.event_is_for)
        return;
    heap.event_is_for = key;
    if (key == CLOCK_NEVER) {
        evtimer_del(&heap.event);
        return;
    }
    int64_t delay = key - clock_ms();
    if (delay < 0)
        delay = 0;
    struct timeval tv = {.tv_sec = (time_t)(delay / 1000), .tv_usec = (suseconds_t)(delay % 1000 * 1000)};
    evtimer_add(&heap.event, &tv);
}

static void timer_fired(struct co_timer_node *node)
{
    struct co_timer *timer = container_of(node, struct co_timer, node);
    timer->fn(timer->arg);
}

struct co_timer *co_timer_new(void (*fn)(void *arg), void *arg)
{
    struct co_timer *timer = MEM_NEW(struct co_timer);
    timer->fn = fn;
    timer->arg = arg;
    co_timer_node_init(&timer->node, timer_fired);
    return timer;
}

void co_timer_set(struct co_timer *t, int64_t deadline)
{
    co_timer_node_set(&t->node, deadline);
}

void co_timer_free(struct co_timer *t)
{
    if (t == NULL)
        return;
    co_timer_node_remove(&t->node);
    mem_free(t);
}

// ---- Plain watches and signals

static void watch_fired(evutil_socket_t fd, short what, void *arg)
{
    struct co_watch *w = arg;
    w->fn((int)fd, ((what & EV_READ) ? CO_READ : 0) | ((what & EV_WRITE) ? CO_WRITE : 0), w->arg);
}

struct co_watch *co_watch_fd(int fd, int events, bool level, void (*fn)(int fd, int events, void *arg), void *arg)
{
    struct co_watch *w = MEM_NEW(struct co_watch);
    w->fn = fn;
    w->arg = arg;
    short what = (short)(EV_PERSIST | (level ? 0 : EV_ET) | ((events & CO_READ) ? EV_READ : 0) |
                         ((events & CO_WRITE) ? EV_WRITE : 0));
    if (event_assign(&w->event, co_the_loop.base, fd, what, watch_fired, w) < 0 || event_add(&w->event, NULL) < 0)
        die("cannot watch descriptor %d", fd);
    return w;
}

void co_watch_free(struct co_watch *w)
{
    if (w == NULL)
        return;
    event_del(&w->event);
    mem_free(w);
}

static void signal_fired(evutil_socket_t signo, short what, void *arg)
{
    struct signal_watch *w = arg;
    w->fn((int)signo, w->arg);
}

void co_on_signal(int signo, void (*fn)(int signo, void *arg), void *arg)
{
    struct signal_watch *w = MEM_NEW(struct signal_watch);
    w->fn = fn;
    w->arg = arg;
    w->next = signal_watches;
    signal_watches = w;
    if (event_assign(&w->event, co_the_loop.base, signo, EV_SIGNAL | EV_PERSIST, signal_fired, w) < 0 ||
        event_add(&w->event, NULL) < 0)
        die("cannot watch signal %d", signo);
}

// ---- The loop

void co_loop_init(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        die("no event loop");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_require_features(config, EV_FEATURE_ET);
    co_the_loop.base = event_base_new_with_config(config);
    event_config_free(config);
    if (co_the_loop.base == NULL)
        die("no event loop");
    co_the_loop.has_early_close = (event_base_get_features(co_the_loop.base) & EV_FEATURE_EARLY_CLOSE) != 0;
    co_the_loop.stopping = co_the_loop.draining = false;
    co_context_main(&co_the_loop.main);
    heap.event_is_for = CLOCK_NEVER;
    evtimer_assign(&heap.event, co_the_loop.base, on_timeout, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void turn(void)
{
    fire_timers();
    for (int i = 0; i < RUNS_PER_TURN; i++) {
        struct list *first = list_first(&co_the_loop.ready);
        if (first == NULL)
            break;
        co_resume(container_of(first, struct co, queue));
    }
    int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
    if (list_first(&co_the_loop.ready) || (co_the_loop.stopping && !co_the_loop.draining))
        flags |= EVLOOP_NONBLOCK;
    else if (co_the_loop.draining && co_the_loop.count == 0 && !co_jobs_are_pending())
        return;
    else
        set_timeout();
    event_base_loop(co_the_loop.base, flags);
}

static void ignore_timer(void *arg)
{
}

// Cancels all and runs on until all have ended.
static void drain(int64_t grace_ms)
{
    co_the_loop.draining = true;
    LIST_EACH(link, &co_the_loop.all)
    co_cancel(container_of(link, struct co, all));
    int64_t end = clock_ms() + grace_ms;
    struct co_timer *alarm_clock = co_timer_new(ignore_timer, NULL); // so that the last wait ends
    co_timer_set(alarm_clock, end);
    while ((co_the_loop.count || co_jobs_are_pending()) && clock_ms() < end)
        turn();
    co_timer_free(alarm_clock);
#ifdef CO_DEBUG
    if (co_the_loop.count)
        bug("coroutine %s does not end when cancelled (%s)", container_of(co_the_loop.all.next, struct co, all)->name,
            container_of(co_the_loop.all.next, struct co, all)->action);
#endif
}

void co_loop_run(int64_t grace_ms)
{
    if (co_the_loop.running)
        bug("the loop is run from inside a coroutine");
    while (!co_the_loop.stopping)
        turn();
    drain(grace_ms);
}

void co_loop_stop(void)
{
    co_the_loop.stopping = true;
}

void co_loop_free(void)
{
    co_jobs_free();
    co_stacks_free();
    while (signal_watches) {
        struct signal_watch *w = signal_watches;
        signal_watches = w->next;
        event_del(&w->event);
        mem_free(w);
    }
    event_del(&heap.event);
    mem_free(heap.entries);
    memset(&heap, 0, sizeof heap);
    event_base_free(co_the_loop.base);
    co_the_loop.base = NULL;
}
