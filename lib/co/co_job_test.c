// SPDX-License-Identifier: ISC
// co_job_test.c: unit tests of calls handed to the thread pool.
#include "lib/co/co_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct task {
    int milliseconds;
    int input;
    int output;
    pthread_t ran_in;
    int signals_open; // of SIGTERM, SIGUSR1, SIGCHLD, how many the thread would take
};

static atomic_int now_running, most_running;
static pthread_t loop_thread;
static int released;

static void square(void *data)
{
    struct task *task = data;
    int running = atomic_fetch_add(&now_running, 1) + 1;
    for (int most = atomic_load(&most_running); running > most;)
        if (atomic_compare_exchange_weak(&most_running, &most, running))
            break;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    task->signals_open = !sigismember(&mask, SIGTERM) + !sigismember(&mask, SIGUSR1) + !sigismember(&mask, SIGCHLD);
    if (task->milliseconds)
        usleep((useconds_t)task->milliseconds * 1000);
    task->output = task->input * task->input;
    task->ran_in = pthread_self();
    atomic_fetch_sub(&now_running, 1);
}

static void release_task(void *data)
{
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    ck_assert_ptr_null(co_self());
    released++;
    mem_free(data);
}

static struct task *new_task(int input, int milliseconds)
{
    struct task *task = MEM_NEW(struct task);
    task->input = input;
    task->milliseconds = milliseconds;
    return task;
}

static void hand_over_body(void)
{
    co_assert_running();
    struct task *task = new_task(7, 0);
    ck_assert_int_eq(co_job(square, task, release_task, SOON), 0);
    ck_assert_int_eq(task->output, 49);
    ck_assert(!pthread_equal(task->ran_in, pthread_self()));
    ck_assert_int_eq(task->signals_open, 0);
    mem_free(task); // ours again
    ck_assert_int_eq(released, 0);
}
START_TEST(runs_in_another_thread)
{
    drive(hand_over_body);
}
END_TEST

static void inline_body(void)
{
    co_assert_running();
    struct task task = {.input = 3};
    co_jobs_inline();
    ck_assert_int_eq(co_job(square, &task, NULL, SOON), 0);
    ck_assert_int_eq(task.output, 9);
    ck_assert(pthread_equal(task.ran_in, pthread_self()));
}
START_TEST(runs_inline)
{
    drive(inline_body);
}
END_TEST

static int sum;
static void one_job(void *arg)
{
    co_assert_running();
    struct task *task = new_task((int)(intptr_t)arg, 2);
    ck_assert_int_eq(co_job(square, task, release_task, SOON), 0);
    sum += task->output;
    mem_free(task);
}
static void pool_body(void)
{
    co_assert_running();
    enum { JOBS = 100 };
    struct co *all[JOBS];
    co_jobs_set_threads(4);
    for (intptr_t i = 0; i < JOBS; i++)
        all[i] = co_ref(co_spawn("job", one_job, (void *)i));
    int expected = 0;
    for (int i = 0; i < JOBS; i++) {
        ck_assert_int_eq(co_join(all[i], SOON), 0);
        co_unref(all[i]);
        expected += i * i;
    }
    ck_assert_int_eq(sum, expected);
    ck_assert_int_gt(atomic_load(&most_running), 1);
    ck_assert_int_le(atomic_load(&most_running), 4);
}
START_TEST(pool_is_shared_and_bounded)
{
    drive(pool_body);
}
END_TEST

static void impatient(void *arg)
{
    co_assert_running();
    trace_outcome("job", co_job(square, new_task(1, 60), release_task, clock_ms() + (intptr_t)arg));
    trace(released ? "released" : "detached");
}
static void detach_body(void)
{
    co_assert_running();
    struct co *late = co_ref(co_spawn("late", impatient, (void *)10));
    ck_assert_int_eq(co_join(late, SOON), 0);
    co_unref(late);
    co_sleep_until(clock_ms() + 150);
    trace(released == 1 ? "released" : "held");
    struct co *cancelled = co_ref(co_spawn("cancelled", impatient, (void *)10000));
    co_sleep_until(clock_ms() + 10);
    released = 0;
    co_cancel(cancelled);
    ck_assert_int_eq(co_join(cancelled, SOON), 0);
    co_unref(cancelled);
    // The loop drains: it waits for the job before it ends.
}
START_TEST(a_detached_job_releases_its_data_in_the_loop)
{
    loop_thread = pthread_self();
    drive_expect(detach_body, "job:timeout detached released job:cancelled detached ");
    ck_assert_int_eq(released, 1);
}
END_TEST

static void release_early(void *data)
{
    released++;
    mem_free(data);
}
static void cancelled_before_body(void)
{
    co_assert_running();
    co_cancel(co_self());
    trace_outcome("job", co_job(square, new_task(1, 0), release_early, SOON));
    ck_assert_int_eq(released, 1); // on failure the data is never the caller's
}
START_TEST(a_cancelled_caller_starts_nothing)
{
    drive_expect(cancelled_before_body, "job:cancelled ");
}
END_TEST

static Suite *job_suite(void)
{
    Suite *suite = suite_create("co_job");
    TCase *tc = tcase_create("jobs");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, runs_in_another_thread);
    tcase_add_test(tc, runs_inline);
    tcase_add_test(tc, pool_is_shared_and_bounded);
    tcase_add_test(tc, a_detached_job_releases_its_data_in_the_loop);
    tcase_add_test(tc, a_cancelled_caller_starts_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    return run_suite(job_suite());
}
