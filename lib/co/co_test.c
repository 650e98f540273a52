// SPDX-License-Identifier: ISC
// co_test.c: unit tests of scheduling, cancellation, deadlines, join, events, locks and the rules of suspension.
#include "lib/co/co_test.h"

#include <signal.h>

// ---- Order

static void say_twice(void *arg)
{
    co_assert_running();
    const char *name = arg;
    trace(name);
    if (co_yield () == 0)
        trace(name);
}

//  queue          main                     what it says
//  a b m          -                        m1
//  m a b          spawns c, yields         a b m2
//  a b c m        yields                   a b c
//  c m            ends                     c m3
static void order_body(void)
{
    co_assert_running();
    co_spawn("a", say_twice, NAME("a"));
    co_spawn("b", say_twice, NAME("b"));
    trace("m1");
    ck_assert_int_eq(co_yield (), 0);
    trace("m2");
    co_spawn("c", say_twice, NAME("c"));
    ck_assert_int_eq(co_yield (), 0);
    ck_assert_int_eq(co_yield (), 0);
    trace("m3");
}
START_TEST(runs_first_come_first_served)
{
    drive_expect(order_body, "m1 a b m2 a b c c m3 ");
}
END_TEST

static void nest(void *arg)
{
    co_assert_running();
    intptr_t depth = (intptr_t)arg;
    buf_addf(&trace_text, "+%d ", (int)depth);
    if (depth < 3) {
        struct co *child = co_ref(co_spawn("child", nest, (void *)(depth + 1)));
        ck_assert_int_eq(co_join(child, SOON), 0);
        ck_assert(co_has_finished(child));
        co_unref(child);
    }
    buf_addf(&trace_text, "-%d ", (int)depth);
}
static void nest_body(void)
{
    co_assert_running();
    struct co *first = co_ref(co_spawn("first", nest, (void *)1));
    ck_assert_int_eq(co_join(first, SOON), 0);
    co_unref(first);
}
START_TEST(nests)
{
    drive_expect(nest_body, "+1 +2 +3 -3 -2 -1 ");
}
END_TEST

static void identity_body(void)
{
    co_assert_running();
    struct co *self = co_self();
    struct co *other = co_ref(co_spawn("a name that is much longer than there is room for", say_twice, NAME("x")));
    ck_assert_uint_eq(co_count(), 2);
    ck_assert(co_id(other) > co_id(self));
    ck_assert_uint_eq(strlen(co_name(other)), CO_NAME_MAX - 1);
    ck_assert_int_eq(co_join(other, SOON), 0);
    ck_assert_uint_eq(co_count(), 1);
    ck_assert_ptr_eq(co_self(), self);
    co_unref(other);
}
START_TEST(knows_who_runs)
{
    ck_assert_ptr_null(co_self());
    drive_expect(identity_body, "x x ");
}
END_TEST

// ---- Cancellation

static struct co_event never;
static struct co_lock held;

static void cancelled_in_sleep(void *arg)
{
    co_assert_running();
    co_sleep_until(SOON);
    trace(co_is_cancelled() ? "sleep:cancelled" : "sleep:ok");
}
static void cancelled_in_event(void *arg)
{
    co_assert_running();
    trace_outcome("event", co_event_wait(&never, SOON));
    trace_outcome("again", co_event_wait(&never, SOON)); // all later waits, too
    trace_outcome("yield", co_yield ());
}
static void cancelled_in_lock(void *arg)
{
    co_assert_running();
    trace_outcome("lock", co_lock_acquire(&held, SOON));
}
static void cancelled_in_join(void *arg)
{
    co_assert_running();
    trace_outcome("join", co_join(arg, SOON));
}
static void cancelled_at_birth(void *arg)
{
    co_assert_running();
    trace_outcome("birth", co_yield ());
}
static void cancel_body(void)
{
    co_assert_running();
    co_event_init(&never);
    co_lock_init(&held);
    ck_assert_int_eq(co_lock_acquire(&held, SOON), 0);
    struct co *all[5] = {co_spawn("sleep", cancelled_in_sleep, NULL), co_spawn("event", cancelled_in_event, NULL),
                         co_spawn("lock", cancelled_in_lock, NULL), co_spawn("join", cancelled_in_join, co_self())};
    ck_assert_int_eq(co_yield (), 0);
    all[4] = co_spawn("birth", cancelled_at_birth, NULL);
    for (int i = 0; i < 5; i++)
        co_cancel(all[i]);
    ck_assert_int_eq(co_yield (), 0);
    co_lock_release(&held);
    ck_assert(list_is_empty(&never.waiters) && list_is_empty(&held.released.waiters));
}
START_TEST(cancels_at_each_wait)
{
    drive_expect(cancel_body, "birth:cancelled sleep:cancelled event:cancelled again:cancelled yield:cancelled "
                              "lock:cancelled join:cancelled ");
}
END_TEST

