// SPDX-License-Identifier: ISC
// match_list_test.c: names, parents, networks, exclusions, files and tables in match lists.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table.h"

static int has(const char *list, unsigned flags, const char *name)
{
    struct err err = ERR_INIT;
    struct match_list *m = match_list_open(str_from(list), flags, &err);
    int found;
    ck_assert_msg(m != NULL, "%s", err.text);
    found = match_list_has(m, str_from(name), &err);
    match_list_close(m);
    return found;
}

static int has_addr(const char *list, const char *address)
{
    struct err err = ERR_INIT;
    struct match_list *m = match_list_open(str_from(list), MATCH_NETWORKS, &err);
    struct net_addr addr;
    int found;
    ck_assert_msg(m != NULL, "%s", err.text);
    ck_assert_int_eq(net_addr_parse(str_from(address), 0, &addr), 0);
    found = match_list_has_addr(m, STR("unknown"), &addr, &err);
    match_list_close(m);
    return found;
}

START_TEST(names_fold_case_and_match_whole)
{
    ck_assert_int_eq(has("a.example, localhost", 0, "A.Example"), 1);
    ck_assert_int_eq(has("a.example", 0, "b.a.example"), 0);
    ck_assert_int_eq(has("a.example", 0, "xa.example"), 0);
    ck_assert_int_eq(has("", 0, "a.example"), 0);
    ck_assert_int_eq(has("a.example", 0, ""), 0);
}
END_TEST

START_TEST(parents_match_by_flag_or_dot)
{
    ck_assert_int_eq(has("a.example", MATCH_PARENTS, "c.b.a.example"), 1);
    ck_assert_int_eq(has("a.example", MATCH_PARENTS, "xa.example"), 0);
    ck_assert_int_eq(has(".a.example", 0, "b.a.example"), 1);
    ck_assert_int_eq(has(".a.example", 0, "a.example"), 0);
    ck_assert_int_eq(has("inline:{.a.example=x}", 0, "b.a.example"), 1);
    ck_assert_int_eq(has("inline:{a.example=x}", 0, "b.a.example"), 0);
    ck_assert_int_eq(has("inline:{a.example=x}", MATCH_PARENTS, "b.a.example"), 1);
}
END_TEST

START_TEST(exclusions_come_in_order)
{
    ck_assert_int_eq(has("!b.a.example, a.example", MATCH_PARENTS, "b.a.example"), 0);
    ck_assert_int_eq(has("!b.a.example, a.example", MATCH_PARENTS, "c.a.example"), 1);
    ck_assert_int_eq(has("a.example, !b.a.example", MATCH_PARENTS, "b.a.example"), 1);
    ck_assert_int_eq(has_addr("!10.0.0.1, 10.0.0.0/8", "10.0.0.1"), 0);
    ck_assert_int_eq(has_addr("!10.0.0.1, 10.0.0.0/8", "10.0.0.2"), 1);
}
END_TEST

START_TEST(networks_match_addresses)
{
    ck_assert_int_eq(has_addr("127.0.0.0/8 [::1]/128 [fe80::]/64", "127.1.2.3"), 1);
    ck_assert_int_eq(has_addr("127.0.0.0/8 [::1]/128 [fe80::]/64", "::1"), 1);
    ck_assert_int_eq(has_addr("127.0.0.0/8 [::1]/128 [fe80::]/64", "fe80::5"), 1);
    ck_assert_int_eq(has_addr("127.0.0.0/8 [::1]/128 [fe80::]/64", "128.0.0.1"), 0);
    ck_assert_int_eq(has_addr("cidr:{{10.0.0.0/8 ok}}", "10.1.1.1"), 1);
    ck_assert_ptr_null(match_list_open(STR("10.0.0.1/8"), MATCH_NETWORKS, NULL));
}
END_TEST

START_TEST(files_are_read_and_failing_tables_fail)
{
    char name[] = "/tmp/match-list-XXXXXX";
    char list[64];
    int fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(dprintf(fd, "# comment\none.example two.example\n  three.example\n"), 0);
    close(fd);
    snprintf(list, sizeof(list), "%s, other", name);
    ck_assert_int_eq(has(list, 0, "three.example"), 1);
    ck_assert_int_eq(has(list, 0, "two.example"), 1);
    ck_assert_int_eq(has(list, 0, "four.example"), 0);
    snprintf(list, sizeof(list), "!%s, static:all", name);
    ck_assert_int_eq(has(list, 0, "two.example"), 0);
    ck_assert_int_eq(has(list, 0, "x"), 1);
    unlink(name);
    ck_assert_ptr_null(match_list_open(str_from(list), 0, NULL));
    ck_assert_int_eq(has("a, fail:x", 0, "b"), -1);
    ck_assert_int_eq(has("a, fail:x", 0, "a"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("match_list");
    TCase *tc = tcase_create("match_list");
    int failed;
    SRunner *runner;

    log_open(LOG_TO_FD, -1, "test", "test");
    tcase_add_test(tc, names_fold_case_and_match_whole);
    tcase_add_test(tc, parents_match_by_flag_or_dot);
    tcase_add_test(tc, exclusions_come_in_order);
    tcase_add_test(tc, networks_match_addresses);
    tcase_add_test(tc, files_are_read_and_failing_tables_fail);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
