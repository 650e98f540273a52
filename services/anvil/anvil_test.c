// SPDX-License-Identifier: ISC
// anvil_test.c: counts and rates under a fake clock, and what is taken back.
#include <check.h>
#include <stdlib.h>

#include "services/anvil/anvil.h"

static struct anvil anvil;
static struct anvil_holder one, other;

static void set_up(void)
{
    clock_fake_set(1000000, 0);
    anvil_init(&anvil, 60);
    one.connections = other.connections = MAP_INIT;
}

static void tear_down(void)
{
    anvil_end_holder(&anvil, &one);
    anvil_end_holder(&anvil, &other);
    anvil_release(&anvil);
    clock_fake_end();
}

static struct anvil_counts note(struct anvil_holder *h, enum anvil_event event, const char *client)
{
    return anvil_note(&anvil, h, event, str_from(client));
}

START_TEST(connections_are_counted_for_all_processes)
{
    ck_assert_int_eq(note(&one, ANVIL_CONNECT, "smtp:1").count, 1);
    ck_assert_int_eq(note(&other, ANVIL_CONNECT, "smtp:1").count, 2);
    ck_assert_int_eq(note(&one, ANVIL_CONNECT, "smtp:2").count, 1);
    note(&one, ANVIL_DISCONNECT, "smtp:1");
    struct anvil_counts counts = note(&one, ANVIL_CONNECT, "smtp:1");
    ck_assert_int_eq(counts.count, 2);
    ck_assert_int_eq(counts.rate, 3);
}
END_TEST

START_TEST(a_process_gives_back_only_what_it_holds)
{
    note(&one, ANVIL_CONNECT, "smtp:1");
    note(&other, ANVIL_DISCONNECT, "smtp:1");
    ck_assert_int_eq(note(&other, ANVIL_CONNECT, "smtp:1").count, 2);
    anvil_end_holder(&anvil, &one);
    ck_assert_int_eq(note(&other, ANVIL_CONNECT, "smtp:1").count, 2);
}
END_TEST

START_TEST(rates_begin_anew_after_the_interval)
{
    for (int i = 1; i <= 5; i++)
        ck_assert_int_eq(note(&one, ANVIL_MESSAGE, "smtp:1").rate, i);
    ck_assert_int_eq(note(&one, ANVIL_NEWTLS, "smtp:1").rate, 1);
    ck_assert_int_eq(note(&one, ANVIL_NEWTLS_STATUS, "smtp:1").rate, 1);
    clock_fake_set(1000000 + 59999, 0);
    ck_assert_int_eq(note(&one, ANVIL_MESSAGE, "smtp:1").rate, 6);
    clock_fake_set(1000000 + 60000, 0);
    ck_assert_int_eq(note(&one, ANVIL_NEWTLS_STATUS, "smtp:1").rate, 0);
    ck_assert_int_eq(note(&one, ANVIL_MESSAGE, "smtp:1").rate, 1);
}
END_TEST

START_TEST(silent_clients_are_forgotten_but_connected_ones_are_not)
{
    struct buf name = BUF_INIT;
    note(&one, ANVIL_CONNECT, "stays");
    for (int i = 0; i < 1000; i++) {
        buf_clear(&name);
        buf_addf(&name, "smtp:%d", i);
        note(&one, ANVIL_MESSAGE, buf_cstr(&name));
    }
    ck_assert_uint_eq(anvil.clients.count, 1001);
    for (int i = 0; i < 1000; i++) {
        clock_fake_set(1000000 + 120000 + i, 0);
        buf_clear(&name);
        buf_addf(&name, "new:%d", i);
        note(&one, ANVIL_MESSAGE, buf_cstr(&name));
    }
    buf_release(&name);
    ck_assert_uint_eq(anvil.clients.count, 1001);
    ck_assert_int_eq(note(&one, ANVIL_CONNECT, "stays").count, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("anvil");
    TCase *tcase = tcase_create("counters");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, connections_are_counted_for_all_processes);
    tcase_add_test(tcase, a_process_gives_back_only_what_it_holds);
    tcase_add_test(tcase, rates_begin_anew_after_the_interval);
    tcase_add_test(tcase, silent_clients_are_forgotten_but_connected_ones_are_not);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
