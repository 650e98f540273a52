// SPDX-License-Identifier: ISC
// postconf_test.c: editing main.cf text.
#include <check.h>
#include <stdlib.h>

#include "commands/postconf.h"

#define ORIGINAL "# top\n\n# doc of a\na = 1\n  2\n# mid\n  3\nb = x\n\n#c = 5\nb = y\n  # z\nlast = 1"

static void expect_edit(enum postconf_edit edit, const char *change_1, const char *change_2, const char *expected)
{
    char *edits[3] = {(char *)(uintptr_t)change_1, (char *)(uintptr_t)change_2, NULL};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    int status = postconf_edit_text(STR(ORIGINAL), edit, edits, &out, &err);
    ck_assert_int_eq(status, expected == NULL ? -1 : 0);
    if (expected != NULL)
        ck_assert_str_eq(buf_cstr(&out), expected);
    buf_release(&out);
}

START_TEST(edits)
{
    expect_edit(POSTCONF_EDIT_SET, "a=new", NULL,
                "# top\n\n# doc of a\na = new\n# mid\nb = x\n\n#c = 5\nb = y\n  # z\nlast = 1\n");
    expect_edit(POSTCONF_EDIT_SET, "last = 7 8  9", "zork=",
                "# top\n\n# doc of a\na = 1\n  2\n# mid\n  3\nb = x\n\n#c = 5\nb = y\n  # z\nlast = 7 8  9\nzork = \n");
    expect_edit(POSTCONF_EDIT_REMOVE, "b", "a", "# top\n\n# doc of a\n# mid\n\n#c = 5\n  # z\nlast = 1\n");
    expect_edit(POSTCONF_EDIT_COMMENT, "a", NULL,
                "# top\n\n# doc of a\n#a = 1\n#  2\n# mid\n#  3\nb = x\n\n#c = 5\nb = y\n  # z\nlast = 1\n");
    expect_edit(POSTCONF_EDIT_REMOVE, "nope", NULL, ORIGINAL "\n");
}
END_TEST

// The sign may stand in a continuation line.
START_TEST(edit_of_a_name_over_lines)
{
    char change[] = "a=new", *changes[] = {change, NULL};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(postconf_edit_text(STR("a\n# between\n  = 1\nb\nc = 2\n"), POSTCONF_EDIT_SET, changes, &out, &err),
                     0);
    ck_assert_str_eq(buf_cstr(&out), "a = new\n# between\nb\nc = 2\n");
    buf_release(&out);
}
END_TEST

START_TEST(edit_errors)
{
    expect_edit(POSTCONF_EDIT_SET, "a", NULL, NULL);
    expect_edit(POSTCONF_EDIT_SET, "a b=c", NULL, NULL);
    expect_edit(POSTCONF_EDIT_SET, "=c", NULL, NULL);
    expect_edit(POSTCONF_EDIT_SET, "#a=c", NULL, NULL);
    expect_edit(POSTCONF_EDIT_SET, "a=b\nc=d", NULL, NULL);
    expect_edit(POSTCONF_EDIT_REMOVE, "a=b", NULL, NULL);
}
END_TEST

#define ROWS                                                                                                           \
    "# top\nsmtp inet n - n - - smtpd\n  -o a=1\n # in\n  -o b=2\n# next\nx unix - - n - - pipe flags=R argv=/bin/x"

static void expect_rows(enum postconf_mode mode, enum postconf_edit edit, const char *change, const char *expected)
{
    char *names[] = {(char *)(uintptr_t)change, NULL};
    struct postconf_options o = {.mode = mode, .edit = edit, .names = names};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    int status = postconf_edit_master_text(STR(ROWS), &o, &out, &err);
    ck_assert_int_eq(status, expected == NULL ? -1 : 0);
    if (expected != NULL)
        ck_assert_str_eq(buf_cstr(&out), expected);
    buf_release(&out);
}

#define PIPE_ROW "x unix - - n - - pipe flags=R argv=/bin/x"
#define SMTP_ROW "smtp       inet  n       -       n       -       -       smtpd\n"
START_TEST(rows)
{
    expect_rows(POSTCONF_MASTER, POSTCONF_EDIT_REMOVE, "smtp/inet", "# top\n # in\n# next\n" PIPE_ROW);
    expect_rows(POSTCONF_MASTER, POSTCONF_EDIT_COMMENT, "smtp/inet",
                "# top\n#smtp inet n - n - - smtpd\n#  -o a=1\n # in\n#  -o b=2\n# next\n" PIPE_ROW);
    expect_rows(POSTCONF_MASTER, POSTCONF_EDIT_SET, "smtp/inet=smtp inet n - n - - smtpd",
                "# top\n" SMTP_ROW " # in\n# next\n" PIPE_ROW);
    expect_rows(POSTCONF_PARAMS, POSTCONF_EDIT_REMOVE, "smtp/inet/a",
                "# top\n" SMTP_ROW "    -o b=2\n # in\n# next\n" PIPE_ROW);
    expect_rows(POSTCONF_PARAMS, POSTCONF_EDIT_SET, "smtp/inet/b=3",
                "# top\n" SMTP_ROW "    -o a=1\n    -o b=3\n # in\n# next\n" PIPE_ROW);
    expect_rows(POSTCONF_FIELDS, POSTCONF_EDIT_SET, "x/unix/process_limit=3",
                "# top\nsmtp inet n - n - - smtpd\n  -o a=1\n # in\n  -o b=2\n# next\n"
                "x          unix  -       -       n       -       3       pipe flags=R\n    argv=/bin/x\n");
    expect_rows(POSTCONF_FIELDS, POSTCONF_EDIT_SET, "x/unix/chroot=q", NULL);
    expect_rows(POSTCONF_MASTER, POSTCONF_EDIT_SET, "x/unix=x unix", NULL);
    expect_rows(POSTCONF_MASTER, POSTCONF_EDIT_REMOVE, "x", NULL);
    expect_rows(POSTCONF_PARAMS, POSTCONF_EDIT_REMOVE, "x/unix", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("postconf");
    TCase *tc = tcase_create("postconf");
    tcase_add_test(tc, edits);
    tcase_add_test(tc, edit_of_a_name_over_lines);
    tcase_add_test(tc, edit_errors);
    tcase_add_test(tc, rows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
