// SPDX-License-Identifier: ISC
// verify_test.c: entries of the cache, and how long they are good for.
#include <check.h>
#include <stdlib.h>

#include "services/verify/verify_cache.h"

static const struct settings settings = {
    .address_verify_positive_expire_time = 1000,
    .address_verify_positive_refresh_time = 100,
    .address_verify_negative_expire_time = 50,
    .address_verify_negative_refresh_time = 5,
    .address_verify_negative_cache = true,
    .address_verify_poll_count = 3,
    .address_verify_poll_delay = 3,
};

static struct verify_entry parsed(const char *text)
{
    struct verify_entry entry;
    ck_assert_msg(verify_entry_parse(str_from(text), &entry), "%s", text);
    return entry;
}

START_TEST(entries_are_text)
{
    struct verify_entry entry = parsed("2:7:1795805971:host a: said: 550 no");
    struct buf b = BUF_INIT;
    ck_assert_int_eq(entry.status, VERIFY_BOUNCED);
    ck_assert_int_eq(entry.probed, 7);
    ck_assert_int_eq(entry.updated, 1795805971);
    ck_assert(str_is(entry.text, STR("host a: said: 550 no")));
    verify_entry_add(&b, &entry);
    ck_assert_str_eq(buf_cstr(&b), "2:7:1795805971:host a: said: 550 no");
    buf_release(&b);
    entry = parsed("3:5:0:");
    ck_assert(entry.text.len == 0);
    ck_assert(!verify_entry_parse(STR("4:0:0:x"), &entry));
    ck_assert(!verify_entry_parse(STR("-1:0:0:x"), &entry));
    ck_assert(!verify_entry_parse(STR("0:0:0"), &entry));
    ck_assert(!verify_entry_parse(STR("0:x:0:y"), &entry));
    ck_assert(!verify_entry_parse(STR("1795805971"), &entry));
    ck_assert(!verify_entry_parse(STR(""), &entry));
}
END_TEST

START_TEST(positive_entries_are_refreshed_before_they_expire)
{
    struct verify_entry entry = parsed("0:0:10000:ok");
    ck_assert(verify_entry_is_usable(&entry, &settings, 10099) && !verify_entry_wants_probe(&entry, &settings, 10099));
    ck_assert(verify_entry_is_usable(&entry, &settings, 10100) && verify_entry_wants_probe(&entry, &settings, 10100));
    ck_assert(verify_entry_is_usable(&entry, &settings, 10999));
    ck_assert(!verify_entry_is_usable(&entry, &settings, 11000) && verify_entry_wants_probe(&entry, &settings, 11000));
    entry = parsed("0:10100:10000:ok"); // a probe is under way
    ck_assert(!verify_entry_wants_probe(&entry, &settings, 10101));
    ck_assert(verify_entry_wants_probe(&entry, &settings, 11100));
}
END_TEST

START_TEST(negative_entries_have_times_of_their_own)
{
    struct verify_entry entry = parsed("1:0:10000:later");
    static struct settings uncached;
    uncached = settings;
    ck_assert(verify_entry_is_usable(&entry, &settings, 10004) && !verify_entry_wants_probe(&entry, &settings, 10004));
    ck_assert(verify_entry_is_usable(&entry, &settings, 10049) && verify_entry_wants_probe(&entry, &settings, 10049));
    ck_assert(!verify_entry_is_usable(&entry, &settings, 10050));
    uncached.address_verify_negative_cache = false;
    ck_assert(verify_entry_is_usable(&entry, &uncached, 10011)); // for the session that polls
    ck_assert(!verify_entry_is_usable(&entry, &uncached, 10012));
}
END_TEST

START_TEST(one_probe_at_a_time)
{
    struct verify_entry entry = parsed("3:10000:0:");
    ck_assert(verify_entry_is_usable(&entry, &settings, 10999) && !verify_entry_wants_probe(&entry, &settings, 10999));
    ck_assert(!verify_entry_is_usable(&entry, &settings, 11000) && verify_entry_wants_probe(&entry, &settings, 11000));
}
END_TEST

START_TEST(a_failed_refresh_leaves_a_good_entry)
{
    struct verify_entry good = parsed("0:0:10000:ok"), bad = parsed("2:0:10000:no");
    ck_assert(!verify_entry_yields_to(&good, VERIFY_DEFERRED, &settings, 10500));
    ck_assert(!verify_entry_yields_to(&good, VERIFY_BOUNCED, &settings, 10500));
    ck_assert(verify_entry_yields_to(&good, VERIFY_BOUNCED, &settings, 11000));
    ck_assert(verify_entry_yields_to(&good, VERIFY_OK, &settings, 10500));
    ck_assert(verify_entry_yields_to(&bad, VERIFY_DEFERRED, &settings, 10001));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verify");
    TCase *tc = tcase_create("verify");
    tcase_add_test(tc, entries_are_text);
    tcase_add_test(tc, positive_entries_are_refreshed_before_they_expire);
    tcase_add_test(tc, negative_entries_have_times_of_their_own);
    tcase_add_test(tc, one_probe_at_a_time);
    tcase_add_test(tc, a_failed_refresh_leaves_a_good_entry);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
