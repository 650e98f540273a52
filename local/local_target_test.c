// SPDX-License-Identifier: ISC
// local_target_test.c: alias values taken apart.
#include <check.h>
#include <stdio.h>

#include "local/local.h"

// Each target as "A address;", "C command;", "F path;" or "I path;", with a backslash for final ones; "!" at the end
// when malformed.
static const char *take_apart(const char *value)
{
    static char text[1000];
    struct arena arena = ARENA_INIT;
    struct local_targets targets = {.rest = str_from(value), .arena = &arena};
    struct local_target target;
    struct buf b = BUF_INIT;
    int more;

    while ((more = local_targets_next(&targets, &target, NULL)) > 0)
        buf_addf(&b, "%s%c " STR_FMT ";", target.is_final ? "\\" : "", "ACFI"[target.kind], STR_ARG(target.text));
    snprintf(text, sizeof(text), "%s%s", buf_cstr(&b), more < 0 ? "!" : "");
    buf_release(&b);
    arena_release(&arena);
    return text;
}

START_TEST(each_kind_is_recognised)
{
    ck_assert_str_eq(take_apart("joe"), "A joe;");
    ck_assert_str_eq(take_apart("joe, jane@b.example"), "A joe;A jane@b.example;");
    ck_assert_str_eq(take_apart("\\joe, joe"), "\\A joe;A joe;");
    ck_assert_str_eq(take_apart("/var/mail/x, /home/y/Maildir/"), "F /var/mail/x;F /home/y/Maildir/;");
    ck_assert_str_eq(take_apart("~/mail"), "F ~/mail;");
    ck_assert_str_eq(take_apart("|cat"), "C cat;");
    ck_assert_str_eq(take_apart(":include:/etc/list"), "I /etc/list;");
    ck_assert_str_eq(take_apart(""), "");
    ck_assert_str_eq(take_apart(" , ,"), "");
}
END_TEST

START_TEST(quotes_and_brackets_keep_commas)
{
    ck_assert_str_eq(take_apart("\"|cmd a, b\", joe"), "C cmd a, b;A joe;");
    ck_assert_str_eq(take_apart("\"|cmd \\\"a\\\"\""), "C cmd \"a\";");
    ck_assert_str_eq(take_apart("\"/file, with comma\""), "F /file, with comma;");
    ck_assert_str_eq(take_apart("Joe <joe@a.example>, (no, one) jane"), "A joe@a.example;A jane;");
    ck_assert_str_eq(take_apart("\"a, b\"@c.example"), "A a, b@c.example;");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("local_target");
    TCase *tc = tcase_create("local_target");
    int failed;
    SRunner *runner;

    tcase_add_test(tc, each_kind_is_recognised);
    tcase_add_test(tc, quotes_and_brackets_keep_commas);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
