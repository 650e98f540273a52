// SPDX-License-Identifier: ISC
// base_test.c: unit tests of lib/base.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

static void assert_str(struct str s, const char *expected)
{
    ck_assert_msg(str_is(s, str_from(expected)), "got \"" STR_FMT "\", expected \"%s\"", STR_ARG(s), expected);
}

// ---- Strings

START_TEST(compares_and_folds)
{
    ck_assert(str_is(STR("ab"), STR("ab")) && !str_is(STR("ab"), STR("aB")) && !str_is(STR("ab"), STR("abc")));
    ck_assert(str_is(STR_NULL, STR("")));
    ck_assert(str_is_nocase(STR("Ab@[z"), STR("aB@[Z")));
    ck_assert(!str_is_nocase(STR("@"), STR("`")) && !str_is_nocase(STR("["), STR("{")));
    ck_assert(str_compare(STR("a"), STR("ab")) < 0 && str_compare(STR("b"), STR("ab")) > 0);
    ck_assert(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    ck_assert(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
    ck_assert(str_ends_nocase(STR("x.ORG"), STR(".org")) && str_starts_nocase(STR("HELO x"), STR("helo")));
}
END_TEST

START_TEST(cuts_and_searches)
{
    struct str s = STR("hello world");
    assert_str(str_slice(s, 6, 99), "world");
    assert_str(str_slice(s, 99, 3), "");
    assert_str(str_trim(STR(" \t a b\r\n")), "a b");
    assert_str(str_trim(STR("  ")), "");
    ck_assert_int_eq(str_find(s, 'o'), 4);
    ck_assert_int_eq(str_rfind(s, 'o'), 7);
    ck_assert_int_eq(str_find(s, 'x'), -1);
    ck_assert_int_eq(str_find(STR_NULL, 'x'), -1);
    ck_assert_int_eq(str_find_str(s, STR("wor")), 6);
    ck_assert_int_eq(str_find_str(s, STR("worx")), -1);
    struct str rest = STR("a:b"), head;
    ck_assert(str_cut(&rest, ':', &head));
    assert_str(head, "a");
    ck_assert(!str_cut(&rest, ':', &head));
    assert_str(head, "b");
    assert_str(rest, "");
}
END_TEST

START_TEST(finds_tokens)
{
    struct str rest = STR(", a b,,{c {d}, e} f{,}g "), token;
    const char *plain[] = {"a", "b", "{c", "{d}", "e}", "f{", "}g"};
    for (int i = 0; i < COUNT(plain); i++) {
        ck_assert(str_token(&rest, ", ", &token));
        assert_str(token, plain[i]);
    }
    ck_assert(!str_token(&rest, ", ", &token));
    rest = STR(", a b,,{c {d}, e} f{,}g static:{x y");
    const char *braced[] = {"a", "b", "{c {d}, e}", "f{,}g", "static:{x y"};
    for (int i = 0; i < COUNT(braced); i++) {
        ck_assert(str_token_braced(&rest, ", ", &token));
        assert_str(token, braced[i]);
    }
    ck_assert(!str_token_braced(&rest, ", ", &token));
    struct str nul = STR("a\0b");
    ck_assert(str_token(&nul, " ", &token));
    ck_assert_uint_eq(token.len, 3); // NUL is no separator
}
END_TEST

static const struct {
    const char *text;
    bool valid;
} utf8_cases[] = {{"", true},
                  {"plain", true},
                  {"\xc3\xa4", true},
                  {"\xe2\x82\xac", true},
                  {"\xf0\x9f\x92\xa9", true},
                  {"\xc0\x80", false},
                  {"\xc1\xbf", false},
                  {"\xe0\x9f\xbf", false},
                  {"\xed\xa0\x80", false},
                  {"\xf0\x8f\xbf\xbf", false},
                  {"\xf4\x90\x80\x80", false},
                  {"\xf5\x80\x80\x80", false},
                  {"\x80", false},
                  {"\xc3", false},
                  {"\xe2\x82", false},
                  {"a\xff", false}};

START_TEST(knows_utf8)
{
    ck_assert_int_eq(str_is_utf8(str_from(utf8_cases[_i].text)), utf8_cases[_i].valid);
}
END_TEST

static const struct {
    const char *text;
    int result;
    int64_t value;
} number_cases[] = {{"0", 0, 0},
                    {"-1", 0, -1},
                    {"+7", 0, 7},
                    {"9223372036854775807", 0, INT64_MAX},
                    {"9223372036854775808", -1, 0},
                    {"-9223372036854775808", 0, INT64_MIN},
                    {"-9223372036854775809", -1, 0},
                    {"18446744073709551616", -1, 0},
                    {"", -1, 0},
                    {"-", -1, 0},
                    {"--1", -1, 0},
                    {"1 ", -1, 0},
                    {"0x1", -1, 0}};

START_TEST(reads_numbers)
{
    int64_t value = 0;
    ck_assert_int_eq(str_to_i64(str_from(number_cases[_i].text), &value), number_cases[_i].result);
    ck_assert_int_eq(value, number_cases[_i].value);
}
END_TEST

START_TEST(reads_unsigned_and_octal)
{
    uint64_t u = 5;
    unsigned mode = 5;
    ck_assert(str_to_u64(STR("18446744073709551615"), &u) == 0 && u == UINT64_MAX);
    ck_assert(str_to_u64(STR("18446744073709551616"), &u) < 0 && str_to_u64(STR("-1"), &u) < 0);
    ck_assert(str_to_octal(STR("0644"), &mode) == 0 && mode == 0644);
    ck_assert(str_to_octal(STR("8"), &mode) < 0 && mode == 0644);
    ck_assert(str_to_octal(STR("40000000000"), &mode) < 0);
}
END_TEST

START_TEST(hashes_fold_like_comparison)
{
    ck_assert(str_hash(STR("abc")) != str_hash(STR("abd")));
    ck_assert(str_hash(STR("")) != str_hash(STR("\0")));
    for (int c = 0; c < 256; c++) {
        char text[11], lower[11];
        for (int i = 0; i < 11; i++) {
            text[i] = (char)c;
            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        struct str s = str_of(text, 11), l = str_of(lower, 11);
        ck_assert_msg(str_hash_nocase(s) == str_hash_nocase(l), "byte %d", c);
        ck_assert(str_is_nocase(s, l));
        if (c < 'A' || c > 'Z')
            ck_assert(str_hash_nocase(s) == str_hash(s));
    }
}
END_TEST

// ---- Buffers

START_TEST(buffers_grow_and_end_in_nul)
{
    struct buf b = BUF_INIT;
    ck_assert_str_eq(buf_cstr(&b), "");
    for (int i = 0; i < 1000; i++) {
        buf_add_char(&b, 'x');
        ck_assert_uint_eq(strlen(buf_cstr(&b)), b.len);
    }
    buf_clear(&b);
    ck_assert_str_eq(buf_cstr(&b), "");
    buf_add_u64(&b, 0);
    buf_add_u64(&b, UINT64_MAX);
    ck_assert_str_eq(buf_cstr(&b), "018446744073709551615");
    buf_truncate(&b, 3);
    buf_addf(&b, "%0300d", 7);
    ck_assert_uint_eq(b.len, 303);
    buf_consume(&b, 301);
    ck_assert_str_eq(buf_cstr(&b), "07");
    buf_add_lower(&b, STR("ABz"));
    ck_assert_str_eq(buf_cstr(&b), "07abz");
    buf_consume(&b, 99);
    ck_assert_uint_eq(b.len, 0);
    buf_wipe(&b);
    ck_assert_ptr_null(b.ptr);
}
END_TEST

START_TEST(printable_replaces_what_is_not)
{
    struct buf b = BUF_INIT;
    buf_add_printable(&b, STR("a\r\nb\x7f\xc3\xa4\xffz\0"), 0);
    ck_assert_str_eq(buf_cstr(&b), "a??b?\xc3\xa4?z?");
    buf_clear(&b);
    buf_add_printable(&b, STR("a\xc3\xa4"), 2); // cut inside a character
    ck_assert_str_eq(buf_cstr(&b), "a?");
    buf_release(&b);
}
END_TEST

// ---- Arenas and maps

START_TEST(json_strings_are_ascii)
{
    struct buf b = BUF_INIT;
    buf_add_json(&b, STR("a\"b\\c\n\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    ck_assert_str_eq(buf_cstr(&b), "\"a\\\"b\\\\c\\u000A\\u007F\\u00E4\\u20AC\\uD83D\\uDE00\"");
    buf_clear(&b);
    buf_add_json_pair(&b, "n", STR("\xf0")); // cut off
    ck_assert_str_eq(buf_cstr(&b), "\"n\": \"\\u0000\"");
    buf_release(&b);
}
END_TEST

START_TEST(arenas_zero_align_and_mark)
{
    struct arena a = ARENA_INIT;
    for (size_t size = 1; size < 5000; size = size * 3 / 2 + 1) {
        unsigned char *p = arena_alloc(&a, size);
        ck_assert_uint_eq((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 0xff, size);
    }
    struct arena_mark mark = arena_mark(&a);
    size_t total = a.total;
    assert_str(arena_strf(&a, "%s %0200d", "x", 1), arena_cstr(&a, arena_strf(&a, "%s %0200d", "x", 1)));
    arena_alloc(&a, 100000);
    arena_reset_to(&a, mark);
    ck_assert_uint_eq(a.total, total);
    arena_reset(&a);
    ck_assert_uint_eq(*(unsigned char *)arena_alloc(&a, 1), 0);
    assert_str(arena_lower(&a, STR("ABC")), "abc");
    arena_release(&a);
    struct arena_mark empty = arena_mark(&a);
    arena_alloc(&a, 10);
    arena_reset_to(&a, empty);
    ck_assert_uint_eq(a.total, 0);
    arena_release(&a);
}
END_TEST

START_TEST(maps_hold_find_and_forget)
{
    struct map m = MAP_INIT_NOCASE;
    char key[32];
    for (intptr_t i = 1; i <= 2000; i++) {
        snprintf(key, sizeof key, "Key%ld", (long)i);
        ck_assert_ptr_null(map_set(&m, str_from(key), (void *)i));
    }
    ck_assert_uint_eq(m.count, 2000);
    ck_assert_int_eq((intptr_t)map_get(&m, STR("kEY77")), 77);
    ck_assert_ptr_null(map_get(&m, STR("key0")));
    ck_assert_int_eq((intptr_t)map_set(&m, STR("KEY77"), &m), 77);
    assert_str(map_find(&m, STR("key77"))->key, "Key77"); // the first spelling stays
    ck_assert_ptr_eq(map_remove(&m, STR("key77")), &m);
    ck_assert_ptr_null(map_remove(&m, STR("key77")));
    size_t seen = 0;
    struct map_iter it = MAP_ITER_INIT;
    for (struct map_entry *e; (e = map_next(&m, &it)) != NULL; seen++)
        if (seen % 2)
            map_remove(&m, e->key);
    ck_assert_uint_eq(seen, 1999);
    ck_assert_uint_eq(m.count, 1000);
    map_release(&m);
    struct map exact = MAP_INIT;
    map_set(&exact, STR("A"), &m);
    ck_assert_ptr_null(map_get(&exact, STR("a")));
    map_release(&exact);
}
END_TEST

START_TEST(lists_keep_order)
{
    struct list head = LIST_INIT(head), item[4], zero = {NULL, NULL};
    for (int i = 0; i < 4; i++)
        list_append(&head, &item[i]);
    list_remove(&item[1]);
    list_remove(&item[1]); // harmless
    list_remove(&zero);
    ck_assert_uint_eq(list_count(&head), 3);
    ck_assert_ptr_eq(list_first(&head), &item[0]);
    LIST_EACH_SAFE(link, &head)
    list_remove(link);
    ck_assert(list_is_empty(&head) && list_first(&head) == NULL);
}
END_TEST

// ---- Errors, clocks, log lines

START_TEST(errors_describe)
{
    struct err e = ERR_INIT;
    ck_assert_int_eq(err_status(&e, ERR_PERMANENT, "5.1.1", "no user %s", "x"), -1);
    ck_assert(err_is_permanent(&e));
    ck_assert_str_eq(e.status, "5.1.1");
    errno = ENOENT;
    ck_assert_int_eq(err_errno(&e, "open %s", "f"), -1);
    ck_assert_int_eq(e.errnum, ENOENT);
    ck_assert_int_eq(e.kind, ERR_TEMPORARY);
    ck_assert_str_eq(e.text, "open f: No such file or directory");
    ck_assert_str_eq(e.status, "");
    err_prefix(&e, "table %d", 3);
    ck_assert_str_eq(e.text, "table 3: open f: No such file or directory");
    errno = ETIMEDOUT;
    err_errno(&e, "read");
    ck_assert_int_eq(e.kind, ERR_TIMEOUT);
    ck_assert_int_eq(err_set(NULL, ERR_BUG, "x"), -1);
    for (int i = 0; i < 100; i++)
        err_prefix(&e, "%060d", i); // cut, never overrun
    ck_assert_uint_lt(strlen(e.text), ERR_TEXT_MAX);
}
END_TEST

START_TEST(clocks_can_stand_still)
{
    struct buf b = BUF_INIT;
    setenv("TZ", "UTC-1", 1);
    tzset();
    clock_fake_set(1000, 1795354071LL * 1000000 + 5);
    ck_assert_int_eq(clock_ms(), 1000);
    ck_assert_int_eq(clock_deadline(3), 4000);
    ck_assert_int_eq(clock_deadline(0), CLOCK_NEVER);
    clock_add_rfc5322(&b, clock_wall());
    ck_assert_str_eq(buf_cstr(&b), "Sun, 22 Nov 2026 14:27:51 +0100 (UTC)");
    buf_clear(&b);
    clock_add_asctime(&b, clock_wall());
    ck_assert_str_eq(buf_cstr(&b), "Sun Nov 22 14:27:51 2026");
    buf_clear(&b);
    clock_add_syslog(&b, clock_wall() - 14 * 86400);
    ck_assert_str_eq(buf_cstr(&b), "Nov  8 14:27:51");
    setenv("TZ", "XXX+3:30", 1);
    tzset();
    buf_clear(&b);
    clock_add_rfc5322(&b, 0);
    ck_assert_str_eq(buf_cstr(&b), "Wed, 31 Dec 1969 20:30:00 -0330 (XXX)");
    clock_fake_end();
    ck_assert_int_gt(clock_wall(), 1795354071LL - 86400 * 365);
    buf_release(&b);
}
END_TEST

static size_t read_back(int fd, char *text, size_t size)
{
    ssize_t len = pread(fd, text, size - 1, 0);
    ck_assert_int_ge(len, 0);
    text[len] = '\0';
    return (size_t)len;
}

static int scratch_file(void)
{
    char name[] = "/tmp/dromos-log-XXXXXX";
    int fd = mkostemp(name, O_APPEND | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    return fd;
}

START_TEST(log_lines_have_their_shape)
{
    static char text[8192], expected[256];
    static char peer[4000];
    int fd = scratch_file();
    setenv("TZ", "UTC", 1);
    clock_fake_set(0, 1795354071LL * 1000000);
    log_open(LOG_TO_FD, fd, "postfix/smtpd", "mx");
    errno = EINTR;
    log_warn("from \"%s\"", "evil\r\nNov 22 00:00:00 mx: fake\x7f");
    ck_assert_int_eq(errno, EINTR);
    read_back(fd, text, sizeof text);
    snprintf(expected, sizeof expected,
             "Nov 22 13:27:51 mx postfix/smtpd[%d]: warning: from \"evil??Nov 22 00:00:00 mx: fake?\"\n",
             (int)getpid());
    ck_assert_str_eq(text, expected);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    memset(peer, 'x', sizeof peer - 1);
    log_info("%s", peer);
    size_t len = read_back(fd, text, sizeof text);
    ck_assert_int_eq(text[len - 1], '\n');
    ck_assert_ptr_eq(strchr(text, '\n'), text + len - 1);
    ck_assert_uint_eq((size_t)(text + len - 1 - (strstr(text, "]: ") + 3)), 2000);
    close(fd);
}
END_TEST

START_TEST(log_knows_its_process_after_fork)
{
    static char text[1024], expected[64];
    int fd = scratch_file();
    log_open(LOG_TO_FD, fd, "t", "h");
    log_info("parent");
    pid_t child = fork();
    if (child == 0) {
        log_info("child");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    read_back(fd, text, sizeof text);
    snprintf(expected, sizeof expected, "t[%d]: child\n", (int)child);
    ck_assert_ptr_nonnull(strstr(text, expected));
    close(fd);
}
END_TEST

START_TEST(facilities_have_names)
{
    ck_assert_int_eq(log_set_facility("local3"), 0);
    ck_assert_int_eq(log_set_facility("nonsense"), -1);
    log_open(LOG_TO_SYSLOG, -1, "test", "h"); // works, or is silent where there is no syslog
    log_info("syslog line of a unit test");
}
END_TEST

START_TEST(die_ends_with_the_status)
{
    die_set_status(75);
    die("expected by the test");
}
END_TEST

START_TEST(bug_aborts)
{
    bug("expected by the test");
}
END_TEST

START_TEST(absurd_sizes_die)
{
    mem_alloc(SIZE_MAX / 2);
}
END_TEST

static Suite *base_suite(void)
{
    Suite *suite = suite_create("base");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, compares_and_folds);
    tcase_add_test(tc, cuts_and_searches);
    tcase_add_test(tc, finds_tokens);
    tcase_add_loop_test(tc, knows_utf8, 0, COUNT(utf8_cases));
    tcase_add_loop_test(tc, reads_numbers, 0, COUNT(number_cases));
    tcase_add_test(tc, reads_unsigned_and_octal);
    tcase_add_test(tc, hashes_fold_like_comparison);
    tcase_add_test(tc, buffers_grow_and_end_in_nul);
    tcase_add_test(tc, printable_replaces_what_is_not);
    tcase_add_test(tc, json_strings_are_ascii);
    tcase_add_test(tc, arenas_zero_align_and_mark);
    tcase_add_test(tc, maps_hold_find_and_forget);
    tcase_add_test(tc, lists_keep_order);
    tcase_add_test(tc, errors_describe);
    tcase_add_test(tc, clocks_can_stand_still);
    tcase_add_test(tc, log_lines_have_their_shape);
    tcase_add_test(tc, log_knows_its_process_after_fork);
    tcase_add_test(tc, facilities_have_names);
    tcase_add_exit_test(tc, die_ends_with_the_status, 75);
    tcase_add_test_raise_signal(tc, bug_aborts, SIGABRT);
    tcase_add_exit_test(tc, absurd_sizes_die, 1);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(base_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
