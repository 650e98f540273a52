// SPDX-License-Identifier: ISC
// co_test.h: what the unit tests of lib/co share.
#ifndef DROMOS_CO_CO_TEST_H
#define DROMOS_CO_CO_TEST_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/co/co.h"
#include "lib/co/co_internal.h"

#define SOON clock_deadline(20) // a deadline that no passing test reaches

#define NAME(text) ((void *)(uintptr_t)(text)) // a literal as the argument of a coroutine

static struct buf trace_text; // what happened, in order

__attribute__((unused)) static void trace(const char *what)
{
    buf_add_cstr(&trace_text, what);
    buf_add_char(&trace_text, ' ');
}

// The name of a failed wait's errno, or "ok".
__attribute__((unused)) static const char *outcome(int result)
{
    return result >= 0 ? "ok" : errno == ETIMEDOUT ? "timeout" : errno == ECANCELED ? "cancelled" : "error";
}

__attribute__((unused)) static void trace_outcome(const char *who, int result)
{
    buf_addf(&trace_text, "%s:%s ", who, outcome(result));
}

static void drive_entry(void *arg)
{
    co_assert_running();
    void (**body)(void) = arg;
    (*body)();
    co_loop_stop();
}

// Runs `body` as a coroutine in a new loop, which then cancels what `body` left, ends and is freed.
static void drive(void (*body)(void))
{
    co_loop_init();
    co_spawn("main", drive_entry, &body);
    co_loop_run(10000);
    ck_assert_uint_eq(co_count(), 0);
    co_loop_free();
    clock_fake_end();
}

// The same, and the trace must read `expected`.
__attribute__((unused)) static void drive_expect(void (*body)(void), const char *expected)
{
    drive(body);
    ck_assert_str_eq(buf_cstr(&trace_text), expected);
    buf_release(&trace_text);
}

static int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
