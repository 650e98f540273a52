// SPDX-License-Identifier: ISC
// co_internal.h: what the files of lib/co share; nobody else includes it but their tests.
#ifndef DROMOS_CO_INTERNAL_H
#define DROMOS_CO_INTERNAL_H

#include "lib/co/co.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CO_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CO_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(CO_ASAN)
#define CO_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(CO_TSAN)
#define CO_TSAN 1
#endif

// Debug builds look closer: stacks are painted, what is left over at the end is an error.
#if defined(CO_PAINT) || defined(CO_ASAN) || defined(CO_TSAN)
#define CO_DEBUG 1
#endif

// Entering and leaving a context by setjmp needs no system call; the sanitizers and other C libraries get swapcontext.
#if defined(__GLIBC__) && !defined(CO_ASAN) && !defined(CO_TSAN)
#define CO_SETJMP 1
#endif

// For the functions that make the capabilities true.
#define CO_UNCHECKED CO_ATTRIBUTE(no_thread_safety_analysis)

#ifdef CO_SETJMP
#include <setjmp.h>
#else
#include <ucontext.h>
#endif

// ---- co_switch.c: machine contexts

struct co_context {
#ifdef CO_SETJMP
    jmp_buf env;
    bool started; // else the first switch to it enters `entry`
#else
    ucontext_t uc;
#endif
    void (*entry)(void);
    char *stack; // lowest address and size; the loop's own context learns them at the first switch (ASan)
    size_t stack_size;
    void *frame;     // frame pointer at suspension, for co_gdb.py
    void *sanitizer; // ASan: the fake stack; TSan: the fiber
};
void co_context_main(struct co_context *context); // the context that is running: the loop's
void co_context_prepare(struct co_context *context, void (*entry)(void), char *stack, size_t size);
void co_context_entered(struct co_context *context, struct co_context *main); // first thing in entry, each time
void co_context_release(struct co_context *context);
// Suspends `from` and runs `to`. `ends`: from is not coming back as the same coroutine.
void co_switch(struct co_context *from, struct co_context *to, bool ends);

// ---- co_stack.c: stacks

struct co_stack { // stands at the high end of its own mapping
    struct list link;
    char *map; // the guard page
    size_t map_size;
    struct co_context context;
};
struct co_stack *co_stack_take(void (*entry)(void));
void co_stack_give(struct co_stack *stack);
void co_stacks_free(void);

// ---- Coroutines (co.c)

enum co_state { CO_STATE_READY, CO_STATE_RUNNING, CO_STATE_SUSPENDED, CO_STATE_FINISHED };

// A timer in the heap. `key` is its place there and never later than `deadline`: a wait that ends early leaves the node
// where it is, and the next wait usually only stores a later deadline.
struct co_timer_node {
    int64_t deadline;
    int64_t key;
    size_t slot; // place in the heap, from 1; 0 = not in it
    void (*fire)(struct co_timer_node *node);
};

struct co {
    struct list all;   // in co_the_loop.all
    struct list queue; // in co_the_loop.ready
    struct list waits; // in the waiters of an event
    uint64_t id;
    enum co_state state;
    bool cancelled;
    int result; // of the wait that ended: 0 or an errno
    unsigned refs;
    struct co_stack *stack; // NULL before the first run and after the end
    const char *action;
    void (*fn)(void *arg);
    void *arg;
    struct co_timer_node timer;
    struct co_event finished;
    char name[CO_NAME_MAX];
};

// The running coroutine; bug() outside one.
struct co *co_running_self(void);
// Ends the running coroutine's turn until co_wake, cancellation or the deadline. 0, or ETIMEDOUT or ECANCELED.
int co_suspend(int64_t deadline);
// Puts a suspended coroutine on the ready queue; result 0 or an errno. Does nothing if it is not suspended.
void co_wake(struct co *co, int result);
// Runs a ready coroutine until it suspends or ends. Only the loop calls it.
void co_resume(struct co *co);

// ---- The loop (co_loop.c)

struct event_base;
struct co_loop {
    struct event_base *base;
    struct co_context main;
    struct co *running;
    struct list ready;
    struct list all;
    unsigned count;
    uint64_t last_id;
    unsigned atomic_depth;
    bool has_early_close; // the kernel tells of half-closed streams
    bool stopping;        // leave the main part of co_loop_run
    bool draining;        // cancel whatever starts now
};
extern struct co_loop co_the_loop;

void co_timer_node_init(struct co_timer_node *node, void (*fire)(struct co_timer_node *node));
void co_timer_node_set(struct co_timer_node *node, int64_t deadline); // CLOCK_NEVER disarms
void co_timer_node_remove(struct co_timer_node *node);                // before its memory goes

// ---- Jobs (co_job.c)
bool co_jobs_are_pending(void);
void co_jobs_free(void);

#endif
