// SPDX-License-Identifier: ISC
// conf_test.c: main.cf grammar, expansion, typed settings, and params.def against the list of facts.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/settings.h"

static struct settings s; // too large for a stack frame

static struct conf *conf_from(const char *text)
{
    struct conf *c = conf_new("/nowhere");
    struct err err = ERR_INIT;
    ck_assert_msg(conf_parse(c, str_from(text), &err) == 0, "%s", err.text);
    return c;
}

static void expect_value(const char *text, const char *name, const char *expected)
{
    struct conf *c = conf_from(text);
    struct str value;
    ck_assert(conf_raw(c, str_from(name), &value));
    ck_assert_str_eq(value.ptr, expected);
    conf_free(c);
}

START_TEST(grammar)
{
    expect_value("a = b\n", "a", "b");
    expect_value("a = b\n # comment inside\n  z\n\n w\n", "a", "b  z w");
    expect_value("a=  x  y \t\r\nb=1", "a", "x  y");
    expect_value("a=\n  1.2.3.4\n", "a", "1.2.3.4");
    expect_value("a=1\na=2\n", "a", "2");
    expect_value("# c\n  # d\n\na==\n", "a", "=");
    expect_value(" lost = 1\na=2", "a", "2");
}
END_TEST

static void expect_parse_error(const char *text, const char *message)
{
    struct conf *c = conf_new("/d");
    struct err err = ERR_INIT;
    ck_assert_int_eq(conf_parse(c, str_from(text), &err), -1);
    ck_assert_str_eq(err.text, message);
    conf_free(c);
}

START_TEST(grammar_errors)
{
    expect_parse_error("a=1\nfoo\n", "/d/main.cf, line 2: missing '=' after attribute name: \"foo\"");
    expect_parse_error("a b = c", "/d/main.cf, line 1: missing '=' after attribute name: \"a b = c\"");
    expect_parse_error("\n\n= c", "/d/main.cf, line 3: missing attribute name: \"= c\"");
}
END_TEST

static const struct {
    const char *text, *expected; // NULL: an error
} expansions[] = {
    {"$d", "ex.org"},
    {"${d}", "ex.org"},
    {"$(d)", "ex.org"},
    {"${ d }", "ex.org"},
    {"$d.x", "ex.org.x"},
    {"$nope.x", ".x"},
    {"$$d", "$d"},
    {"a{b", "a{b"},
    {"}", "}"},
    {"$d$d", "ex.orgex.org"},
    {"$d?x", "ex.org?x"},
    {"${d?x}", "x"},
    {"${nope?x}", ""},
    {"${nope:dflt}", "dflt"},
    {"${d:dflt}", ""},
    {"${d?}", ""},
    {"${d?{x}:{y}}", "x"},
    {"${nope?{x}:{y}}", "y"},
    {"${d ? {x} : {y}}", "x"},
    {"${d?{x}}", "x"},
    {"${nope:{x}}", "x"},
    {"${nope?{x}:{${d}}}", "ex.org"},
    {"${d?a{b}c}", "a{b}c"},
    {"${d?a}b}", "ab}"},
    {"${d?a:b}", "a:b"},
    {"${d?$$x}", "$x"},
    {"${d?{ a }:{b}}", " a "},
    {"$(d?x)", "x"},
    {"${{a} == {a} ? {y} : {n}}", "y"},
    {"${{a}=={b}?{y}:{n}}", "n"},
    {"${{a}!={b}?{y}:{n}}", "y"},
    {"${{10} < {9}?{y}:{n}}", "n"},
    {"${{a10} < {a9}?{y}:{n}}", "y"},
    {"${{1} >= {1}?{y}:{n}}", "y"},
    {"${{2} > {1}?{y}:{n}}", "y"},
    {"${{2} <= {1}?{y}:{n}}", "n"},
    {"${{1}=={01}?{y}:{n}}", "y"},
    {"${{3.6} <level {3.10}?{y}:{n}}", "y"},
    {"${{3} >=level {2.9}?{y}:{n}}", "y"},
    {"${{3.6.1}==level{3.6.1}?{y}:{n}}", "y"},
    {"${{3.6} >level {3.6.1}?{y}:{n}}", "n"},
    {"${{a}=={a}?y}", "y"},
    {"${{a} != {b} : {x}}", ""},
    {"${{a}=={b}:y}", "y"},
    {"${{}=={}?{e}}", "e"},
    {"${{a}=={a}?{x}:y}", "x"},
    {"${{$d}=={ex.org}?{y}}", "y"},
    {"${{ a } == {a} ? {y}:{n}}", "n"},
    {"${nope?{$(}:{z}}", "z"},
    {"${indirect?{T}:{F}}", "T"},
    {"${empty?{T}:{F}}", "F"},
    {"$indirect", ""},
    {"${domain_to_ascii{Ex.$d}}", "ex.ex.org"},
    {"${domain_to_ascii{b\xc3\xbc.de}}", "xn--b-eha.de"},
    {"${nofunction{x}}", NULL},
    {"${domain_to_ascii{x}y}", NULL},
    {"${foo", NULL},
    {"x$", NULL},
    {"$ x", NULL},
    {"${}", NULL},
    {"${my-d}", NULL},
    {"${d?{x}{y}}", NULL},
    {"${d?{x}y}", NULL},
    {"${{x}}", NULL},
    {"${{a} =! {b}?{x}}", NULL},
    {"${{x} <=level {2}?{y}}", NULL},
    {"${{a}=={a}?{x}:{y}z}", NULL},
    {"${{a} == level {1}?x}", NULL},
    {"$self", NULL},
    {"$bomb", NULL},
    {"${{99999999999999999999} > {1}?{y}:{n}}", NULL},
};

