// SPDX-License-Identifier: ISC
// agent_test.c: delays and status lines as log readers expect them.
#include <check.h>
#include <stdlib.h>

#include "lib/agent/agent_report.h"
#include "lib/agent/verp.h"
#include "lib/base/clock.h"

static void expect_delay(int64_t us, unsigned limit, const char *text)
{
    struct buf b = BUF_INIT;
    delivery_add_delay(&b, us, limit);
    ck_assert_str_eq(buf_cstr(&b), text);
    buf_release(&b);
}

START_TEST(delays_have_two_significant_digits)
{
    expect_delay(0, 2, "0");
    expect_delay(-5, 2, "0");
    expect_delay(4999, 2, "0");
    expect_delay(5000, 2, "0.01");
    expect_delay(12345, 2, "0.01");
    expect_delay(123456, 2, "0.12");
    expect_delay(100000, 2, "0.1");
    expect_delay(996000, 2, "1");
    expect_delay(1249999, 2, "1.2");
    expect_delay(9960000, 2, "10");
    expect_delay(64400000, 2, "64");
    expect_delay(3600000000, 2, "3600");
    expect_delay(1234, 6, "0.0012");
    expect_delay(7, 6, "0.000007");
    expect_delay(1500000, 0, "2");
}
END_TEST

START_TEST(delays_split_by_phase)
{
    struct delivery_request r = {.arrival_us = 1000, .active_us = 1100, .request_us = 1300};
    struct delivery_report report = {.connected_us = 1400, .start_us = 1900};
    int64_t d[4];
    delivery_delays(&r, &report, 2900, d);
    ck_assert_int_eq(d[0], 100);
    ck_assert_int_eq(d[1], 300);
    ck_assert_int_eq(d[2], 500);
    ck_assert_int_eq(d[3], 1000);
    report.start_us = 0; // the connection failed
    delivery_delays(&r, &report, 2900, d);
    ck_assert_int_eq(d[2], 1500);
    ck_assert_int_eq(d[3], 0);
    report.connected_us = 0; // no connection needed
    delivery_delays(&r, &report, 2900, d);
    ck_assert_int_eq(d[1], 200);
    ck_assert_int_eq(d[2], 0);
    ck_assert_int_eq(d[3], 1600);
}
END_TEST

START_TEST(status_line_has_the_known_shape)
{
    static const struct settings settings = {.delay_logging_resolution_limit = 2};
    struct delivery_recipient rcpt = {
        .address = STR("a@b.test"), .original = STR("Alias@b.test"), .dsn_orcpt = STR("")};
    struct delivery d = {.settings = &settings};
    d.request.recipients = &rcpt;
    d.request.recipient_count = 1;
    d.request.arrival_us = d.request.active_us = d.request.request_us = 5000000;
    struct delivery_report report = {.status = DELIVERY_SENT,
                                     .dsn = STR("2.0.0"),
                                     .text = STR("250 ok\x01"),
                                     .relay = STR("h[1.2.3.4]:25"),
                                     .connection_uses = 3};
    clock_fake_set(0, 5120000);
    struct buf b = BUF_INIT;
    delivery_add_status_line(&b, &d, 0, &report);
    ck_assert_str_eq(buf_cstr(&b),
                     "to=<a@b.test>, orig_to=<Alias@b.test>, relay=h[1.2.3.4]:25, conn_use=3, delay=0.12, "
                     "delays=0/0/0/0.12, dsn=2.0.0, status=sent (250 ok?)");
    buf_clear(&b);
    rcpt.original = STR("A@B.test"); // differs by case only: not shown
    report.relay = STR("");
    report.status = DELIVERY_BOUNCED;
    report.connection_uses = 1;
    delivery_add_status_line(&b, &d, 0, &report);
    ck_assert_str_eq(buf_cstr(&b),
                     "to=<a@b.test>, relay=none, delay=0.12, delays=0/0/0/0.12, dsn=2.0.0, status=bounced (250 ok?)");
    buf_release(&b);
    clock_fake_end();
}
END_TEST

static void expect_sender(const char *delimiters, const char *sender, const char *recipient, const char *expected)
{
    struct buf b = BUF_INIT;
    verp_add_sender(&b, str_from(delimiters), str_from(sender), str_from(recipient));
    ck_assert_str_eq(buf_cstr(&b), expected);
    buf_release(&b);
}

START_TEST(return_paths_name_the_recipient)
{
    expect_sender("+=", "owner@list.test", "user@far.test", "owner+user=far.test@list.test");
    expect_sender("-#", "owner@list.test", "user", "owner-user@list.test");
    expect_sender("+=", "owner", "user@far.test", "owner+user=far.test");
    expect_sender("+=", "", "user@far.test", "");
    expect_sender("+", "owner@list.test", "user@far.test", "owner@list.test");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent");
    TCase *tc = tcase_create("report");
    tcase_add_test(tc, delays_have_two_significant_digits);
    tcase_add_test(tc, delays_split_by_phase);
    tcase_add_test(tc, return_paths_name_the_recipient);
    tcase_add_test(tc, status_line_has_the_known_shape);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
