// SPDX-License-Identifier: ISC
// co.h: coroutines over one event loop, one loop a process.
//
// Every function that may suspend is marked CO and every wait has a deadline (monotonic milliseconds, clock_ms();
// CLOCK_NEVER only where a comment says why). A wait returns 0, or -1 with errno ETIMEDOUT or ECANCELED.
// Cancelling makes the current and all later waits return ECANCELED; the coroutine unwinds itself. Only the loop
// resumes: signals, threads and completions put the coroutine on the ready queue. Errors of ours abort: resuming a
// running or finished coroutine, suspending outside a coroutine or inside an atomic section, a stack overrun (guard
// page).
#ifndef DROMOS_CO_CO_H
#define DROMOS_CO_CO_H

#include <sys/types.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/list.h"

// Static check of the suspension rules: clang -Wthread-safety sees two dummy capabilities.
#if defined(__clang__)
#define CO_ATTRIBUTE(x) __attribute__((x))
#else
#define CO_ATTRIBUTE(x)
#endif
struct CO_ATTRIBUTE(capability("coroutine")) co_capability {
    int dummy;
};
extern struct co_capability co_running;    // held inside a coroutine
extern struct co_capability co_no_suspend; // held inside an atomic section
#define CO CO_ATTRIBUTE(requires_capability(co_running)) CO_ATTRIBUTE(locks_excluded(co_no_suspend))

// Brackets for changes to what several coroutines share: nothing may suspend between them (checked statically by
// clang, at run time by every wait).
void co_atomic_begin(void) CO_ATTRIBUTE(acquire_capability(co_no_suspend));
void co_atomic_end(void) CO_ATTRIBUTE(release_capability(co_no_suspend));

// Entry points reached by pointer (a spawned function, a callback of a service) start with this: it asserts at run time
// that a coroutine is running, and tells the static check so.
void co_assert_running(void) CO_ATTRIBUTE(assert_capability(co_running));

#define CO_STACK_SIZE (256 * 1024)
#define CO_NAME_MAX   32

struct co;

// Starts fn(arg) in a new coroutine at the next turn of the loop. The name is for people (gdb, logs); copied, cut.
// The coroutine is detached: its memory goes when fn returns, unless somebody holds a co_ref (see co_join).
struct co *co_spawn(const char *name, void (*fn)(void *arg), void *arg);
struct co *co_self(void);            // NULL outside a coroutine
uint64_t co_id(const struct co *co); // never reused within a process
void co_cancel(struct co *co);       // must not have finished unless a reference is held
bool co_is_cancelled(void);          // of the running coroutine
// A reference keeps the struct (not the stack) after the end, so that join and cancel are safe.
struct co *co_ref(struct co *co);
void co_unref(struct co *co);
bool co_has_finished(const struct co *co);                  // a reference is needed
int co_join(struct co *co, int64_t deadline) CO MUST_CHECK; // a reference is needed
void co_set_action(const char *text);                       // static text: what this session is doing, for gdb and logs
const char *co_name(const struct co *co);
unsigned co_count(void);          // alive in this process
size_t co_stack_high_water(void); // most bytes of stack ever used (painted builds), else 0

void co_sleep_until(int64_t deadline) CO; // returns early only when cancelled
int co_yield (void) CO;                   // lets others run; -1 if cancelled

