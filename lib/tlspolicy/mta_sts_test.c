// SPDX-License-Identifier: ISC
// mta_sts_test.c: unit tests of MTA-STS records and policy files.
#include <check.h>
#include <stdlib.h>

#include "lib/tlspolicy/mta_sts.h"

static struct arena arena;
static struct err err;
static struct mta_sts policy;

static int parse(const char *text)
{
    err = ERR_INIT;
    return mta_sts_policy_parse(str_from(text), &arena, &policy, &err);
}

START_TEST(records_have_one_id)
{
    struct str id;

    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1; id=20160831085700Z;"), &id), 1);
    ck_assert(str_is(id, STR("20160831085700Z")));
    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1;id=1; other=x;"), &id), 1);
    ck_assert_int_eq(mta_sts_record_parse(STR("v=spf1 -all"), &id), 0);
    ck_assert_int_eq(mta_sts_record_parse(STR("id=1; v=STSv1"), &id), 0);
    ck_assert_int_eq(mta_sts_record_parse(STR(""), &id), 0);
    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1"), &id), -1);
    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1; id=1; id=2"), &id), -1);
    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1; id=a b"), &id), -1);
    ck_assert_int_eq(mta_sts_record_parse(STR("v=STSv1; id=123456789012345678901234567890123"), &id), -1);
}
END_TEST

START_TEST(policies_are_read)
{
    ck_assert_int_eq(
        parse("version: STSv1\r\nmode: enforce\r\nmx: mail.Example.com\r\nmx: *.example.net\r\nnew: thing\r\n"
              "max_age: 604800\r\n"),
        0);
    ck_assert_int_eq(policy.mode, MTA_STS_ENFORCE);
    ck_assert_int_eq(policy.max_age, 604800);
    ck_assert_uint_eq(policy.mx.count, 2);
    ck_assert(str_is(policy.mx.items[0], STR("mail.example.com")));
    ck_assert_int_eq(parse("version:STSv1\nmode:none\nmax_age:99999999\nmode: enforce\n"), 0); // the first one counts
    ck_assert_int_eq(policy.mode, MTA_STS_NONE);
    ck_assert_int_eq(policy.max_age, MTA_STS_MAX_AGE);
}
END_TEST

static void expect_refused(const char *text, const char *why)
{
    ck_assert_int_eq(parse(text), -1);
    ck_assert_str_eq(err.text, why);
}

START_TEST(bad_policies_are_refused)
{
    expect_refused("", "no version");
    expect_refused("version: STSv2\n", "unknown version");
    expect_refused("version: STSv1\nmode: strict\n", "unknown mode");
    expect_refused("version: STSv1\nmode: testing\nmx: a.b\n", "no max_age");
    expect_refused("version: STSv1\nmode: testing\nmax_age: 5\n", "no mx");
    expect_refused("version: STSv1\nmode: testing\nmax_age: -5\n", "bad max_age");
    expect_refused("version: STSv1\nmx: a*b.c\n", "bad mx pattern");
    expect_refused("version: STSv1\nmx: *.\n", "bad mx pattern");
    expect_refused("version: STSv1\nmx: a b\n", "bad mx pattern");
    expect_refused("version: STSv1\nwhat\n", "a line without \":\"");
    struct buf long_one = BUF_INIT;
    buf_add_cstr(&long_one, "version: STSv1\nmode: testing\nmax_age: 5\n");
    for (int i = 0; i <= MTA_STS_MX_MAX; i++)
        buf_addf(&long_one, "mx: m%d.example\n", i);
    expect_refused(buf_cstr(&long_one), "more than 100 mx patterns");
    while (long_one.len <= MTA_STS_POLICY_MAX)
        buf_add_cstr(&long_one, "x: y\n");
    expect_refused(buf_cstr(&long_one), "the policy is larger than 65536 bytes");
    buf_release(&long_one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mta_sts");
    TCase *tc = tcase_create("mta_sts");

    tcase_add_test(tc, records_have_one_id);
    tcase_add_test(tc, policies_are_read);
    tcase_add_test(tc, bad_policies_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_release(&arena);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
