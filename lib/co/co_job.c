// SPDX-License-Identifier: ISC
// co_job.c: calls that block, run by a small pool of threads and awaited by coroutines.
// Limits: QUEUE_MAX jobs wait or run at a time; further callers wait for room.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "lib/base/mem.h"
#include "lib/co/co_internal.h"

enum { THREADS_DEFAULT = 8, THREADS_MAX = 64, QUEUE_MAX = 1024, THREAD_STACK = 1024 * 1024 };

struct job {
    struct list link;
    void (*fn)(void *data);
    void *data;
    void (*release)(void *data);
    struct co *waiter; // loop thread only; NULL = nobody waits any more
    bool is_done;      // loop thread only
};

static struct {
    pthread_mutex_t mutex; // guards the lists, idle and quitting
    pthread_cond_t work;
    struct list queued;
    struct list done;
    unsigned queued_count;
    unsigned idle;
    bool quitting;
    // The rest belongs to the loop thread.
    unsigned max_threads;
    unsigned thread_count;
    pthread_t threads[THREADS_MAX];
    unsigned pending; // submitted, and not seen done
    bool is_inline;
    int wake[2]; // read and write end; one eventfd on Linux
    struct co_watch *watch;
    struct co_event room;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .queued = LIST_INIT(pool.queued),
          .done = LIST_INIT(pool.done),
          .max_threads = THREADS_DEFAULT,
          .wake = {-1, -1},
          .room = {LIST_INIT(pool.room.waiters)}};

// ---- In the threads

static void announce(void)
{
#ifdef __linux__
    uint64_t one = 1;
    (void)!write(pool.wake[1], &one, sizeof one);
#else
    (void)!write(pool.wake[1], "", 1);
#endif
}

static struct job *next_job(void) // NULL: the pool ends
{
    struct list *first;
    pthread_mutex_lock(&pool.mutex);
    while ((first = list_first(&pool.queued)) == NULL && !pool.quitting) {
        pool.idle++;
        pthread_cond_wait(&pool.work, &pool.mutex);
        pool.idle--;
    }
    if (first) {
        list_remove(first);
        pool.queued_count--;
    }
    pthread_mutex_unlock(&pool.mutex);
    return first ? container_of(first, struct job, link) : NULL;
}

// Whoever is woken wants the mutex: so all waking is done outside it.
static void *work(void *arg)
{
    for (struct job *job; (job = next_job()) != NULL;) {
        job->fn(job->data);
        pthread_mutex_lock(&pool.mutex);
        bool is_first = list_is_empty(&pool.done);
        list_append(&pool.done, &job->link);
        pthread_mutex_unlock(&pool.mutex);
        if (is_first)
            announce();
    }
    return NULL;
}

// ---- In the loop thread

static void finish(struct job *job)
{
    pool.pending--;
    if (job->waiter) {
        job->is_done = true;
        co_wake(job->waiter, 0);
        return;
    }
    if (job->release)
        job->release(job->data);
    mem_free(job);
}

// The eventfd is never read: each write of a thread is an edge of its own.
static void on_done(int fd, int events, void *arg)
{
#ifndef __linux__
    char bytes[64];
    while (read(fd, bytes, sizeof bytes) > 0)
        continue;
#endif
    struct list done = LIST_INIT(done);
    pthread_mutex_lock(&pool.mutex);
    if (!list_is_empty(&pool.done)) {
        list_insert_between(&done, pool.done.prev, pool.done.next);
        list_init(&pool.done);
    }
    pthread_mutex_unlock(&pool.mutex);
    for (struct list *first; (first = list_first(&done)) != NULL;) {
        list_remove(first);
        finish(container_of(first, struct job, link));
        co_event_signal(&pool.room);
    }
}

static void open_wake(void)
{
#ifdef __linux__
    pool.wake[0] = pool.wake[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool.wake[0] < 0)
        die("no descriptor for the thread pool");
#else
    if (pipe2(pool.wake, O_CLOEXEC | O_NONBLOCK) < 0)
        die("no descriptor for the thread pool");
#endif
    pool.watch = co_watch_fd(pool.wake[0], CO_READ, false, on_done, NULL);
}

static void add_thread(void)
{
    sigset_t all, before;
    pthread_attr_t attr;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int failed = pthread_create(&pool.threads[pool.thread_count], &attr, work, NULL);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        pool.thread_count++;
    else if (pool.thread_count == 0)
        die("no thread for calls that block");
}

static void submit(struct job *job)
{
    if (pool.watch == NULL)
        open_wake();
    pthread_mutex_lock(&pool.mutex);
    list_append(&pool.queued, &job->link);
    pool.queued_count++;
    bool is_short = pool.queued_count > pool.idle, has_idle = pool.idle > 0;
    pthread_mutex_unlock(&pool.mutex);
    if (has_idle)
        pthread_cond_signal(&pool.work);
    pool.pending++;
    if (is_short && pool.thread_count < pool.max_threads)
        add_thread();
}

static int give_up(void (*release)(void *data), void *data, int error)
{
    if (release)
        release(data);
    errno = error;
    return -1;
}

int co_job(void (*fn)(void *data), void *data, void (*release)(void *data), int64_t deadline)
{
    struct co *self = co_running_self();
    if (self->cancelled)
        return give_up(release, data, ECANCELED);
    if (pool.is_inline) {
        fn(data);
        return 0;
    }
    while (pool.pending >= QUEUE_MAX)
        if (co_event_wait(&pool.room, deadline) < 0)
            return give_up(release, data, errno);
    struct job *job = MEM_NEW(struct job);
    *job = (struct job){.fn = fn, .data = data, .release = release, .waiter = self};
    submit(job);
    int failed = co_suspend(deadline);
    if (job->is_done) { // also when the deadline came in the same turn
        mem_free(job);
        return 0;
    }
    job->waiter = NULL;
    errno = failed;
    return -1;
}

void co_jobs_set_threads(unsigned max)
{
    pool.max_threads = max < 1 ? 1 : max > THREADS_MAX ? THREADS_MAX : max;
}

void co_jobs_inline(void)
{
    pool.is_inline = true;
}

bool co_jobs_are_pending(void)
{
    return pool.pending > 0;
}

// A call that still blocks is left to the end of the process.
void co_jobs_free(void)
{
    if (pool.pending)
        return;
    pthread_mutex_lock(&pool.mutex);
    pool.quitting = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
    for (unsigned i = 0; i < pool.thread_count; i++)
        pthread_join(pool.threads[i], NULL);
    pool.thread_count = 0;
    pool.quitting = false;
    if (pool.watch) {
        co_watch_free(pool.watch);
        pool.watch = NULL;
        close(pool.wake[0]);
        if (pool.wake[1] != pool.wake[0])
            close(pool.wake[1]);
    }
}
