// SPDX-License-Identifier: ISC
// tls_policy_test.c: unit tests of policies, per-site words, MX patterns and the choice among TLSA records.
#include <check.h>
#include <stdlib.h>

#include "lib/tlspolicy/tls_dane.h"
#include "lib/tlspolicy/tls_policy.h"

static struct arena arena;
static struct err err;

static int parse(const char *value, struct tls_policy *policy)
{
    err = ERR_INIT;
    return tls_policy_parse(str_from(value), &arena, policy, NULL, &err);
}

static void expect_refused(const char *value, const char *text)
{
    struct tls_policy policy;

    ck_assert_msg(parse(value, &policy) < 0, "%s was taken", value);
    ck_assert_str_eq(err.text, text);
}

START_TEST(policies_have_a_level_and_attributes)
{
    struct tls_policy p;

    ck_assert_int_eq(
        parse("secure match=a.example:.b.example, match=nexthop protocols=>=TLSv1.3 servername=hostname", &p), 0);
    ck_assert_int_eq(p.level, TLS_LEVEL_SECURE);
    ck_assert_uint_eq(p.match.count, 3);
    ck_assert(str_is(p.match.items[1], STR(".b.example")));
    ck_assert(str_is(p.match.items[2], STR("nexthop")));
    ck_assert(str_is(p.protocols, STR(">=TLSv1.3")));
    ck_assert(str_is(p.server_name, STR("hostname")));
    ck_assert_int_eq(parse("fingerprint match=AA:BB|CC:DD", &p), 0);
    ck_assert_uint_eq(p.match.count, 2);
    ck_assert(str_is(p.match.items[0], STR("AA:BB")));
    ck_assert_int_eq(parse("may connection_reuse=yes ciphers=high exclude=aNULL:RC4 enable_rpk=no", &p), 0);
    ck_assert(p.has_reuse && p.reuse && p.has_raw_key && !p.raw_key);
    ck_assert_int_eq(parse("secure policy_type=sts policy_domain=d.example { policy_string = mode: enforce } "
                           "mx_host_pattern=*.d.example "
                           "mx_host_pattern=mx.e.example policy_ttl=5",
                           &p),
                     0);
    ck_assert_uint_eq(p.mx_patterns.count, 2);
    ck_assert_int_eq(parse("NONE match=x", &p), 0); // attributes of no TLS mean nothing
    ck_assert_int_eq(p.level, TLS_LEVEL_NONE);
}
END_TEST

START_TEST(bad_policies_are_refused)
{
    expect_refused("", "invalid empty policy");
    expect_refused("bogus", "invalid security level \"bogus\"");
    expect_refused("may match=a.example", "attribute \"match\" invalid at security level \"may\"");
    expect_refused("dane match=nexthop", "attribute \"match\" invalid at security level \"dane\"");
    expect_refused("encrypt tafile=/x", "attribute \"tafile\" invalid at security level \"encrypt\"");
    expect_refused("verify match=", "attribute \"match\" has empty value");
    expect_refused("may foo=bar", "invalid attribute name: \"foo\"");
    expect_refused("may ciphers=high ciphers=medium", "attribute \"ciphers\" is specified multiple times");
    expect_refused("secure ciphers", "malformed attribute/value pair \"ciphers\": missing '=' after attribute name");
    expect_refused("encrypt connection_reuse=maybe", "attribute \"connection_reuse\" has bad value: \"maybe\"");
}
END_TEST

