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

int main(void)
{
    Suite *suite = suite_create("postconf");
    TCase *tc = tcase_create("postconf");
    tcase_add_test(tc, edits);
    tcase_add_test(tc, edit_errors);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
