// SPDX-License-Identifier: ISC
// table_pattern_test.c: regexp: and pcre: tables: rules, flags, results, limits; POSIX patterns mean what the C library
// makes of them.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_pattern_impl.h"

// "value", "-" when absent, "!" when the lookup fails.
static const char *ask(struct table *t, struct str key)
{
    static char answer[1000];
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_lookup(t, key, &value, &err);
    snprintf(answer, sizeof(answer), "%s", found < 0 ? "!" : found == 0 ? "-" : buf_cstr(&value));
    buf_release(&value);
    return answer;
}

static void check_one(const char *type_name, unsigned flags, const char *key, const char *want)
{
    struct table *t = table_open(str_from(type_name), flags);
    ck_assert_msg(strcmp(ask(t, str_from(key)), want) == 0, "%s: \"%s\" gives \"%s\", not \"%s\"", type_name, key,
                  ask(t, str_from(key)), want);
    table_close(t);
}

static void check_both(const char *rules, const char *key, const char *want)
{
    static const char *const types[] = {"regexp", "pcre"};
    for (size_t i = 0; i < 2; i++) {
        char name[500];
        snprintf(name, sizeof(name), "%s:%s", types[i], rules);
        check_one(name, 0, key, want);
    }
}

START_TEST(the_first_matching_rule_wins)
{
    check_both("{{/foo/ one}, {/fo/ two}}", "a FOO b", "one");
    check_both("{{/foo/ one}, {/fo/ two}}", "fox", "two");
    check_both("{{/foo/ one}, {/fo/ two}}", "bar", "-");
    check_both("{{!/foo/ other}}", "bar", "other");
    check_both("{{!!/foo/ one}}", "foo", "one");
    check_both("{{|a/b| slash}, {{a}} x}", "a/b", "slash");
    check_both("{{/a\\/b/ slash}}", "a/b", "slash");
}
END_TEST

START_TEST(literal_beginnings_are_no_shortcut_to_errors)
{
    check_both("{{/^ab|cd/ x}}", "cd", "x");
    check_both("{{/^ab?c/ x}}", "ac", "x");
    check_both("{{/^ab*c/ x}}", "ac", "x");
    check_both("{{/^ab{1,2}c/ x}}", "aBbc", "x");
    check_both("{{/^a\\.b(c|d)/ x}}", "A.BD", "x");
    check_both("{{/^a[|)]b|q/ x}}", "q", "x");
    check_both("{{/^b/m x}}", "a\nb", "x");
    check_one("pcre:{{/^\\Qa|b\\E/ x}}", 0, "a|b", "x");
    check_one("pcre:{{/^a b/x x}}", 0, "ab", "x");
}
END_TEST

START_TEST(conditions_nest)
{
    const char *rules = "{{if /^a/}, {if !/z$/}, {/b/ inside}, {endif}, {/b/ z}, {endif}, {/b/ outside}}";
    check_both(rules, "ab", "inside");
    check_both(rules, "abz", "z");
    check_both(rules, "b", "outside");
    check_both("{{endif}, {if /a/}, {/./ x}}", "a", "x");
    check_both("{{endif}, {if /a/}, {/./ x}}", "b", "-");
}
END_TEST

START_TEST(results_take_groups)
{
    check_both("{{/^(.)(.)(x)?$/ $2-${1}-$(1)-$$-$3}}", "aB", "B-a-a-$-");
    check_both("{{/(a)/ $2}, {/a/ next}}", "a", "next");
    check_both("{{/(a)/ $1b}, {/a/ next}}", "a", "next");
    check_both("{{!/(a)/ $1}, {/b/ next}}", "b", "next");
    check_both("{{/(a)/ $(1}, {/a/ next}}", "a", "next");
    check_one("regexp:{{/^(a|ab)(c|bcd)?/ $1}}", 0, "abcd", "a");
    check_one("regexp:{{/^(a|ab)/ $1}}", 0, "ab", "ab");
    check_one("pcre:{{/^(a|ab)/ $1}}", 0, "ab", "a");
}
END_TEST

START_TEST(sensitive_uses_refuse_groups)
{
    check_one("pcre:{{/(a)/ $1}, {/a/ safe}}", TABLE_SENSITIVE, "a", "safe");
    check_one("regexp:{{/(a)/ $1}, {/a/ safe}}", TABLE_NO_SUBSTITUTION, "a", "safe");
    check_one("regexp:{{/(a)/ $$}}", TABLE_SENSITIVE, "a", "$");
}
END_TEST