START_TEST(expansion)
{
    const char *main_cf = "d = ex.org\nempty=\nindirect=$empty\nself=$self\n"
                          "bomb=$b1$b1$b1$b1$b1$b1$b1$b1$b1$b1\nb1=$b2$b2$b2$b2$b2$b2$b2$b2$b2$b2\n"
                          "b2=$b3$b3$b3$b3$b3$b3$b3$b3$b3$b3\nb3=$b4$b4$b4$b4$b4$b4$b4$b4$b4$b4\n"
                          "b4=$nope$nope$nope$nope$nope$nope$nope$nope$nope$nope\n";
    struct conf *c = conf_from(main_cf);
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    const char *expected = expansions[_i].expected, *text = expansions[_i].text;
    int status = conf_expand(c, str_from(text), &out, &err);
    ck_assert_msg(status == (expected == NULL ? -1 : 0), "%s: %d %s", text, status, err.text);
    if (expected != NULL)
        ck_assert_msg(strcmp(buf_cstr(&out), expected) == 0, "%s: %s", text, buf_cstr(&out));
    else
        ck_assert(err.text[0] != '\0');
    buf_release(&out);
    conf_free(c);
}
END_TEST

static int load(const char *text, const char *program, struct arena *arena, struct err *err)
{
    struct conf *c = conf_from(text);
    int status = settings_load(c, program, arena, &s, err);
    conf_free(c);
    return status;
}

START_TEST(settings_defaults)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert_msg(load("", "smtpd", &arena, &err) == 0, "%s", err.text);
    ck_assert_int_eq(s.message_size_limit, 10240000);
    ck_assert_int_eq(s.maximal_queue_lifetime, 5 * 86400);
    ck_assert_int_eq(s.smtpd_timeout, 300);
    arena_release(&arena);
}
END_TEST

START_TEST(settings_follow_compatibility_level)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(load("", "smtpd", &arena, &err), 0);
    ck_assert(s.append_dot_mydomain);
    ck_assert(!s.smtputf8_enable);
    ck_assert_int_eq(load("compatibility_level = 3.6\n", "smtpd", &arena, &err), 0);
    ck_assert(!s.append_dot_mydomain);
    ck_assert(s.smtputf8_enable);
    arena_release(&arena);
}
END_TEST

