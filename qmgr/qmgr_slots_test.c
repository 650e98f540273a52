// SPDX-License-Identifier: ISC
// qmgr_slots_test.c: who may go ahead of whom, by the documented arithmetic.
#include <check.h>
#include <stdlib.h>

#include "qmgr/qmgr_slots.h"

START_TEST(slots_are_earned_by_deliveries)
{
    struct qmgr_slot_rules rules = {.cost = 5, .loan = 0, .discount = 0, .minimum = 3};
    struct qmgr_slots slots = {0};
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 100), 0);
    for (int i = 0; i < 10; i++)
        qmgr_slots_delivered(&slots);
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 90), 2);
    qmgr_slots_spend(&slots, 2);
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 90), 0);
}
END_TEST

// The defaults: one with up to 6 deliveries may go ahead after the first delivery; the debt is worked off before the
// next may.
START_TEST(loan_and_discount_let_others_go_early)
{
    struct qmgr_slot_rules rules = {.cost = 5, .loan = 3, .discount = 50, .minimum = 3};
    struct qmgr_slots slots = {0};
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 101), 0);
    qmgr_slots_delivered(&slots);
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 100), 6);
    qmgr_slots_spend(&slots, 6);
    for (int i = 0; i < 30; i++) {
        ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 100), 0);
        qmgr_slots_delivered(&slots);
    }
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 70), 6);
}
END_TEST

START_TEST(small_messages_are_not_overtaken)
{
    struct qmgr_slot_rules rules = {.cost = 5, .loan = 3, .discount = 50, .minimum = 3};
    struct qmgr_slots slots = {0};
    qmgr_slots_delivered(&slots);
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 13), 0);
    ck_assert_uint_ne(qmgr_slots_allow(&slots, &rules, 14), 0);
}
END_TEST

START_TEST(cost_of_nothing_forbids_and_full_discount_allows)
{
    struct qmgr_slot_rules rules = {.cost = 0, .loan = 100, .discount = 50, .minimum = 0};
    struct qmgr_slots slots = {0};
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 1000), 0);
    rules = (struct qmgr_slot_rules){.cost = 2, .loan = 1, .discount = 100, .minimum = 0};
    qmgr_slots_delivered(&slots);
    ck_assert_uint_eq(qmgr_slots_allow(&slots, &rules, 1000), UINT32_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qmgr_slots");
    TCase *tc = tcase_create("arithmetic");
    tcase_add_test(tc, slots_are_earned_by_deliveries);
    tcase_add_test(tc, loan_and_discount_let_others_go_early);
    tcase_add_test(tc, small_messages_are_not_overtaken);
    tcase_add_test(tc, cost_of_nothing_forbids_and_full_discount_allows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
