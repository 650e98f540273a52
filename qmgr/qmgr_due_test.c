// SPDX-License-Identifier: ISC
// qmgr_due_test.c: the index gives messages back in the order of their times, whatever was changed meanwhile.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "qmgr/qmgr_due.h"

enum { MANY = 5000 };

static struct str id_of(char text[16], unsigned number)
{
    return str_of(text, (size_t)snprintf(text, 16, "%05X%X", number % 997, number));
}

START_TEST(earliest_comes_first)
{
    struct qmgr_due due = QMGR_DUE_INIT;
    ck_assert_ptr_null(qmgr_due_first(&due));
    ck_assert_ptr_null(qmgr_due_find(&due, STR("A")));
    qmgr_due_set(&due, STR("LATE"), 300);
    qmgr_due_set(&due, STR("EARLY"), 100);
    qmgr_due_set(&due, STR("MIDDLE"), 200);
    ck_assert(str_is(qmgr_due_id(qmgr_due_first(&due)), STR("EARLY")));
    qmgr_due_set(&due, STR("EARLY"), 250); // moved, not doubled
    ck_assert_uint_eq(due.count, 3);
    ck_assert(str_is(qmgr_due_id(qmgr_due_first(&due)), STR("MIDDLE")));
    qmgr_due_set(&due, STR("LATE"), 1);
    ck_assert(str_is(qmgr_due_id(qmgr_due_first(&due)), STR("LATE")));
    qmgr_due_release(&due);
}
END_TEST

START_TEST(what_is_set_aside_waits_for_no_time)
{
    struct qmgr_due due = QMGR_DUE_INIT;
    struct list aside;
    list_init(&aside);
    qmgr_due_set_aside(&due, qmgr_due_set(&due, STR("A1"), 1), &aside);
    qmgr_due_set_aside(&due, qmgr_due_set(&due, STR("A2"), 2), &aside);
    ck_assert_ptr_null(qmgr_due_first(&due));
    ck_assert_uint_eq(list_count(&aside), 2);
    ck_assert_ptr_nonnull(qmgr_due_find(&due, STR("A1")));
    qmgr_due_set(&due, STR("A2"), 9);
    ck_assert_uint_eq(list_count(&aside), 1);
    ck_assert(str_is(qmgr_due_id(qmgr_due_first(&due)), STR("A2")));
    qmgr_due_forget(&due, qmgr_due_find(&due, STR("A1")));
    ck_assert(list_is_empty(&aside));
    ck_assert_uint_eq(due.count, 1);
    qmgr_due_release(&due);
}
END_TEST

// Against a plain array: any sequence of changes, then everything in order.
START_TEST(many_changes_keep_the_order)
{
    struct qmgr_due due = QMGR_DUE_INIT;
    int64_t *model = mem_alloc(MANY * sizeof *model);
    char text[16];
    struct list aside;
    list_init(&aside);
    srand(11);
    for (unsigned turn = 0; turn < 8 * MANY; turn++) {
        unsigned number = (unsigned)rand() % MANY;
        struct qmgr_due_entry *e = qmgr_due_find(&due, id_of(text, number));
        ck_assert_int_eq(e != NULL, model[number] != 0);
        if (turn % 3 == 0 && e != NULL) {
            qmgr_due_forget(&due, e);
            model[number] = 0;
        } else if (turn % 7 == 0 && e != NULL) {
            qmgr_due_set_aside(&due, e, &aside);
            model[number] = -1;
        } else {
            model[number] = 1 + rand() % 1000;
            ck_assert_ptr_nonnull(qmgr_due_set(&due, id_of(text, number), model[number]));
        }
    }
    size_t left = 0, at_side = 0;
    for (unsigned number = 0; number < MANY; number++) {
        left += model[number] > 0;
        at_side += model[number] < 0;
    }
    ck_assert_uint_eq(left + at_side, due.count);
    ck_assert_uint_eq(at_side, list_count(&aside));
    struct qmgr_due_entry *first;
    for (int64_t last = 0; (first = qmgr_due_first(&due)) != NULL; left--) {
        ck_assert_int_ge(first->when, last);
        last = first->when;
        qmgr_due_forget(&due, first);
    }
    ck_assert_uint_eq(left, 0);
    mem_free(model);
    qmgr_due_release(&due);
}
END_TEST

START_TEST(overlong_ids_are_refused)
{
    struct qmgr_due due = QMGR_DUE_INIT;
    char text[300];
    memset(text, 'A', sizeof text);
    ck_assert_ptr_null(qmgr_due_set(&due, str_of(text, 256), 1));
    ck_assert_ptr_nonnull(qmgr_due_set(&due, str_of(text, 255), 1));
    ck_assert_uint_eq(due.count, 1);
    qmgr_due_release(&due);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qmgr_due");
    TCase *tc = tcase_create("index");
    tcase_add_test(tc, earliest_comes_first);
    tcase_add_test(tc, what_is_set_aside_waits_for_no_time);
    tcase_add_test(tc, many_changes_keep_the_order);
    tcase_add_test(tc, overlong_ids_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