START_TEST(own_networks_follow_interfaces)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(
        load("inet_protocols=ipv4\ninet_interfaces=loopback-only\nmynetworks_style=subnet", "smtpd", &arena, &err), 0);
    ck_assert_str_eq(s.mynetworks.ptr, "127.0.0.0/8");
    ck_assert_int_eq(
        load("inet_protocols=ipv4\ninet_interfaces=[127.0.0.1]\nmynetworks_style=host", "smtpd", &arena, &err), 0);
    ck_assert_str_eq(s.mynetworks.ptr, "127.0.0.1/32");
    ck_assert_int_eq(load("inet_interfaces=192.0.2.99", "smtpd", &arena, &err), 0);
    ck_assert_str_eq(s.mynetworks.ptr, "");
    arena_release(&arena);
}
END_TEST

START_TEST(settings_values)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    const char *text = "myhostname = mx.example.com\nsmtpd_timeout = 2h\nmaximal_queue_lifetime = 3\nbiff = YES\n"
                       "relayhost = [$mydomain]\nforward_path = $home/x\n2bounce_notice_recipient = me\n"
                       "mail_name = ${smtpd_banner?{$process_id}:{x}}\n";
    ck_assert_msg(load(text, "smtpd", &arena, &err) == 0, "%s", err.text);
    ck_assert_int_eq(s.smtpd_timeout, 7200);
    ck_assert_int_eq(s.maximal_queue_lifetime, 3 * 86400);
    ck_assert(s.biff);
    ck_assert_str_eq(s.mydomain.ptr, "example.com");
    ck_assert_str_eq(s.relayhost.ptr, "[example.com]");
    ck_assert_str_eq(s.forward_path.ptr, "$home/x");
    ck_assert_str_eq(s.double_bounce_notice_recipient.ptr, "me");
    ck_assert(s.mynetworks.len > 0);
    ck_assert_str_eq(s.myorigin.ptr, "mx.example.com");
    arena_release(&arena);
}
END_TEST

static const struct {
    const char *text, *program, *message;
} bad_settings[] = {
    {"message_size_limit = abc", "smtpd", "bad numerical configuration: message_size_limit = abc"},
    {"message_size_limit = 99999999999999999999", "smtpd", "bad numerical configuration"},
    {"hopcount_limit = 0", "cleanup", "invalid hopcount_limit parameter value 0 < 1"},
    {"line_length_limit = 5", "cleanup", "invalid line_length_limit parameter value 5 < 512"},
    {"biff = maybe", "local", "bad boolean configuration: biff = maybe"},
    {"ipc_timeout = 10x", "qmgr", "parameter ipc_timeout: bad time value or unit: 10x"},
    {"ipc_timeout = -1", "qmgr", "bad time value or unit: -1"},
    {"ipc_timeout = 0", "qmgr", "invalid ipc_timeout: 0 (min 1)"},
    {"setgid_group = ", "postdrop", "bad string length 0 < 1: setgid_group = "},
    {"alias_database = ${", "sendmail", "parameter alias_database: truncated macro reference"},
};

START_TEST(settings_errors)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(load(bad_settings[_i].text, bad_settings[_i].program, &arena, &err), -1);
    ck_assert_msg(strstr(err.text, bad_settings[_i].message) != NULL, "%s", err.text);
    ck_assert(strstr(err.text, "/nowhere/main.cf") != NULL);
    arena_release(&arena);
}
END_TEST

START_TEST(settings_errors_of_others)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    ck_assert_msg(load("hopcount_limit = x", "postdrop", &arena, &err) == 0, "%s", err.text);
    ck_assert_int_eq(s.hopcount_limit, 50);
    arena_release(&arena);
}
END_TEST