static struct co_event signalled;

static void wait_signalled(void *arg)
{
    co_assert_running();
    trace_outcome(arg, co_event_wait(&signalled, SOON));
    trace_outcome(arg, co_event_wait(&signalled, SOON));
}
// A signal that came before the cancellation is not lost: the first wait succeeds, the next fails.
static void signal_then_cancel_body(void)
{
    co_assert_running();
    co_event_init(&signalled);
    struct co *co = co_spawn("a", wait_signalled, NAME("a"));
    ck_assert_int_eq(co_yield (), 0);
    co_event_signal(&signalled);
    co_cancel(co);
    ck_assert_int_eq(co_yield (), 0);
}
START_TEST(cancel_does_not_swallow_a_signal)
{
    drive_expect(signal_then_cancel_body, "a:ok a:cancelled ");
}
END_TEST

// A signal after the cancellation goes to the next waiter.
static void cancel_then_signal_body(void)
{
    co_assert_running();
    co_event_init(&signalled);
    struct co *a = co_spawn("a", wait_signalled, NAME("a"));
    co_spawn("b", wait_signalled, NAME("b"));
    ck_assert_int_eq(co_yield (), 0);
    co_cancel(a);
    co_event_signal(&signalled);
    ck_assert_int_eq(co_yield (), 0);
    trace("end");
}
START_TEST(signal_passes_over_the_cancelled)
{
    drive_expect(cancel_then_signal_body, "a:cancelled a:cancelled b:ok end b:cancelled ");
}
END_TEST

static void cancel_self_body(void)
{
    co_assert_running();
    struct co *dead = co_ref(co_spawn("x", say_twice, NAME("x")));
    ck_assert_int_eq(co_join(dead, SOON), 0);
    co_cancel(dead); // finished, and referenced: nothing happens
    co_cancel(co_self());
    trace_outcome("yield", co_yield ());
    trace_outcome("join", co_join(dead, SOON)); // no wait
    co_unref(dead);
}
START_TEST(cancels_itself)
{
    drive_expect(cancel_self_body, "x x yield:cancelled join:ok ");
}
END_TEST

static void stubborn_parent(void *arg)
{
    co_assert_running();
    co_sleep_until(SOON);
    co_spawn("late", cancelled_at_birth, NULL); // started while the loop drains: cancelled from the start
}
static void stop_body(void)
{
    co_assert_running();
    co_spawn("parent", stubborn_parent, NULL);
    ck_assert_int_eq(co_yield (), 0);
}
START_TEST(stopping_cancels_all)
{
    drive_expect(stop_body, "birth:cancelled ");
}
END_TEST

// ---- Deadlines, by a clock that stands still until told