// ---- Descriptors: registered once, edge-triggered; readiness is sticky.
struct co_fd;                       // owns nothing but the registration
struct co_fd *co_fd_new(int fd);    // makes fd non-blocking and registers it; die() if the kernel refuses
void co_fd_free(struct co_fd *cfd); // before close(fd); no coroutine may be waiting
int co_fd_number(const struct co_fd *cfd);
enum { CO_READ = 1, CO_WRITE = 2 };
// Waits until an I/O call may succeed. Call only after EAGAIN (co_fd_again) or when readiness is unknown: returns at
// once while readiness is set. Returns the ready subset of `events`, or -1 (ETIMEDOUT, ECANCELED).
int co_fd_wait(struct co_fd *cfd, int events, int64_t deadline) CO MUST_CHECK;
void co_fd_again(struct co_fd *cfd, int events); // the kernel said EAGAIN: clears readiness
// A read returned less than asked on a stream socket: the next read would say EAGAIN. Clears CO_READ where that is safe
// (Linux: EPOLLRDHUP is watched and has not been seen), saving a system call; else does nothing.
void co_fd_short_read(struct co_fd *cfd);
// What the loop knows without a system call: false when nothing to read, no end and no error had been seen at its last
// turn.
bool co_fd_may_read(const struct co_fd *cfd);
// read/write/accept that wait as needed. >=0, or -1 with errno (ETIMEDOUT, ECANCELED or the kernel's). read: 0 is end
// of file.
ssize_t co_read(struct co_fd *cfd, void *data, size_t size, int64_t deadline) CO MUST_CHECK;
ssize_t co_write_all(struct co_fd *cfd, const void *data, size_t size, int64_t deadline) CO MUST_CHECK; // all or -1
int co_accept(struct co_fd *cfd, int64_t deadline) CO MUST_CHECK; // a new non-blocking close-on-exec descriptor
struct sockaddr;
int co_connect(struct co_fd *cfd, const struct sockaddr *sa, unsigned sa_len, int64_t deadline) CO MUST_CHECK;

// ---- Events: a condition that coroutines wait for. Not a counter: signal wakes the waiters of this moment.
struct co_event {
    struct list waiters;
};
void co_event_init(struct co_event *ev);
int co_event_wait(struct co_event *ev, int64_t deadline) CO MUST_CHECK;
void co_event_signal(struct co_event *ev);    // wakes one waiter, first come first served
void co_event_broadcast(struct co_event *ev); // wakes all

// ---- Mutual exclusion among coroutines, first come first served.
struct co_lock {
    struct co *owner;
    struct co_event released;
};
void co_lock_init(struct co_lock *lock);
int co_lock_acquire(struct co_lock *lock, int64_t deadline) CO MUST_CHECK;
void co_lock_release(struct co_lock *lock);

// ---- Jobs: calls that block, on a pool of threads (or inline, see co_jobs_inline).
// The job owns `data` until it is done: when the waiter times out or is cancelled it detaches, and `release` (may be
// NULL) is called on `data` in the loop thread once fn returned; otherwise the waiter owns data again on return 0.
// fn runs with signals blocked and must not touch anything of the loop: no arenas, no sessions, no logging of peers.
int co_job(void (*fn)(void *data), void *data, void (*release)(void *data), int64_t deadline) CO MUST_CHECK;
void co_jobs_set_threads(unsigned max); // default 8; before the first job
void co_jobs_inline(void);              // run jobs in the caller: for processes that change identity (rule 10)

// ---- The loop.
void co_loop_init(void);
// Runs until co_loop_stop; then cancels every coroutine and runs on until all have ended or grace_ms has passed
// (bug() in debug builds when one is left). Called once, from main, outside any coroutine.
void co_loop_run(int64_t grace_ms);
void co_loop_stop(void);
void co_loop_free(void); // frees pools, stacks and the loop: leak checkers then see real leaks only
// Plain callbacks for programs without coroutines (master) and for glue such as c-ares. Edge-triggered unless `level`.
struct co_watch;
struct co_watch *co_watch_fd(int fd, int events, bool level, void (*fn)(int fd, int events, void *arg), void *arg);
void co_watch_free(struct co_watch *w);
struct co_timer; // one-shot
struct co_timer *co_timer_new(void (*fn)(void *arg), void *arg);
void co_timer_set(struct co_timer *t, int64_t deadline); // CLOCK_NEVER disarms
void co_timer_free(struct co_timer *t);
void co_on_signal(int signo, void (*fn)(int signo, void *arg), void *arg); // fn runs in the loop, not in the handler

#endif
