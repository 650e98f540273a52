// SPDX-License-Identifier: ISC
// master_cf_test.c: rows, defaults, groups and errors of master.cf.
#include <check.h>
#include <stdlib.h>

#include "lib/conf/master_cf.h"

static const struct master_cf_defaults defaults = {100, false};

static struct master_cf_rows parse(const char *text, struct arena *arena)
{
    struct master_cf_rows rows = {0};
    struct err err = ERR_INIT;
    ck_assert_msg(master_cf_parse(str_from(text), "m", &defaults, arena, &rows, &err) == 0, "%s", err.text);
    return rows;
}

START_TEST(columns)
{
    struct arena arena = ARENA_INIT;
    struct master_cf_rows rows = parse("# services\n\nsmtp inet n - y - - smtpd\n"
                                       "tlsmgr\tunix - n n 1000? 1 tlsmgr\n"
                                       "qmgr fifo n - n 300 0 qmgr\n[::1]:25 inet n n n 0 7 smtpd\n"
                                       "smtpd pass - - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd",
                                       &arena);
    ck_assert_uint_eq(rows.count, 6);
    const struct master_row *r = rows.rows;
    ck_assert_str_eq(r[0].name.ptr, "smtp");
    ck_assert(!r[0].is_private && r[0].is_unpriv && r[0].is_chroot);
    ck_assert(r[0].maxproc == 100 && r[0].wakeup == 0 && r[0].line == 3);
    ck_assert(r[1].is_private && !r[1].is_unpriv && !r[1].is_chroot);
    ck_assert(r[1].wakeup == 1000 && r[1].wakeup_if_used && r[1].maxproc == 1);
    ck_assert(r[2].wakeup == 300 && !r[2].wakeup_if_used && r[2].maxproc == 0);
    ck_assert_str_eq(r[5].type.ptr, "unix-dgram");
    arena_release(&arena);
}
END_TEST

START_TEST(arguments)
{
    struct arena arena = ARENA_INIT;
    struct master_cf_rows rows =
        parse("x unix - n n - - pipe\n  flags=DR user=v\n# no\n  argv=/bin/x -d { a  b } ${r}\n"
              "y unix - - n - - smtp -o { name = some value } -o a=b\n",
              &arena);
    const struct master_row *r = rows.rows;
    ck_assert_uint_eq(r[0].argc, 6);
    ck_assert_str_eq(r[0].argv[0].ptr, "flags=DR");
    ck_assert_str_eq(r[0].argv[4].ptr, "a  b");
    ck_assert_str_eq(r[0].argv[5].ptr, "${r}");
    ck_assert_uint_eq(r[1].argc, 4);
    ck_assert_str_eq(r[1].argv[1].ptr, "name = some value");
    ck_assert_uint_eq(r[1].line, 5);
    arena_release(&arena);
}
END_TEST

START_TEST(last_duplicate_wins)
{
    struct arena arena = ARENA_INIT;
    struct master_cf_rows rows = parse("a unix - - n - - one\nb unix - - n - - b\na unix - - n - - two\n"
                                       "a inet n - n - - three\n",
                                       &arena);
    ck_assert_uint_eq(rows.count, 3);
    ck_assert_str_eq(rows.rows[0].command.ptr, "b");
    ck_assert_str_eq(rows.rows[1].command.ptr, "two");
    arena_release(&arena);
}
END_TEST

START_TEST(old_chroot_default)
{
    struct arena arena = ARENA_INIT;
    struct master_cf_defaults old = {50, true};
    struct master_cf_rows rows = {0};
    struct err err = ERR_INIT;
    struct str text = STR("a unix - - - - - x\nb unix - - n - - x\n");
    ck_assert_int_eq(master_cf_parse(text, "m", &old, &arena, &rows, &err), 0);
    ck_assert(rows.rows[0].is_chroot && !rows.rows[1].is_chroot);
    ck_assert_uint_eq(rows.compat_chroots, 1);
    ck_assert_int_eq(rows.rows[0].maxproc, 50);
    arena_release(&arena);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    {"smtp inet n - - -\n", "m, line 1: the maxproc column is missing"},
    {"\nsmtp inet n - - - -\n", "m, line 2: the command column is missing"},
    {"smtp inet - - n - - smtpd", "an inet service cannot be private"},
    {"smtp tcp n - n - - smtpd", "bad type column \"tcp\""},
    {"smtp unix yes - n - - smtpd", "bad private column \"yes\""},
    {"smtp unix n x n - - smtpd", "bad unpriv column"},
    {"smtp unix n - Y - - smtpd", "bad chroot column"},
    {"smtp unix n - n 1m - smtpd", "bad wakeup column"},
    {"smtp unix n - n ? - smtpd", "bad wakeup column"},
    {"smtp unix n - n - -1 smtpd", "bad maxproc column"},
    {"smtp unix n - n - - /bin/sh", "bad command column"},
    {"../x unix n - n - - smtpd", "bad service column"},
    {"x unix n - n - - smtp -o { a = b", "no closing \"}\""},
    {"x unix n - n - - smtp -o { a = b }c", "text follows"},
    {" x unix n - n - - smtp", "must not start with a blank"},
};

START_TEST(errors)
{
    struct arena arena = ARENA_INIT;
    struct master_cf_rows rows = {0};
    struct err err = ERR_INIT;
    ck_assert_int_eq(master_cf_parse(str_from(bad[_i].text), "m", &defaults, &arena, &rows, &err), -1);
    ck_assert_msg(strstr(err.text, bad[_i].message) != NULL, "%s", err.text);
    arena_release(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("master_cf");
    TCase *tc = tcase_create("master_cf");
    tcase_add_test(tc, columns);
    tcase_add_test(tc, arguments);
    tcase_add_test(tc, last_duplicate_wins);
    tcase_add_test(tc, old_chroot_default);
    tcase_add_loop_test(tc, errors, 0, sizeof(bad) / sizeof(bad[0]));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