static void sleeper(void *arg)
{
    co_assert_running();
    intptr_t at = (intptr_t)arg;
    co_sleep_until(at);
    buf_addf(&trace_text, "%d@%d ", (int)at, (int)clock_ms());
}
static void settle(void) CO
{
    for (int i = 0; i < 4; i++) // a turn runs up to 64 coroutines, then fires timers
        for (int j = 0; j < 64; j++)
            ck_assert_int_eq(co_yield (), 0);
}
//  clock    1000   1010   1020   1035   1050
//  fires           1010   1015   1030   1050
//                  1005   1020
static void deadline_body(void)
{
    co_assert_running();
    static const int at[] = {1020, 1005, 1050, 1010, 1030, 1015};
    clock_fake_set(1000, 0);
    for (int i = 0; i < 6; i++)
        co_spawn("sleeper", sleeper, (void *)(intptr_t)at[i]);
    settle();
    trace("|");
    for (int now = 1010; now <= 1050; now = now == 1020 ? 1035 : now == 1035 ? 1050 : now + 10) {
        clock_fake_set(now, 0);
        settle();
        trace("|");
    }
}
START_TEST(deadlines_come_in_order)
{
    drive_expect(deadline_body, "| 1005@1010 1010@1010 | 1015@1020 1020@1020 | 1030@1035 | 1050@1050 | ");
}
END_TEST

static void timed_waits(void *arg)
{
    co_assert_running();
    trace_outcome("event", co_event_wait(&never, 1010));
    trace_outcome("lock", co_lock_acquire(&held, 1005)); // a deadline that has passed
    trace_outcome("join", co_join(arg, 1030));
    trace_outcome("event", co_event_wait(&never, 1015)); // earlier than the last deadline, and passed
}
static void timeout_body(void)
{
    co_assert_running();
    co_event_init(&never);
    co_lock_init(&held);
    ck_assert_int_eq(co_lock_acquire(&held, SOON), 0);
    clock_fake_set(1000, 0);
    co_spawn("timed", timed_waits, co_self());
    for (int now = 1000; now <= 1030; now += 10) {
        clock_fake_set(now, 0);
        settle();
        trace("|");
    }
    co_lock_release(&held);
}
START_TEST(waits_time_out)
{
    drive_expect(timeout_body, "| event:timeout lock:timeout | | join:timeout event:timeout | ");
}
END_TEST

static int64_t shorter_deadline;
static void waits_again(void *arg)
{
    co_assert_running();
    ck_assert_int_eq(co_event_wait(&signalled, 5000), 0); // ends early: its timer stays in the heap, disarmed
    trace_outcome("second", co_event_wait(&signalled, shorter_deadline));
    trace_outcome("third", co_event_wait(&signalled, CLOCK_NEVER)); // never times out
}
static void rearm_body(void)
{
    co_assert_running();
    co_event_init(&signalled);
    clock_fake_set(1000, 0);
    shorter_deadline = 1100;
    co_spawn("again", waits_again, NULL);
    ck_assert_int_eq(co_yield (), 0);
    co_event_signal(&signalled);
    settle();
    clock_fake_set(1099, 0);
    settle();
    trace("|");
    clock_fake_set(1100, 0);
    settle();
    trace("|");
    clock_fake_set(1000000, 0);
    settle();
    trace("|");
}
START_TEST(deadlines_can_move)
{
    drive_expect(rearm_body, "| second:timeout | | third:cancelled ");
}
END_TEST

// Many timers, set, moved and disarmed at random: each fires once, none early, none late by more than a step.
enum { CLOCK_STEP = 50 };
static int fired_count;
struct random_timer {
    struct co_timer *timer;
    int64_t deadline;
};
static void random_fired(void *arg)
{
    struct random_timer *t = arg;
    ck_assert_int_le(t->deadline, clock_ms());
    ck_assert_int_gt(t->deadline, clock_ms() - CLOCK_STEP);
    t->deadline = CLOCK_NEVER;
    fired_count++;
}
static void random_timers_body(void)
{
    co_assert_running();
    static struct random_timer timers[500];
    unsigned seed = 7;
    clock_fake_set(0, 0);
    for (int i = 0; i < 500; i++)
        timers[i].timer = co_timer_new(random_fired, &timers[i]);
    for (int i = 0; i < 5000; i++) {
        struct random_timer *t = &timers[rand_r(&seed) % 500];
        t->deadline = rand_r(&seed) % 5 == 0 ? CLOCK_NEVER : 1 + rand_r(&seed) % 100000;
        co_timer_set(t->timer, t->deadline);
    }
    int expected = 0;
    for (int i = 0; i < 500; i++)
        expected += timers[i].deadline != CLOCK_NEVER;
    for (int now = 0; now < 100100; now += CLOCK_STEP) {
        clock_fake_set(now, 0);
        for (int j = 0; j < 64 * 3; j++)
            ck_assert_int_eq(co_yield (), 0);
    }
    ck_assert_int_eq(fired_count, expected);
    for (int i = 0; i < 500; i++)
        co_timer_free(timers[i].timer);
}
START_TEST(timers_survive_random_use)
{
    drive(random_timers_body);
}
END_TEST

