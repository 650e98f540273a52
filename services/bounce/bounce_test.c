// SPDX-License-Identifier: ISC
// bounce_test.c: the parts of notifications: wrapping, templates, delivery reports.
#include <check.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "services/bounce/bounce.h"

static void expect_wrapped(const char *text, const char *wrapped)
{
    struct buf b = BUF_INIT;
    bounce_add_wrapped(&b, str_from(text));
    ck_assert_str_eq(buf_cstr(&b), wrapped);
    buf_release(&b);
}

START_TEST(long_lines_are_wrapped_at_blanks)
{
    expect_wrapped("short text", "short text\n");
    expect_wrapped("", "\n");
    expect_wrapped(
        "<user@far.example>: host mx.far.example[192.0.2.1] said: 550 5.1.1 no such user here at all",
        "<user@far.example>: host mx.far.example[192.0.2.1] said: 550 5.1.1 no such user\n    here at all\n");
    char word[200];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    struct buf b = BUF_INIT;
    bounce_add_wrapped(&b, str_from(word)); // one long word stays whole
    ck_assert_uint_eq(b.len, sizeof word);
    buf_release(&b);
}
END_TEST

START_TEST(templates_replace_what_they_name)
{
    struct bounce_templates t = {0};
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert(
        bounce_templates_parse(&t,
                               STR("# comment\n\nfailure_template = <<EOF\nCharset: utf-8\nFrom: MAILER-DAEMON (Me)\n"
                                   "Subject: Sorry\nPostmaster-Subject: Copy\n\nDear $x,\nno.\nEOF\n"
                                   "delay_template=<<END\nSubject: Wait\n\nbody\nEND\n"),
                               &arena, &err));
    ck_assert(str_is(t.of[BOUNCE_NOTICE_FAILURE].subject, STR("Sorry")));
    ck_assert(str_is(t.of[BOUNCE_NOTICE_FAILURE].postmaster_subject, STR("Copy")));
    ck_assert(str_is(t.of[BOUNCE_NOTICE_FAILURE].body, STR("Dear $x,\nno.\n")));
    ck_assert(str_is(t.of[BOUNCE_NOTICE_DELAY].body, STR("body\n")));
    ck_assert_uint_eq(t.of[BOUNCE_NOTICE_SUCCESS].body.len, 0);
    ck_assert(!bounce_templates_parse(&t, STR("failure_template = <<EOF\nno end\n"), &arena, &err));
    ck_assert(!bounce_templates_parse(&t, STR("other_template = <<EOF\nEOF\n"), &arena, &err));
    ck_assert(!bounce_templates_parse(&t, STR("just text\n"), &arena, &err));
    arena_release(&arena);
}
END_TEST

START_TEST(report_has_the_fields_of_rfc_3464)
{
    static const struct settings settings = {.myhostname = STR("mx.test"),
                                             .mail_name = STR("My Mail"),
                                             .empty_address_recipient = STR("MAILER-DAEMON"),
                                             .maximal_queue_lifetime = 100};
    struct bounce_state state = {.settings = &settings};
    struct bounce_template text = {STR("us-ascii"), STR(""), STR("S"), STR(""), STR("Body\n")};
    struct bounce_flush flush = {.notice = BOUNCE_NOTICE_FAILURE,
                                 .queue_id = STR("ABC"),
                                 .sender = STR("joe@a.test"),
                                 .envelope_id = STR("env1")};
    struct bounce_entry entries[] = {
        {STR("u@x.test"), STR("alias@x.test"), STR("rfc822;o@x.test"), 0, 0, STR("5.1.1"), STR("failed"), STR("smtp"),
         STR("550 5.1.1 no"), STR("dns"), STR("mx.x.test"), STR("host said: 550 5.1.1 no")},
        {STR("v@x.test"), STR("v@x.test"), STR(""), 0, 0, STR("5.0.0"), STR("failed"), STR(""), STR(""), STR("dns"),
         STR(""), STR("broken")},
    };
    struct bounce_mail mail = {.flush = &flush, .text = &text, .entries = entries, .entry_count = 2};
    struct buf b = BUF_INIT;
    bounce_add_report(&b, &state, &mail, STR("BB"));
    const char *whole = buf_cstr(&b);
    ck_assert_ptr_nonnull(strstr(whole, "\n--BB\nContent-Description: Notification\n"));
    ck_assert_ptr_nonnull(
        strstr(whole, "Body\n\n<u@x.test> (expanded from <alias@x.test>): host said: 550 5.1.1 no\n"));
    ck_assert_ptr_nonnull(strstr(whole,
                                 "Reporting-MTA: dns; mx.test\nOriginal-Envelope-Id: env1\nX-My-Mail-Queue-ID: ABC\n"
                                 "X-My-Mail-Sender: rfc822; joe@a.test\nArrival-Date: "));
    ck_assert_ptr_nonnull(strstr(whole, "\nFinal-Recipient: rfc822; u@x.test\nOriginal-Recipient: rfc822;o@x.test\n"
                                        "Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.x.test\n"
                                        "Diagnostic-Code: smtp; 550 5.1.1 no\n"));
    ck_assert_ptr_nonnull(strstr(whole, "\nFinal-Recipient: rfc822; v@x.test\nAction: failed\nStatus: 5.0.0\n"
                                        "Diagnostic-Code: X-My-Mail; broken\n"));
    ck_assert_ptr_null(strstr(whole, "Will-Retry-Until"));
    buf_release(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bounce");
    TCase *tc = tcase_create("notifications");
    tcase_add_test(tc, long_lines_are_wrapped_at_blanks);
    tcase_add_test(tc, templates_replace_what_they_name);
    tcase_add_test(tc, report_has_the_fields_of_rfc_3464);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
