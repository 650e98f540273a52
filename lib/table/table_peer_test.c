// SPDX-License-Identifier: ISC
// table_peer_test.c: answers of lookup servers, templates, configuration files; a server that misbehaves.
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_peer_impl.h"
#include "lib/table/table_source_impl.h"

static const char *tcp_answer(const char *line)
{
    static char answer[600];
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_tcp_reply((struct raw){(const unsigned char *)line, strlen(line)}, &value, &err);
    snprintf(answer, sizeof(answer), "%d %s", found, found < 0 ? err.text : buf_cstr(&value));
    buf_release(&value);
    return answer;
}

START_TEST(tcp_answers_are_checked)
{
    ck_assert_str_eq(tcp_answer("200 plain"), "1 plain");
    ck_assert_str_eq(tcp_answer("200 a%20b%0ac%ff"), "1 a b\nc\xff");
    ck_assert_str_eq(tcp_answer("500 whatever"), "0 ");
    ck_assert_str_eq(tcp_answer("400 try%20later"), "-1 the server reports: try later");
    ck_assert_str_eq(tcp_answer("200 a%zz"), "-1 malformed reply: a%zz");
    ck_assert_str_eq(tcp_answer("200 a%0"), "-1 malformed reply: a%0");
    ck_assert_str_eq(tcp_answer("200 a%00"), "-1 malformed reply: a%00");
    ck_assert_int_eq(strncmp(tcp_answer("2000 x"), "-1", 2), 0);
    ck_assert_int_eq(strncmp(tcp_answer("200"), "-1", 2), 0);
    ck_assert_int_eq(strncmp(tcp_answer("300 x"), "-1", 2), 0);
    ck_assert_int_eq(strncmp(tcp_answer(""), "-1", 2), 0);
}
END_TEST

static int frame(const char *text, struct str *payload_r)
{
    return table_socketmap_frame((struct raw){(const unsigned char *)text, strlen(text)}, payload_r, NULL);
}

START_TEST(netstrings_are_bounded)
{
    struct str payload;
    ck_assert_int_eq(frame("5:OK ab,", &payload), 1);
    ck_assert(str_is(payload, STR("OK ab")));
    ck_assert_int_eq(frame("5:OK a", &payload), 0);
    ck_assert_int_eq(frame("5:OK ab", &payload), 0);
    ck_assert_int_eq(frame("5", &payload), 0);
    ck_assert_int_eq(frame("", &payload), 0);
    ck_assert_int_eq(frame("5:OK abc", &payload), -1);
    ck_assert_int_eq(frame("x:OK ab,", &payload), -1);
    ck_assert_int_eq(frame("100001:", &payload), -1);
    ck_assert_int_eq(frame("99999999999999", &payload), -1);
    ck_assert_int_eq(frame(":,", &payload), -1);
}
END_TEST

static int socketmap_answer(const char *text, struct buf *value)
{
    buf_clear(value);
    return table_socketmap_reply(str_from(text), value, NULL);
}

START_TEST(socketmap_answers_are_checked)
{
    struct buf value = BUF_INIT;
    ck_assert_int_eq(socketmap_answer("OK a b", &value), 1);
    ck_assert_str_eq(buf_cstr(&value), "a b");
    ck_assert_int_eq(socketmap_answer("NOTFOUND ", &value), 0);
    ck_assert_int_eq(socketmap_answer("OK", &value), -1);
    ck_assert_int_eq(socketmap_answer("TEMP later", &value), -1);
    ck_assert_int_eq(socketmap_answer("PERM never", &value), -1);
    ck_assert_int_eq(socketmap_answer("TIMEOUT ", &value), -1);
    ck_assert_int_eq(socketmap_answer("ok x", &value), -1);
    ck_assert_int_eq(socketmap_answer("", &value), -1);
    buf_release(&value);
}
END_TEST

static int64_t value_size(const char *line)
{
    return table_memcache_size((struct raw){(const unsigned char *)line, strlen(line)}, STR("key"), 100);
}

START_TEST(memcached_answers_are_checked)
{
    ck_assert_int_eq(value_size("VALUE key 0 5"), 5);
    ck_assert_int_eq(value_size("VALUE key 0 101"), -1);
    ck_assert_int_eq(value_size("VALUE key 0 -1"), -1);
    ck_assert_int_eq(value_size("VALUE other 0 5"), -1);
    ck_assert_int_eq(value_size("VALUE key 0"), -1);
    ck_assert_int_eq(value_size("SERVER_ERROR out of memory"), -1);
}
END_TEST