// ---- Events and locks

static void event_order_body(void)
{
    co_assert_running();
    co_event_init(&signalled);
    for (int i = 0; i < 4; i++)
        co_spawn("w", wait_signalled, (void *)(intptr_t) & "a\0b\0c\0d"[i * 2]);
    co_event_signal(&signalled); // nobody waits yet: no effect
    ck_assert_int_eq(co_yield (), 0);
    co_event_signal(&signalled);
    co_event_signal(&signalled);
    ck_assert_int_eq(co_yield (), 0);
    trace("|");
    co_event_broadcast(&signalled);
    ck_assert_int_eq(co_yield (), 0);
    trace("|");
    co_event_broadcast(&signalled);
    ck_assert_int_eq(co_yield (), 0);
}
START_TEST(events_wake_in_order)
{
    drive_expect(event_order_body, "a:ok b:ok | c:ok d:ok a:ok b:ok | c:ok d:ok ");
}
END_TEST

static void lock_user(void *arg)
{
    co_assert_running();
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(co_lock_acquire(&held, SOON), 0);
        trace(arg);
        ck_assert_int_eq(co_yield (), 0);
        co_lock_release(&held);
    }
}
static void lock_body(void)
{
    co_assert_running();
    co_lock_init(&held);
    struct co *users[3] = {co_ref(co_spawn("a", lock_user, NAME("a"))), co_ref(co_spawn("b", lock_user, NAME("b"))),
                           co_ref(co_spawn("c", lock_user, NAME("c")))};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(co_join(users[i], SOON), 0);
        co_unref(users[i]);
    }
    ck_assert_ptr_null(held.owner);
}
START_TEST(locks_are_fair)
{
    drive_expect(lock_body, "a b c a b c ");
}
END_TEST

// ---- Atomic sections and errors of ours

static void atomic_body(void)
{
    co_assert_running();
    co_atomic_begin();
    trace("inside");
    co_atomic_end();
    ck_assert_int_eq(co_yield (), 0);
}
START_TEST(atomic_sections_allow_what_does_not_wait)
{
    drive_expect(atomic_body, "inside ");
}
END_TEST

CO_UNCHECKED static void wait_in_atomic_body(void)
{
    co_atomic_begin();
    co_sleep_until(SOON);
}
CO_UNCHECKED static void yield_in_atomic_body(void)
{
    co_atomic_begin();
    (void)!co_yield ();
}
CO_UNCHECKED static void end_in_atomic_body(void)
{
    co_atomic_begin();
}
CO_UNCHECKED static void unbalanced_body(void)
{
    co_atomic_end();
}
static void resume_running_body(void)
{
    co_resume(co_self());
}
static void resume_finished_body(void)
{
    co_assert_running();
    struct co *co = co_ref(co_spawn("x", say_twice, NAME("x")));
    ck_assert_int_eq(co_join(co, SOON), 0);
    co_the_loop.running = NULL; // as if the loop did it
    co_resume(co);
}
static void join_self_body(void)
{
    co_assert_running();
    (void)!co_join(co_ref(co_self()), SOON);
}
static void lock_twice_body(void)
{
    co_assert_running();
    co_lock_init(&held);
    ck_assert_int_eq(co_lock_acquire(&held, SOON), 0);
    (void)!co_lock_acquire(&held, SOON);
}
static void release_unowned_body(void)
{
    co_lock_init(&held);
    co_lock_release(&held);
}
CO_UNCHECKED static void outside(void)
{
    co_loop_init();
    co_sleep_until(SOON);
}
static void assert_outside(void)
{
    co_assert_running();
}
static const struct {
    const char *name;
    void (*body)(void);
    bool plain; // not run as a coroutine
} misuses[] = {{"wait in an atomic section", wait_in_atomic_body, false},
               {"yield in an atomic section", yield_in_atomic_body, false},
               {"end in an atomic section", end_in_atomic_body, false},
               {"end of no atomic section", unbalanced_body, false},
               {"resume of a running coroutine", resume_running_body, false},
               {"resume of a finished coroutine", resume_finished_body, false},
               {"join of oneself", join_self_body, false},
               {"lock taken twice", lock_twice_body, false},
               {"lock released by another", release_unowned_body, false},
               {"wait outside a coroutine", outside, true},
               {"entry point outside a coroutine", assert_outside, true}};
