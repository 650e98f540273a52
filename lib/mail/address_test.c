// SPDX-License-Identifier: ISC
// address_test.c: addresses as peers write them.
#include <check.h>
#include <stdlib.h>

#include "lib/mail/address.h"

static struct arena arena = ARENA_INIT;

static void expect_str(struct str got, const char *want)
{
    ck_assert_msg(str_is(got, str_from(want)), "got \"" STR_FMT "\", want \"%s\"", STR_ARG(got), want);
}

static void expect_path(const char *text, const char *address, const char *rest)
{
    struct str got, tail;
    ck_assert_msg(address_parse_path(str_from(text), false, &arena, &got, &tail) == 0, "%s refused", text);
    expect_str(got, address);
    expect_str(tail, rest);
}

START_TEST(test_paths)
{
    struct str a, rest;
    expect_path("<a@b.example>", "a@b.example", "");
    expect_path(" <a@b.example>  SIZE=100 BODY=8BITMIME", "a@b.example", "SIZE=100 BODY=8BITMIME");
    expect_path("<>", "", "");
    expect_path("<@x.example,@y.example:a@b>", "a@b", "");
    expect_path("<\"q s\\\"x\"@b>", "q s\"x@b", "");
    expect_path("<\"a>b\"@c> X=1", "a>b@c", "X=1");
    expect_path("a@b SIZE=1", "a@b", "SIZE=1");
    expect_path("<postmaster>", "postmaster", "");
    expect_path("<a@[127.0.0.1]>", "a@[127.0.0.1]", "");
    expect_path("<a@[IPv6:::1]>", "a@[IPv6:::1]", "");
    static const char *const bad[] = {"",        "<",        "<a@b",      "<a b@c>", "<a@b>X",
                                      "<\"a@b>", "<a(c)@b>", "<a\x01@b>", "<a\\>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(address_parse_path(str_from(bad[i]), false, &arena, &a, &rest) < 0, "%s accepted", bad[i]);
    ck_assert_int_lt(address_parse_path(STR("a@b"), true, &arena, &a, &rest), 0);
}
END_TEST

START_TEST(test_long_paths)
{
    struct buf b = BUF_INIT;
    struct str a, rest;
    buf_add_char(&b, '<');
    for (int i = 0; i < 3000; i++)
        buf_add_char(&b, 'x');
    buf_add_cstr(&b, "@b>");
    ck_assert_int_lt(address_parse_path(buf_str(&b), false, &arena, &a, &rest), 0);
    buf_release(&b);
}
END_TEST

START_TEST(test_external)
{
    static const char *const pairs[][2] = {
        {"a@b", "a@b"},       {"a b@c", "\"a b\"@c"}, {"a\"b@c", "\"a\\\"b\"@c"},  {"", ""},
        {".a@b", "\".a\"@b"}, {"a@x@b", "\"a@x\"@b"}, {"postmaster", "postmaster"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct buf b = BUF_INIT;
        address_add_external(&b, str_from(pairs[i][0]));
        expect_str(buf_str(&b), pairs[i][1]);
        buf_release(&b);
    }
    struct buf b = BUF_INIT;
    address_add_log(&b, str_of("a\nb@c", 5));
    expect_str(buf_str(&b), "\"a?b\"@c");
    buf_release(&b);
}
END_TEST

START_TEST(test_extension)
{
    struct str user, ext;
    address_split_extension(STR("joe+box"), STR("+"), &user, &ext);
    expect_str(user, "joe");
    expect_str(ext, "box");
    address_split_extension(STR("+box"), STR("+"), &user, &ext);
    ck_assert_ptr_null(ext.ptr);
    address_split_extension(STR("owner-list"), STR("-+"), &user, &ext);
    ck_assert_ptr_null(ext.ptr);
    address_split_extension(STR("joe-x"), STR("+-"), &user, &ext);
    expect_str(ext, "x");
    address_split_extension(STR("double-bounce"), STR("-"), &user, &ext);
    ck_assert_ptr_null(ext.ptr);
}
END_TEST

START_TEST(test_domains)
{
    struct str ascii;
    ck_assert(address_domain_is_valid(STR("a-b.example")));
    ck_assert(!address_domain_is_valid(STR("a..b")));
    ck_assert(!address_domain_is_valid(STR("-a.b")));
    ck_assert(!address_domain_is_valid(STR("a.")));
    ck_assert(!address_domain_is_valid(STR("127.0.0.1")));
    ck_assert(address_domain_is_literal(STR("[127.0.0.1]")));
    ck_assert(address_domain_is_literal(STR("[IPv6:::1]")));
    ck_assert(!address_domain_is_literal(STR("[300.0.0.1]")));
    ck_assert_int_eq(address_domain_to_ascii(STR("b\xc3\xbc"
                                                 "cher.example"),
                                             &arena, &ascii),
                     0);
    expect_str(ascii, "xn--bcher-kva.example");
    ck_assert_int_lt(address_domain_to_ascii(STR("b\xff.example"), &arena, &ascii), 0);
    expect_str(address_lower_domain(&arena, STR("Joe@Example.COM")), "Joe@example.com");
}
END_TEST

START_TEST(test_lists)
{
    struct address_list list;
    struct err err = ERR_INIT;
    struct str text = STR("Joe \"x, y\" <a@b>, (comment, (nested)) c@d (tail),\n Group: x@y, \"q r\"@z;, <@h:e@f>, <>,,"
                          " u . v @ w");
    ck_assert_int_eq(address_list_parse(text, &arena, &list, &err), 0);
    static const char *const want[] = {"a@b", "c@d", "x@y", "q r@z", "e@f", "u.v@w"};
    ck_assert_uint_eq(list.count, 6);
    for (size_t i = 0; i < 6; i++)
        expect_str(list.items[i], want[i]);
    ck_assert_int_eq(
        address_list_parse(STR("a b@c (x) d . e @ f, Joe Smith <g@h> i, \"j k\" l, <m n>"), &arena, &list, &err), 0);
    static const char *const blanks[] = {"a", "b@c", "d.e@f", "g@h", "i", "j k", "l", "mn"};
    ck_assert_uint_eq(list.count, 8);
    for (size_t i = 0; i < 8; i++)
        expect_str(list.items[i], blanks[i]);
    ck_assert_int_eq(address_list_parse(STR("undisclosed recipients:;"), &arena, &list, &err), 0);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_eq(address_list_parse(STR("undisclosed-recipients:;"), &arena, &list, &err), 0);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_lt(address_list_parse(STR("a@b, \"open"), &arena, &list, &err), 0);
}
END_TEST

START_TEST(test_spans)
{
    struct address_scan scan;
    struct address_span span;
    struct str text = STR("Joe <joe>, bob (x), <>");
    address_scan_init(&scan, text);
    ck_assert_int_eq(address_scan_next(&scan, &arena, &span), 1);
    expect_str(str_slice(text, span.from, span.to), "joe");
    ck_assert(span.is_angle && span.is_valid);
    ck_assert_int_eq(address_scan_next(&scan, &arena, &span), 1);
    expect_str(str_slice(text, span.from, span.to), "bob");
    ck_assert(!span.is_angle);
    ck_assert_int_eq(address_scan_next(&scan, &arena, &span), 1);
    ck_assert_uint_eq(span.address.len, 0);
    ck_assert_int_eq(address_scan_next(&scan, &arena, &span), 0);
}
END_TEST

START_TEST(test_xtext)
{
    struct str out;
    struct buf b = BUF_INIT;
    ck_assert_int_eq(address_xtext_decode(STR("a+2Bb+3Dc"), &arena, &out), 0);
    expect_str(out, "a+b=c");
    address_xtext_add(&b, STR("a+b= \xe4"));
    expect_str(buf_str(&b), "a+2Bb+3D+20+E4");
    ck_assert_int_lt(address_xtext_decode(STR("a+2"), &arena, &out), 0);
    ck_assert_int_lt(address_xtext_decode(STR("a+"), &arena, &out), 0);
    ck_assert_int_lt(address_xtext_decode(STR("+0A"), &arena, &out), 0);
    ck_assert_int_lt(address_xtext_decode(STR("a=b"), &arena, &out), 0);
    buf_release(&b);
}
END_TEST

START_TEST(test_unitext)
{
    struct str out;
    static const char *const bad[] = {"\\x{}",   "\\x{FC",  "\\xFC", "\\",    "\\x{110000}", "\\x{D800}",
                                      "\\x{0A}", "\\x{7F}", "a b",   "a+2Bb", "\xff"};
    ck_assert_int_eq(address_unitext_decode(STR("\\x{FC}ber@\\x{20AC}.\\x{1F600}"), &arena, &out), 0);
    ck_assert(str_is(out, STR("\xc3\xbc"
                              "ber@\xe2\x82\xac.\xf0\x9f\x98\x80")));
    ck_assert_int_eq(address_unitext_decode(STR("\xc3\xbc\\x{5C}"), &arena, &out), 0);
    ck_assert(str_is(out, STR("\xc3\xbc\\")));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_lt(address_unitext_decode(str_from(bad[i]), &arena, &out), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("address");
    TCase *t = tcase_create("address");
    tcase_add_test(t, test_paths);
    tcase_add_test(t, test_long_paths);
    tcase_add_test(t, test_external);
    tcase_add_test(t, test_extension);
    tcase_add_test(t, test_domains);
    tcase_add_test(t, test_lists);
    tcase_add_test(t, test_spans);
    tcase_add_test(t, test_xtext);
    tcase_add_test(t, test_unitext);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    arena_release(&arena);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
