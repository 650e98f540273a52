// SPDX-License-Identifier: ISC
// policy_test.c: endpoints and settings of policy servers, requests, and replies line by line.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/access/policy_impl.h"

static const struct settings settings = {
    .smtpd_policy_service_timeout = 100,
    .smtpd_policy_service_max_idle = 300,
    .smtpd_policy_service_max_ttl = 1000,
    .smtpd_policy_service_retry_delay = 1,
    .smtpd_policy_service_try_limit = 2,
    .smtpd_policy_service_default_action = STR("451 4.3.5 Server configuration problem"),
    .smtpd_policy_service_policy_context = STR(""),
    .compatibility_level = STR("3.6"),
    .mail_version = STR("3.12"),
};

static struct policy_server *parse(const char *text)
{
    struct err err = ERR_INIT;
    struct policy_server *s = policy_server_parse(&settings, str_from(text), &err);
    ck_assert_msg(s != NULL, "%s: %s", text, err.text);
    return s;
}

// Why the text is refused.
static const char *refusal(const char *text)
{
    static struct err err;
    err = ERR_INIT;
    ck_assert_ptr_null(policy_server_parse(&settings, str_from(text), &err));
    return err.text;
}

START_TEST(endpoints)
{
    struct policy_server *s = parse("inet:127.0.0.1:10023");
    ck_assert_str_eq(s->name, "inet:127.0.0.1:10023");
    ck_assert_uint_eq(s->host.len, 0);
    ck_assert_uint_eq(net_addr_port(&s->addr), 10023);
    ck_assert_int_eq(s->timeout, 100);
    policy_server_free(s);
    s = parse("inet:policy.example:10023");
    ck_assert(str_is(s->host, STR("policy.example")));
    policy_server_free(s);
    s = parse("unix:private/policy");
    ck_assert_str_eq(s->name, "private/policy");
    ck_assert_int_eq(net_addr_family(&s->addr), AF_UNIX);
    policy_server_free(s);
    ck_assert_str_eq(refusal("private/policy"),
                     "policy service: need inet:host:port or unix:path instead of \"private/policy\"");
    ck_assert_str_eq(refusal("inet:host"), "policy service: need inet:host:port instead of \"inet:host\"");
    refusal("inet:127.0.0.1:port-of-nothing");
    refusal("unix:");
    refusal("");
}
END_TEST

START_TEST(settings_take_the_place_of_parameters)
{
    struct policy_server *s =
        parse("{ inet:[::1]:10023, timeout=10s, max_idle=1m, max_ttl=2m, retry_delay=3, request_limit=7, try_limit=4,"
              " policy_context=x, { default_action = 450 4.7.1 ask later } }");
    ck_assert_int_eq(s->timeout, 10);
    ck_assert_int_eq(s->max_idle, 60);
    ck_assert_int_eq(s->max_ttl, 120);
    ck_assert_int_eq(s->retry_delay, 3);
    ck_assert_int_eq(s->request_limit, 7);
    ck_assert_int_eq(s->try_limit, 4);
    ck_assert(str_is(s->policy_context, STR("x")));
    ck_assert(str_is(s->default_action, STR("450 4.7.1 ask later")));
    policy_server_free(s);
    ck_assert_str_eq(refusal("{ inet:[::1]:1, timeout=0 }"), "policy service: bad time limit timeout: \"0\"");
    ck_assert_str_eq(refusal("{ inet:[::1]:1, try_limit=0 }"), "policy service: bad value of try_limit: \"0\"");
    ck_assert_str_eq(refusal("{ inet:[::1]:1, colour=blue }"),
                     "policy service inet:[::1]:1: unknown setting \"colour\"");
    ck_assert_str_eq(refusal("{ inet:[::1]:1, default_action=450 later }"),
                     "policy service inet:[::1]:1: need name=value instead of \"later\"");
}
END_TEST

START_TEST(requests_hold_no_control_character)
{
    static const struct policy_attribute attributes[] = {{"sender", STR("a\naction=OK\n\nb")},
                                                         {"helo_name", STR("x\xffy\x01")}};
    const struct policy_question question = {attributes, 2};
    struct policy_server *s = parse("{ unix:p, policy_context=here }");
    struct buf b = BUF_INIT;
    policy_request_add(&b, s, &question);
    ck_assert_str_eq(buf_cstr(&b),
                     "request=smtpd_access_policy\nsender=a?action=OK??b\nhelo_name=x?y?\npolicy_context=here\n"
                     "compatibility_level=3.6\nmail_version=3.12\n\n");
    buf_release(&b);
    policy_server_free(s);
}
END_TEST

// The action that the lines of `text` give, or why there is none.
static const char *action(const char *text)
{
    static char result[600];
    struct buf found = BUF_INIT;
    struct policy_reply reply = {.action = &found};
    struct err err = ERR_INIT;
    struct str rest = str_from(text), line;
    int rc = 0;
    while (rc == 0 && rest.len > 0) {
        str_cut(&rest, '\n', &line);
        rc = policy_reply_add_line(&reply, (struct raw){(const unsigned char *)line.ptr, line.len}, &err);
    }
    snprintf(result, sizeof result, "%s", rc > 0 ? buf_cstr(&found) : rc < 0 ? err.text : "(more)");
    buf_release(&found);
    return result;
}

START_TEST(replies)
{
    ck_assert_str_eq(action("action=DUNNO\n\n"), "DUNNO");
    ck_assert_str_eq(action("action=  REJECT a\x01"
                            "b \nx=y\naction=OK\n\n"),
                     "REJECT a b");
    ck_assert_str_eq(action("action=\n\n"), "");
    ck_assert_str_eq(action("action=OK\n"), "(more)");
    ck_assert_str_eq(action("\n"), "the reply has no action");
    ck_assert_str_eq(action("result=OK\n\n"), "the reply has no action");
    ck_assert_str_eq(action("action\n\n"), "a line of the reply is not name=value: \"action\"");
    ck_assert_str_eq(action("action=\xff\n\n"), "the reply is not UTF-8 text");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_add_test(tc, endpoints);
    tcase_add_test(tc, settings_take_the_place_of_parameters);
    tcase_add_test(tc, requests_hold_no_control_character);
    tcase_add_test(tc, replies);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