START_TEST(per_site_words_have_precedence)
{
    enum tls_site site;

    ck_assert_int_eq(tls_site_parse(STR(" must_nopeermatch "), &site), 0);
    ck_assert_int_eq(site, TLS_SITE_MUST_NOPEERMATCH);
    ck_assert_int_eq(tls_site_parse(STR("perhaps"), &site), -1);
    ck_assert_int_eq(tls_site_level(TLS_SITE_ABSENT, TLS_SITE_ABSENT, TLS_LEVEL_ENCRYPT), TLS_LEVEL_ENCRYPT);
    ck_assert_int_eq(tls_site_level(TLS_SITE_NONE, TLS_SITE_ABSENT, TLS_LEVEL_ENCRYPT), TLS_LEVEL_NONE);
    ck_assert_int_eq(tls_site_level(TLS_SITE_NONE, TLS_SITE_MUST, TLS_LEVEL_MAY), TLS_LEVEL_VERIFY);
    ck_assert_int_eq(tls_site_level(TLS_SITE_MAY, TLS_SITE_NONE, TLS_LEVEL_MAY), TLS_LEVEL_NONE);
    ck_assert_int_eq(tls_site_level(TLS_SITE_MAY, TLS_SITE_ABSENT, TLS_LEVEL_VERIFY), TLS_LEVEL_VERIFY);
    ck_assert_int_eq(tls_site_level(TLS_SITE_MAY, TLS_SITE_ABSENT, TLS_LEVEL_NONE), TLS_LEVEL_MAY);
    ck_assert_int_eq(tls_site_level(TLS_SITE_MUST_NOPEERMATCH, TLS_SITE_NONE, TLS_LEVEL_VERIFY), TLS_LEVEL_ENCRYPT);
}
END_TEST

START_TEST(patterns_cover_one_label)
{
    ck_assert(tls_mx_pattern_matches(STR("mx.example.com"), STR("MX.example.com")));
    ck_assert(tls_mx_pattern_matches(STR("*.example.com"), STR("mx.example.com")));
    ck_assert(!tls_mx_pattern_matches(STR("*.example.com"), STR("a.mx.example.com")));
    ck_assert(!tls_mx_pattern_matches(STR("*.example.com"), STR("example.com")));
    ck_assert(!tls_mx_pattern_matches(STR("*.example.com"), STR(".example.com")));
    ck_assert(!tls_mx_pattern_matches(STR(".example.com"), STR("mx.example.com")));
    ck_assert(!tls_mx_pattern_matches(STR("mx.example.co"), STR("mx.example.com")));
}
END_TEST

static struct dns_tlsa record(unsigned usage, unsigned selector, unsigned matching, size_t size)
{
    static const unsigned char bytes[64];

    return (struct dns_tlsa){(uint8_t)usage, (uint8_t)selector, (uint8_t)matching, {bytes, size}};
}

START_TEST(usable_tlsa_records_are_chosen)
{
    const struct dns_tlsa useless[] = {record(0, 0, 1, 32), record(1, 1, 1, 32), record(3, 2, 1, 32),
                                       record(3, 1, 1, 31), record(3, 1, 3, 32), record(2, 0, 2, 32)};
    const struct dns_tlsa mixed[] = {record(3, 1, 1, 32), record(3, 1, 2, 64), record(2, 0, 1, 32),
                                     record(2, 0, 0, 10)};
    struct dns_tlsa usable[8];

    ck_assert_uint_eq(tls_dane_usable(useless, 6, STR("sha512 sha256"), usable), 0);
    ck_assert_uint_eq(tls_dane_usable(mixed, 4, STR("sha512 sha256"), usable),
                      3); // the weaker digest of 3 1 is passed over
    ck_assert_int_eq(usable[0].matching, 2);
    ck_assert_int_eq(usable[1].usage, 2);
    ck_assert_uint_eq(tls_dane_usable(mixed, 4, STR("sha256=1"), usable), 3);
    ck_assert_int_eq(usable[0].matching, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_policy");
    TCase *tc = tcase_create("policy");

    tcase_add_test(tc, policies_have_a_level_and_attributes);
    tcase_add_test(tc, bad_policies_are_refused);
    tcase_add_test(tc, per_site_words_have_precedence);
    tcase_add_test(tc, patterns_cover_one_label);
    tcase_add_test(tc, usable_tlsa_records_are_chosen);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_release(&arena);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