START_TEST(misuse_aborts)
{
    if (misuses[_i].plain)
        misuses[_i].body();
    else
        drive(misuses[_i].body);
}
END_TEST

// ---- Stacks

// Each call takes 1 KiB; never returns before the stack is full.
__attribute__((noinline)) static int overrun(int depth)
{
    volatile char room[1024];
    memset((char *)room, depth, sizeof room);
    return depth > 100000000 ? room[3] : overrun(depth + 1) + room[5];
}
static void overrun_body(void)
{
    overrun(1);
}
START_TEST(overrun_hits_the_guard_page)
{
    signal(SIGSEGV, SIG_DFL); // not the sanitizer's handler
    drive(overrun_body);
}
END_TEST

__attribute__((noinline)) static int deep(int depth)
{
    volatile char room[1024];
    memset((char *)room, depth, sizeof room);
    return depth <= 0 ? room[3] : deep(depth - 1) + room[5];
}
static void use_stack(void *arg)
{
    deep((int)(intptr_t)arg);
}
static void deep_body(void)
{
    co_assert_running();
    for (int round = 0; round < 3; round++) { // again on stacks that were used
        struct co *all[200];
        for (int i = 0; i < 200; i++)
            all[i] = co_ref(co_spawn("deep", use_stack, (void *)100));
        for (int i = 0; i < 200; i++) {
            ck_assert_int_eq(co_join(all[i], SOON), 0);
            co_unref(all[i]);
        }
    }
#ifdef CO_PAINT
    ck_assert_uint_ge(co_stack_high_water(), 100 * 1024);
    ck_assert_uint_lt(co_stack_high_water(), CO_STACK_SIZE);
#endif
}
START_TEST(stacks_are_deep_and_reused)
{
    drive(deep_body);
}
END_TEST

static Suite *co_suite(void)
{
    Suite *suite = suite_create("co");
    TCase *tc = tcase_create("coroutines");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, runs_first_come_first_served);
    tcase_add_test(tc, nests);
    tcase_add_test(tc, knows_who_runs);
    tcase_add_test(tc, cancels_at_each_wait);
    tcase_add_test(tc, cancel_does_not_swallow_a_signal);
    tcase_add_test(tc, signal_passes_over_the_cancelled);
    tcase_add_test(tc, cancels_itself);
    tcase_add_test(tc, stopping_cancels_all);
    tcase_add_test(tc, deadlines_come_in_order);
    tcase_add_test(tc, waits_time_out);
    tcase_add_test(tc, deadlines_can_move);
    tcase_add_test(tc, timers_survive_random_use);
    tcase_add_test(tc, events_wake_in_order);
    tcase_add_test(tc, locks_are_fair);
    tcase_add_test(tc, atomic_sections_allow_what_does_not_wait);
    tcase_add_loop_test_raise_signal(tc, misuse_aborts, SIGABRT, 0, (int)(sizeof misuses / sizeof misuses[0]));
    tcase_add_test_raise_signal(tc, overrun_hits_the_guard_page, SIGSEGV);
    tcase_add_test(tc, stacks_are_deep_and_reused);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    return run_suite(co_suite());
}