static const char *expand(const char *template, const char *key, const char *value)
{
    static char text[200];
    struct table_expansion e = {
        .template = str_from(template), .key = str_from(key), .value = str_from(value), .is_result = value != NULL};
    struct buf out = BUF_INIT;
    snprintf(text, sizeof(text), "%s", table_template_expand(&e, &out) > 0 ? buf_cstr(&out) : "-");
    buf_release(&out);
    return text;
}

START_TEST(templates_take_parts_of_keys_and_results)
{
    ck_assert_str_eq(expand("%s|%u|%d|%S|%U|%D|%1|%2|%%", "u@a.b", NULL), "u@a.b|u|a.b|u@a.b|u|a.b|b|a|%");
    ck_assert_str_eq(expand("%u", "plain", NULL), "plain");
    ck_assert_str_eq(expand("%d", "plain", NULL), "-");
    ck_assert_str_eq(expand("%1", "a.b", NULL), "-");
    ck_assert_str_eq(expand("%3", "u@a.b", NULL), "-");
    ck_assert_str_eq(expand("%u", "@a.b", NULL), "-");
    ck_assert_str_eq(expand("%d", "u@", NULL), "-");
    ck_assert_str_eq(expand("%u %d", "a@b@c.d", NULL), "a@b c.d");
    ck_assert_str_eq(expand("%u:%d:%1:%U", "k@l.m", "x@y.z"), "x:y.z:m:k");
    ck_assert_str_eq(expand("%d", "k@l.m", "plain"), "-");
    ck_assert(table_template_is_valid(STR("a%%%s%9")));
    ck_assert(!table_template_is_valid(STR("%0")));
    ck_assert(!table_template_is_valid(STR("a%")));
    ck_assert(!table_template_is_valid(STR("%q")));
}
END_TEST

START_TEST(configuration_files_have_the_syntax_of_main_cf)
{
    char name[] = "/tmp/table-config-XXXXXX";
    int fd = mkstemp(name);
    int64_t number;
    bool flag;
    struct err err = ERR_INIT;
    struct table_config *c;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(
        dprintf(fd,
                "# comment\nhosts = a b\n  c\npassword=p=w$x\nmalformed\nn = 7\nn = 8\nbad = x\nyes = YES\nempty =\n"),
        0);
    close(fd);
    c = table_config_open(name, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    unlink(name);
    ck_assert_str_eq(table_config_str(c, "hosts", "").ptr, "a b  c");
    ck_assert_str_eq(table_config_str(c, "password", "").ptr, "p=w$x");
    ck_assert_str_eq(table_config_str(c, "absent", "otherwise").ptr, "otherwise");
    ck_assert(table_config_has(c, "empty") && !table_config_has(c, "malformed"));
    ck_assert_int_eq(table_config_int(c, "n", 1, &number, &err), 0);
    ck_assert_int_eq(number, 8);
    ck_assert_int_eq(table_config_int(c, "bad", 1, &number, &err), -1);
    ck_assert_int_eq(table_config_bool(c, "yes", false, &flag, &err), 0);
    ck_assert(flag);
    ck_assert_int_eq(table_config_bool(c, "bad", false, &flag, &err), -1);
    table_config_close(c);
    ck_assert_ptr_null(table_config_open(name, &err));
}
END_TEST

START_TEST(sensitive_uses_refuse_what_others_answer)
{
    static const char *const names[] = {"tcp:127.0.0.1:1", "socketmap:inet:127.0.0.1:1:x", "proxy:tcp:127.0.0.1:1"};
    struct err why = ERR_INIT;
    for (size_t i = 0; i < 3; i++) {
        struct table *t = table_open(str_from(names[i]), TABLE_SENSITIVE);
        ck_assert(!table_is_usable(t, &why));
        ck_assert_ptr_nonnull(strstr(why.text, "not allowed for security-sensitive data"));
        table_close(t);
    }
}
END_TEST

// ---- A server in a thread, which serves `connections` connections with one canned answer each.

struct canned {
    int listener;
    const char *answers[4]; // "" closes at once
    unsigned count;
};

static void *serve_canned(void *arg)
{
    struct canned *c = arg;
    char input[500];
    for (unsigned i = 0; i < c->count; i++) {
        int fd = accept(c->listener, NULL, NULL);
        if (fd < 0)
            break;
        if (read(fd, input, sizeof(input)) > 0)
            (void)!write(fd, c->answers[i], strlen(c->answers[i]));
        close(fd);
    }
    return NULL;
}

struct run {
    struct table *table;
    int found[4];
    char value[100];
    unsigned count;
};

static void ask_all(void *arg)
{
    struct run *r = arg;
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    co_assert_running();
    for (unsigned i = 0; i < r->count; i++) {
        r->found[i] = table_lookup(r->table, STR("key"), &value, &err);
        if (r->found[i] > 0)
            snprintf(r->value, sizeof(r->value), "%s", buf_cstr(&value));
    }
    buf_release(&value);
    table_close(r->table);
    co_loop_stop();
}

static void converse(const char *format, struct canned *server, struct run *run)
{
    struct net_addr addr;
    struct sockaddr_in bound;
    socklen_t len = sizeof(bound);
    char name[100];
    pthread_t thread;
    ck_assert_int_eq(net_addr_parse(STR("127.0.0.1"), 0, &addr), 0);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&addr.sa, addr.len), 0);
    ck_assert_int_eq(listen(server->listener, 5), 0);
    ck_assert_int_eq(getsockname(server->listener, (struct sockaddr *)&bound, &len), 0);
    snprintf(name, sizeof(name), "%s:127.0.0.1:%u%s", str_is(str_from(format), STR("tcp")) ? "tcp" : "socketmap:inet",
             ntohs(bound.sin_port), str_is(str_from(format), STR("tcp")) ? "" : ":map");
    ck_assert_int_eq(pthread_create(&thread, NULL, serve_canned, server), 0);
    co_loop_init();
    run->table = table_open(str_from(name), 0);
    co_spawn("ask", ask_all, run);
    co_loop_run(1000);
    co_loop_free();
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(server->listener);
}