START_TEST(flags_turn_options_over)
{
    check_both("{{/Foo/i exact}}", "foo", "-");
    check_both("{{/Foo/i exact}}", "Foo", "exact");
    check_both("{{/Foo/ii any}}", "foo", "any");
    check_both("{{/^b$/m line}}", "a\nb\nc", "line");
    check_both("{{/^b$/ line}}", "a\nb\nc", "-");
    check_both("{{/a.b/ dot}}", "a\nb", "dot");
    check_one("pcre:{{/a.b/s dot}}", 0, "a\nb", "-");
    check_one("pcre:{{/a b/x dense}}", 0, "ab", "dense");
    check_one("pcre:{{/b/A anchored}}", 0, "ab", "-");
    check_one("pcre:{{/^(a+)/U $1}}", 0, "aaa", "a");
    check_one("pcre:{{/a$/ end}}", 0, "a\n", "end");
    check_one("pcre:{{/a$/E end}}", 0, "a\n", "-");
    check_one("regexp:{{/a(b)/x basic}}", 0, "a(b)", "basic");
    check_both("{{/a/Q bad}, {/a/ good}}", "a", "good");
}
END_TEST

START_TEST(malformed_rules_are_passed_over)
{
    check_both("{{/a}, {(}, {/(/ x}, {foo bar}, {if}, {/[/ x}, {/a/ good}}", "a", "good");
    check_both("{}", "a", "-");
    check_one("pcre:/no/such/file", 0, "a", "!");
}
END_TEST

START_TEST(no_pattern_holds_the_process_up)
{
    struct buf key = BUF_INIT;
    struct table *t = table_open(STR("pcre:{{/^(a+)+$/ x}}"), 0);
    int64_t start = clock_ms();
    for (int i = 0; i < 4000; i++)
        buf_add_char(&key, 'a');
    buf_add_char(&key, 'b');
    ck_assert_str_eq(ask(t, buf_str(&key)), "!");
    ck_assert_int_lt(clock_ms() - start, 2000);
    ck_assert_str_eq(ask(t, STR("aaa")), "x");
    table_close(t);
    t = table_open(STR("regexp:{{/^((a{1,200}){1,200}){1,200}$/ x}, {/^(a*)*\\1*$/ y}}"), 0);
    ck_assert_str_ne(ask(t, buf_str(&key)), "x");
    ck_assert_int_lt(clock_ms() - start, 6000);
    table_close(t);
    buf_release(&key);
}
END_TEST

static bool is_light(const char *pattern, bool is_basic)
{
    struct buf out = BUF_INIT;
    bool light = pattern_translate(&out, str_from(pattern), is_basic, false);
    buf_release(&out);
    return light;
}

START_TEST(the_c_library_is_spared_what_it_would_copy_for_ever)
{
    ck_assert(is_light("^(ab*|c)+[x-z]{2,40}(\\.[a-z]+)*$", false));
    ck_assert(is_light("(abc){3}", false));
    ck_assert(!is_light("(x|y)**{22}", false));
    ck_assert(!is_light("((x*)y){22}", false));
    ck_assert(!is_light("(x|){22}", false));
    ck_assert(!is_light("(){22}", false));
    ck_assert(!is_light("((((((x+)+)+)+)+)+)", false));
    ck_assert(!is_light("(abcdefghij){30000}", false));
    ck_assert(!is_light("\\(x*\\)\\{22\\}", true));
    check_one("regexp:{{/^(x|y)**{22}z$/ heavy}}", 0, "xyz", "heavy");
}
END_TEST

START_TEST(long_header_lines_are_matched)
{
    struct buf key = BUF_INIT;
    struct table *t = table_open(STR("pcre:{{/^subject: .*end$/ x}}"), 0);
    buf_add_cstr(&key, "Subject: ");
    for (int i = 0; i < 60000; i++)
        buf_add_char(&key, 'a');
    buf_add_cstr(&key, "end");
    ck_assert_str_eq(ask(t, buf_str(&key)), "x");
    table_close(t);
    buf_release(&key);
}
END_TEST

