// SPDX-License-Identifier: ISC
// syntax_test.c: SMTP lines, headers and bounce log blocks.
#include <check.h>
#include <stdlib.h>

#include "lib/mail/bounce_log.h"
#include "lib/mail/header.h"
#include "lib/mail/smtp_syntax.h"

static struct arena arena = ARENA_INIT;

static void expect_str(struct str got, const char *want)
{
    ck_assert_msg(str_is(got, str_from(want)), "got \"" STR_FMT "\", want \"%s\"", STR_ARG(got), want);
}

START_TEST(test_verbs)
{
    struct str args;
    ck_assert_int_eq(smtp_verb_parse(STR("ehlo  host "), &args), SMTP_EHLO);
    expect_str(args, "host");
    ck_assert_int_eq(smtp_verb_parse(STR("MAIL FROM:<a@b>"), &args), SMTP_MAIL);
    expect_str(args, "FROM:<a@b>");
    ck_assert_int_eq(smtp_verb_parse(STR("MAILFROM"), &args), SMTP_UNKNOWN);
    ck_assert_int_eq(smtp_verb_parse(STR(""), &args), SMTP_UNKNOWN);
    ck_assert_int_eq(smtp_verb_parse(STR("unknown"), &args), SMTP_UNKNOWN);
    ck_assert_str_eq(smtp_verb_name(SMTP_QUIT), "quit");
}
END_TEST

START_TEST(test_parameters)
{
    struct smtp_parameter p[SMTP_PARAMETERS_MAX];
    size_t count;
    int value;
    ck_assert_int_eq(smtp_parameters_parse(STR(" SIZE=100  SMTPUTF8 X="), p, &count), 0);
    ck_assert_uint_eq(count, 3);
    expect_str(p[0].name, "SIZE");
    expect_str(p[0].value, "100");
    ck_assert_ptr_null(p[1].value.ptr);
    ck_assert_uint_eq(p[2].value.len, 0);
    ck_assert_int_lt(smtp_parameters_parse(STR("=5"), p, &count), 0);
    ck_assert_int_lt(smtp_parameters_parse(STR("A=\001"), p, &count), 0);
    ck_assert_int_lt(smtp_parameters_parse(STR("a a a a a a a a a a a a a a a a a a a a a"), p, &count), 0);
    ck_assert_int_eq(smtp_notify_parse(STR("success,Delay"), &value), 0);
    ck_assert_int_eq(value, 10);
    ck_assert_int_eq(smtp_notify_parse(STR("NEVER"), &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_lt(smtp_notify_parse(STR("NEVER,DELAY"), &value), 0);
    ck_assert_int_lt(smtp_notify_parse(STR(""), &value), 0);
    ck_assert_int_eq(smtp_ret_parse(STR("hdrs"), &value), 0);
    ck_assert_int_eq(value, 2);
}
END_TEST

START_TEST(test_replies)
{
    int code;
    bool is_last;
    struct str text, status, rest;
    ck_assert_int_eq(smtp_reply_line_parse(STR("250-PIPELINING\r\n"), &code, &is_last, &text), 0);
    ck_assert(code == 250 && !is_last);
    expect_str(text, "PIPELINING");
    ck_assert_int_eq(smtp_reply_line_parse(STR("354"), &code, &is_last, &text), 0);
    ck_assert(code == 354 && is_last);
    ck_assert_int_lt(smtp_reply_line_parse(STR("2500 x"), &code, &is_last, &text), 0);
    ck_assert_int_lt(smtp_reply_line_parse(STR("199 x"), &code, &is_last, &text), 0);
    ck_assert_int_lt(smtp_reply_line_parse(STR("25"), &code, &is_last, &text), 0);
    ck_assert(smtp_enhanced_status(STR("5.1.1 No such user"), &status, &rest));
    expect_str(status, "5.1.1");
    expect_str(rest, "No such user");
    ck_assert(!smtp_enhanced_status(STR("3.1.1 x"), &status, &rest));
    ck_assert(!smtp_enhanced_status(STR("5.1.1000 x"), &status, &rest));
    ck_assert(!smtp_enhanced_status(STR("5.1"), &status, &rest));
}
END_TEST

START_TEST(test_headers)
{
    struct str name, value, header;
    struct header_scan h;
    ck_assert(header_split(STR("Subject : hello "), &name, &value));
    expect_str(name, "Subject");
    expect_str(value, "hello");
    ck_assert(!header_split(STR("no header here"), &name, &value));
    ck_assert(!header_split(STR(": x"), &name, &value));
    header_scan_init(&h, 30);
    ck_assert_int_eq(header_scan_line(&h, STR("A: 1"), &header), HEADER_PENDING);
    ck_assert_int_eq(header_scan_line(&h, STR("\t2"), &header), HEADER_PENDING);
    ck_assert_int_eq(header_scan_line(&h, STR("B: 0123456789012345678901234567890123456789"), &header), HEADER_DONE);
    expect_str(header, "A: 1\n\t2");
    ck_assert_int_eq(header_scan_line(&h, STR(" more"), &header), HEADER_PENDING);
    ck_assert_int_eq(header_scan_line(&h, STR(""), &header), HEADER_END);
    ck_assert_uint_eq(header.len, 30);
    ck_assert_int_eq(header_scan_line(&h, STR("C: 1"), &header), HEADER_END);
    header_scan_release(&h);
}
END_TEST

START_TEST(test_bounce_log)
{
    struct buf b = BUF_INIT;
    struct bounce_entry in = {.recipient = STR("a@b"),
                              .original_recipient = STR("o@b"),
                              .dsn_orcpt = STR("rfc822;o@b"),
                              .offset = 683,
                              .notify = 14,
                              .status = STR("4.4.1"),
                              .action = STR("delayed"),
                              .diag_type = STR("smtp"),
                              .diag_text = STR("450 no"),
                              .mta_type = STR("dns"),
                              .mta_name = STR("h"),
                              .reason = STR("why = so")};
    struct bounce_entry out;
    ck_assert_int_eq(bounce_log_add(&b, &in, true), 0);
    in.recipient = STR("");
    ck_assert_int_eq(bounce_log_add(&b, &in, false), 0);
    struct str rest = buf_str(&b);
    ck_assert_int_eq(bounce_log_next(&rest, true, &arena, &out), 1);
    expect_str(out.recipient, "a@b");
    expect_str(out.original_recipient, "o@b");
    expect_str(out.reason, "why = so");
    expect_str(out.mta_name, "h");
    ck_assert(out.offset == 683 && out.notify == 14);
    ck_assert_int_eq(bounce_log_next(&rest, true, &arena, &out), 1);
    expect_str(out.recipient, "");
    ck_assert_int_eq(bounce_log_next(&rest, true, &arena, &out), 0);
    rest = STR("<x@y>: old form\n\ngarbage\n=\nrecipient=z@y\n");
    ck_assert_int_eq(bounce_log_next(&rest, true, &arena, &out), 1);
    expect_str(out.reason, "old form");
    expect_str(out.status, "4.0.0");
    ck_assert_int_eq(bounce_log_next(&rest, false, &arena, &out), 1);
    expect_str(out.status, "5.0.0");
    in.reason = STR("two\nlines");
    ck_assert_int_lt(bounce_log_add(&b, &in, false), 0);
    buf_release(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("syntax");
    TCase *t = tcase_create("syntax");
    tcase_add_test(t, test_verbs);
    tcase_add_test(t, test_parameters);
    tcase_add_test(t, test_replies);
    tcase_add_test(t, test_headers);
    tcase_add_test(t, test_bounce_log);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    arena_release(&arena);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