START_TEST(a_server_that_goes_away_is_asked_again)
{
    struct canned server = {.answers = {"200 one\n", "200 two\n"}, .count = 2};
    struct run run = {.count = 2};
    converse("tcp", &server, &run);
    ck_assert_int_eq(run.found[0], 1);
    ck_assert_int_eq(run.found[1], 1);
    ck_assert_str_eq(run.value, "two");
}
END_TEST

START_TEST(answers_that_are_cut_off_or_endless_fail)
{
    static char endless[6000];
    struct canned server = {.answers = {"200 cut", endless, "", "500 no\n"}, .count = 4};
    struct run run = {.count = 4};
    memset(endless, 'x', sizeof(endless) - 1);
    converse("tcp", &server, &run);
    ck_assert_int_eq(run.found[0], -1);
    ck_assert_int_eq(run.found[1], -1);
    ck_assert_int_eq(run.found[2], -1);
    ck_assert_int_eq(run.found[3], 0);
    server = (struct canned){.answers = {"5:OK a", "999999:", "7:OK yes!,", "9:NOTFOUND ,"}, .count = 4};
    run = (struct run){.count = 4};
    converse("socketmap", &server, &run);
    ck_assert_int_eq(run.found[0], -1);
    ck_assert_int_eq(run.found[1], -1);
    ck_assert_int_eq(run.found[2], 1);
    ck_assert_str_eq(run.value, "yes!");
    ck_assert_int_eq(run.found[3], 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table_peer");
    TCase *tc = tcase_create("table_peer");
    int failed;
    SRunner *runner;

    log_open(LOG_TO_FD, -1, "test", "test");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, tcp_answers_are_checked);
    tcase_add_test(tc, netstrings_are_bounded);
    tcase_add_test(tc, socketmap_answers_are_checked);
    tcase_add_test(tc, memcached_answers_are_checked);
    tcase_add_test(tc, templates_take_parts_of_keys_and_results);
    tcase_add_test(tc, configuration_files_have_the_syntax_of_main_cf);
    tcase_add_test(tc, sensitive_uses_refuse_what_others_answer);
    tcase_add_test(tc, a_server_that_goes_away_is_asked_again);
    tcase_add_test(tc, answers_that_are_cut_off_or_endless_fail);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