START_TEST(get_by_name)
{
    struct conf *c = conf_from("foo_time_limit = 3m\ncommand_time_limit = 7\n");
    struct err err = ERR_INIT;
    int64_t value;
    bool flag;
    ck_assert_int_eq(conf_get_time(c, "foo_time_limit", "$command_time_limit", &value, &err), 0);
    ck_assert_int_eq(value, 180);
    ck_assert_int_eq(conf_get_time(c, "bar_time_limit", "$command_time_limit", &value, &err), 0);
    ck_assert_int_eq(value, 7);
    ck_assert_int_eq(conf_get_int(c, "local_destination_recipient_limit", NULL, &value, &err), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(conf_get_bool(c, "nonsense", "No", &flag, &err), 0);
    ck_assert(!flag);
    conf_override(c, STR("service_name"), STR("relay"));
    ck_assert(conf_is_set(c, STR("service_name")));
    ck_assert(!conf_is_set(c, STR("relayhost")));
    conf_free(c);
}
END_TEST

START_TEST(times)
{
    int64_t t;
    ck_assert(conf_parse_time(STR("10"), 'm', &t) == 0 && t == 600);
    ck_assert(conf_parse_time(STR("1w"), 's', &t) == 0 && t == 604800);
    ck_assert(conf_parse_time(STR(""), 's', &t) != 0);
    ck_assert(conf_parse_time(STR("s"), 's', &t) != 0);
    ck_assert(conf_parse_time(STR("1 h"), 's', &t) != 0);
    ck_assert(conf_parse_time(STR("1H"), 's', &t) != 0);
    ck_assert(conf_parse_time(STR("+1"), 's', &t) != 0);
    ck_assert(conf_parse_time(STR("99999999999999"), 's', &t) != 0);
}
END_TEST

static const char *type_word(const struct param *p)
{
    static const char *const words[] = {"STRING", "RAW", "INT", "LONG", "BOOL"};
    if (p->type != PARAM_TIME)
        return words[p->type];
    return p->unit == 's'   ? "TIME_S"
           : p->unit == 'm' ? "TIME_M"
           : p->unit == 'h' ? "TIME_H"
           : p->unit == 'd' ? "TIME_D"
                            : "TIME_W";
}

// tests/data/parameters.tsv holds name, type, default, min, max of every parameter: drift in params.def shows here.
START_TEST(table_agrees_with_facts)
{
    static char line[8192], expected[8192];
    FILE *f = fopen("tests/data/parameters.tsv", "r");
    ck_assert_msg(f != NULL, "run from the top of the tree");
    ck_assert(fgets(line, sizeof(line), f) != NULL);
    for (size_t i = 0; i < param_count; i++) {
        const struct param *p = &param_table[i];
        ck_assert_msg(fgets(line, sizeof(line), f) != NULL, "%s is not in the list of facts", p->name);
        snprintf(expected, sizeof(expected), "%s\t%s\t%s\t%lld\t%lld\n", p->name, type_word(p), p->default_text,
                 (long long)p->min, (long long)p->max);
        ck_assert_str_eq(line, expected);
        ck_assert_ptr_eq(param_find(str_from(p->name)), p);
        ck_assert_msg(strlen(p->sentence) > 15 && p->sentence[strlen(p->sentence) - 1] == '.', "%s", p->name);
        ck_assert(i == 0 || strcmp(param_table[i - 1].name, p->name) < 0);
    }
    ck_assert(fgets(line, sizeof(line), f) == NULL);
    fclose(f);
    ck_assert_ptr_null(param_find(STR("nonsense")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conf");
    TCase *tc = tcase_create("conf");
    tcase_add_test(tc, grammar);
    tcase_add_test(tc, grammar_errors);
    tcase_add_loop_test(tc, expansion, 0, sizeof(expansions) / sizeof(expansions[0]));
    tcase_add_test(tc, settings_defaults);
    tcase_add_test(tc, settings_follow_compatibility_level);
    tcase_add_test(tc, own_networks_follow_interfaces);
    tcase_add_test(tc, settings_values);
    tcase_add_loop_test(tc, settings_errors, 0, sizeof(bad_settings) / sizeof(bad_settings[0]));
    tcase_add_test(tc, settings_errors_of_others);
    tcase_add_test(tc, get_by_name);
    tcase_add_test(tc, times);
    tcase_add_test(tc, table_agrees_with_facts);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