// ---- Random patterns: the translation matches where the C library does.
static unsigned long state = 5;

static unsigned pick(unsigned count)
{
    state = state * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(state >> 33) % count;
}

static void random_pattern(char *out, unsigned pieces)
{
    static const char *const words[] = {"a",    "b",           "c",    ".",    "a*",    "b+",    "c?",  "(",   ")",
                                        "|",    "[ab]",        "[^a]", "[]c]", "[a-]",  "^",     "$",   "{2}", "{1,2}",
                                        "{,1}", "**",          "+?",   "\\.",  "\\(",   "\\w",   "\\W", "\\<", "\\>",
                                        "\\b",  "[[:alpha:]]", "[\\]", "\\n",  "(a|b)", "(ab)*", "()",  "\\1", "-",
                                        "#",    " ",           "{",    "}",    "]"};
    out[0] = '\0';
    while (pieces-- > 0)
        strcat(out, words[pick(sizeof(words) / sizeof(words[0]))]);
}

static void compare_once(const char *pattern, bool is_basic, bool has_newlines)
{
    regex_t posix;
    struct buf perl = BUF_INIT, why = BUF_INIT;
    struct pattern_regex regex = {0};
    char text[16];

    if (!is_light(pattern, is_basic))
        return;
    if (regcomp(&posix, pattern, (is_basic ? 0 : REG_EXTENDED) | (has_newlines ? REG_NEWLINE : 0)) != 0)
        return;
    (void)pattern_translate(&perl, str_from(pattern), is_basic, has_newlines);
    ck_assert_msg(
        pattern_compile(&regex, buf_str(&perl),
                        has_newlines ? PCRE2_MULTILINE | PCRE2_ALT_CIRCUMFLEX : PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY,
                        &why),
        "\"%s\" became \"%s\": %s", pattern, buf_cstr(&perl), buf_cstr(&why));
    for (unsigned i = 0; i < 12; i++) {
        const PCRE2_SIZE *groups;
        unsigned length = pick(8);
        int code, ours, theirs;
        for (unsigned k = 0; k < length; k++)
            text[k] = "aabbc.-n\\] \n"[pick(has_newlines ? 12 : 11)];
        text[length] = '\0';
        ours = pattern_match(&regex, str_from(text), &groups, &code);
        theirs = regexec(&posix, text, 0, NULL, 0) == 0;
        ck_assert_msg(ours == theirs, "\"%s\" became \"%s\": \"%s\" matches %d, not %d", pattern, buf_cstr(&perl), text,
                      ours, theirs);
    }
    regfree(&posix);
    pattern_regex_release(&regex);
    buf_release(&perl);
    buf_release(&why);
}

// Where the C library is not reliable: back references, and assertions that are repeated.
static bool is_doubtful(const char *pattern)
{
    for (const char *p = strchr(pattern, '\\'); p != NULL; p = strchr(p + 2, '\\')) {
        if (p[1] == '1' || (strchr("<>bB", p[1]) != NULL && p[2] != '\0' && strchr("*+?{\\", p[2]) != NULL))
            return true;
        if (p[1] == '\0')
            return false;
    }
    return false;
}

START_TEST(posix_patterns_mean_the_same)
{
    char pattern[256];
    for (unsigned i = 0; i < 20000; i++) {
        random_pattern(pattern, 1 + pick(6));
        if (!is_doubtful(pattern))
            compare_once(pattern, i % 4 == 3, i % 3 == 2);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table_pattern");
    TCase *tc = tcase_create("table_pattern");
    int failed;
    SRunner *runner;

    log_open(LOG_TO_FD, -1, "test", "test");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_first_matching_rule_wins);
    tcase_add_test(tc, literal_beginnings_are_no_shortcut_to_errors);
    tcase_add_test(tc, conditions_nest);
    tcase_add_test(tc, results_take_groups);
    tcase_add_test(tc, sensitive_uses_refuse_groups);
    tcase_add_test(tc, flags_turn_options_over);
    tcase_add_test(tc, malformed_rules_are_passed_over);
    tcase_add_test(tc, no_pattern_holds_the_process_up);
    tcase_add_test(tc, the_c_library_is_spared_what_it_would_copy_for_ever);
    tcase_add_test(tc, long_header_lines_are_matched);
    tcase_add_test(tc, posix_patterns_mean_the_same);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
