// SPDX-License-Identifier: ISC
// smtpd_content_test.c: end-of-data variants, dots, and every way of splitting the input.
#include <check.h>
#include <stdlib.h>

#include "smtpd/smtpd_content.h"

struct content_case {
    const char *input, *output;
    size_t left; // bytes that are not content
    bool is_done;
};

static const struct content_case cases[] = {
    {".\r\n", "", 0, true},
    {"a\r\n.\r\nQUIT\r\n", "a\n", 6, true},
    {"a\n.\n", "a\n\n", 0, false},
    {"a\n.\r\nb\r\n.\r\n", "a\n\nb\n", 0, true},
    {"a\r\n.\nb\r\n.\r\n", "a\n\nb\n", 0, true},
    {"a\r.\rb\r\n.\r\n", "a . b\n", 0, true},
    {"a\r\r\n.\r\n", "a \n", 0, true},
    {"a\r\n..\r\n...b\r\n.\r\n", "a\n.\n..b\n", 0, true},
    {"a\r\n.\r\r\nb\r\n.\r\n", "a\n \nb\n", 0, true},
    {"a\r\n.b\r\n.\r\n", "a\nb\n", 0, true},
    {"a\r\n. \r\n.\r\n", "a\n \n", 0, true},
    {"a\r\n\n.\r\n.\r\n", "a\n\n\n", 0, true},
};

// From clients that may end their lines as they like.
static const struct content_case lenient_cases[] = {
    {"a\n.\nQUIT\n", "a\n", 5, true},
    {"a\n.\r\nb", "a\n", 1, true},
    {"a\r\n.\nb", "a\n", 1, true},
    {".\n", "", 0, true},
    {"a\n..\n.b\n.\n", "a\n.\nb\n", 0, true},
    {"a\r.\rb\n.\n", "a . b\n", 0, true},
};

static void check_case(const struct content_case *t, size_t piece, bool is_lenient)
{
    struct smtpd_content c;
    struct buf out = BUF_INIT;
    size_t len = strlen(t->input), at = 0, have = piece;

    smtpd_content_init(&c, true);
    c.takes_lf_end = is_lenient;
    while (!c.is_done && at < len) {
        size_t size = have < len - at ? have : len - at;
        size_t used = smtpd_content_feed(&c, (struct raw){(const unsigned char *)t->input + at, size}, &out);
        ck_assert(used <= size);
        if (used == size || c.is_done)
            have = piece;
        else if (have > len - at)
            break;
        else
            have = size - used + piece;
        at += used;
    }
    ck_assert_msg(str_is(buf_str(&out), str_from(t->output)), "piece %zu: %s", piece, buf_cstr(&out));
    ck_assert_int_eq(c.is_done, t->is_done);
    if (t->is_done)
        ck_assert_uint_eq(len - at, t->left);
    buf_release(&out);
}

START_TEST(each_variant_at_each_split)
{
    for (size_t piece = 1; piece < 24; piece++)
        check_case(&cases[_i], piece, false);
}
END_TEST

START_TEST(lenient_ends_at_each_split)
{
    for (size_t piece = 1; piece < 24; piece++)
        check_case(&lenient_cases[_i], piece, true);
}
END_TEST

START_TEST(bdat_has_no_dots_and_no_end)
{
    struct smtpd_content c;
    struct buf out = BUF_INIT;
    const char text[] = "a\r\n.\r\n.b\r";
    smtpd_content_init(&c, false);
    ck_assert_uint_eq(smtpd_content_feed(&c, (struct raw){(const unsigned char *)text, sizeof(text) - 1}, &out),
                      sizeof(text) - 1);
    smtpd_content_end(&c, &out);
    ck_assert_str_eq(buf_cstr(&out), "a\n.\n.b \n"); // the last line gets its end
    ck_assert(!c.is_done);
    buf_release(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smtpd_content");
    TCase *tcase = tcase_create("lexer");
    tcase_add_loop_test(tcase, each_variant_at_each_split, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_loop_test(tcase, lenient_ends_at_each_split, 0, (int)(sizeof(lenient_cases) / sizeof(lenient_cases[0])));
    tcase_add_test(tcase, bdat_has_no_dots_and_no_end);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
