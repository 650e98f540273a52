// SPDX-License-Identifier: ISC
// qmgr_feedback_test.c: concurrency windows grow, shrink and die by the configured rules; back-off follows the age.
#include <check.h>
#include <stdlib.h>

#include "qmgr/qmgr_feedback.h"

static struct qmgr_window_rules rules_of(const char *positive, const char *negative, unsigned cohorts)
{
    struct qmgr_window_rules rules = {.initial = 5, .limit = 20, .failed_cohort_limit = cohorts};
    ck_assert_int_eq(qmgr_feedback_parse(str_from(positive), &rules.positive), 0);
    ck_assert_int_eq(qmgr_feedback_parse(str_from(negative), &rules.negative), 0);
    return rules;
}

START_TEST(feedback_texts_are_understood)
{
    struct qmgr_feedback f;
    ck_assert_int_eq(qmgr_feedback_parse(STR("1"), &f), 0);
    ck_assert(qmgr_feedback_value(&f, 10) == 1.0);
    ck_assert_int_eq(qmgr_feedback_parse(STR("0.5 / concurrency"), &f), 0);
    ck_assert(qmgr_feedback_value(&f, 10) > 0.0499 && qmgr_feedback_value(&f, 10) < 0.0501);
    ck_assert_int_eq(qmgr_feedback_parse(STR("1/sqrt_concurrency"), &f), 0);
    ck_assert(qmgr_feedback_value(&f, 16) > 0.2499 && qmgr_feedback_value(&f, 16) < 0.2501);
    ck_assert_int_eq(qmgr_feedback_parse(STR(""), &f), -1);
    ck_assert_int_eq(qmgr_feedback_parse(STR("2"), &f), -1);
    ck_assert_int_eq(qmgr_feedback_parse(STR("1/cube"), &f), -1);
    ck_assert_int_eq(qmgr_feedback_parse(STR("nan"), &f), -1);
}
END_TEST

START_TEST(success_opens_the_window_to_its_limit)
{
    struct qmgr_window_rules rules = rules_of("1", "1", 1);
    struct qmgr_window w;
    qmgr_window_reset(&w, &rules);
    ck_assert_uint_eq(w.size, 5);
    for (int i = 0; i < 100; i++)
        qmgr_window_succeeded(&w, &rules, w.size);
    ck_assert_uint_eq(w.size, 20);
    qmgr_window_reset(&w, &rules);
    for (int i = 0; i < 100; i++) // what is not used does not grow
        qmgr_window_succeeded(&w, &rules, 0);
    ck_assert_uint_eq(w.size, 5);
}
END_TEST

START_TEST(fractional_feedback_needs_a_cohort)
{
    struct qmgr_window_rules rules = rules_of("1/concurrency", "1/concurrency", 100);
    struct qmgr_window w;
    qmgr_window_reset(&w, &rules);
    for (int i = 0; i < 4; i++)
        qmgr_window_succeeded(&w, &rules, 5);
    ck_assert_uint_eq(w.size, 5);
    qmgr_window_succeeded(&w, &rules, 5);
    ck_assert_uint_eq(w.size, 6);
}
END_TEST

// SCHEDULER_README: the step down comes at the beginning of 1/f failures.
START_TEST(fractional_feedback_shuts_at_once)
{
    static const unsigned sizes[] = {4, 4, 4, 4, 3, 3, 3, 2, 2};
    struct qmgr_window_rules rules = rules_of("1/concurrency", "1/concurrency", 100);
    struct qmgr_window w;
    qmgr_window_reset(&w, &rules);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ck_assert(!qmgr_window_failed(&w, &rules));
        ck_assert_uint_eq(w.size, sizes[i]);
    }
    rules = rules_of("1", "0.2", 1000);
    qmgr_window_reset(&w, &rules);
    for (unsigned i = 0; i < 15; i++) { // series of five
        ck_assert(!qmgr_window_failed(&w, &rules));
        ck_assert_uint_eq(w.size, 4 - i / 5);
    }
    for (unsigned i = 0; i < 100; i++)
        ck_assert(!qmgr_window_failed(&w, &rules));
    ck_assert_uint_eq(w.size, 1);
}
END_TEST

START_TEST(a_cohort_of_failures_kills)
{
    struct qmgr_window_rules rules = rules_of("1", "0", 1);
    struct qmgr_window w;
    qmgr_window_reset(&w, &rules);
    for (int i = 0; i < 4; i++)
        ck_assert(!qmgr_window_failed(&w, &rules));
    ck_assert(qmgr_window_failed(&w, &rules));
    qmgr_window_reset(&w, &rules);
    for (int i = 0; i < 20; i++) { // a success between forgives
        ck_assert(!qmgr_window_failed(&w, &rules));
        qmgr_window_succeeded(&w, &rules, 0);
    }
    rules.failed_cohort_limit = 0; // never
    for (int i = 0; i < 100; i++)
        ck_assert(!qmgr_window_failed(&w, &rules));
}
END_TEST

START_TEST(backoff_is_the_age_within_bounds)
{
    const struct qmgr_backoff rules = {.minimal = 300, .maximal = 4000};
    ck_assert_int_eq(qmgr_backoff(0, &rules, 7), 300);
    ck_assert_int_eq(qmgr_backoff(-50, &rules, 7), 300);
    ck_assert_int_eq(qmgr_backoff(1234, &rules, 7), 1234);
    ck_assert_int_eq(qmgr_backoff(99999, &rules, 7), 4000);
    const struct qmgr_backoff odd = {.minimal = 500, .maximal = 100, .jitter = 10}; // the least wins
    ck_assert_int_eq(qmgr_backoff(0, &odd, 7), 500);
}
END_TEST

START_TEST(jitter_spreads_within_bounds)
{
    const struct qmgr_backoff rules = {.minimal = 300, .maximal = 4000, .jitter = 10};
    static const struct {
        int64_t age, low, high;
    } cases[] = {{0, 300, 315}, {1000, 950, 1050}, {99999, 3800, 4000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t low = INT64_MAX, high = 0;
        for (uint32_t random = 0; random < 10000; random++) {
            int64_t pause = qmgr_backoff(cases[i].age, &rules, random);
            low = pause < low ? pause : low;
            high = pause > high ? pause : high;
        }
        ck_assert_int_eq(low, cases[i].low);
        ck_assert_int_eq(high, cases[i].high);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qmgr_feedback");
    TCase *tc = tcase_create("arithmetic");
    tcase_add_test(tc, feedback_texts_are_understood);
    tcase_add_test(tc, success_opens_the_window_to_its_limit);
    tcase_add_test(tc, fractional_feedback_needs_a_cohort);
    tcase_add_test(tc, fractional_feedback_shuts_at_once);
    tcase_add_test(tc, a_cohort_of_failures_kills);
    tcase_add_test(tc, backoff_is_the_age_within_bounds);
    tcase_add_test(tc, jitter_spreads_within_bounds);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
