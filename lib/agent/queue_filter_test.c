// SPDX-License-Identifier: ISC
// queue_filter_test.c: which messages which criteria choose.
#include <check.h>
#include <stdlib.h>

#include "lib/agent/queue_filter.h"
#include "lib/base/clock.h"

enum { NOW = 1000000 };

struct seen {
    unsigned messages, recipients;
    struct buf last_id;
};

static int see_message(void *arg, const struct queue_list_message *m)
{
    struct seen *s = arg;
    s->messages++;
    buf_clear(&s->last_id);
    buf_add_str(&s->last_id, m->id);
    return 0;
}

static int see_recipient(void *arg, const struct queue_list_recipient *r)
{
    ((struct seen *)arg)->recipients++;
    return 0;
}

static void tell_recipient(struct queue_list_sink *sink, const char *address, const char *status, const char *reason)
{
    struct queue_list_recipient r = {
        .original = STR(""),
        .address = str_from(address),
        .reason = str_from(reason),
        .reason_kind = STR("delay_reason"),
        .status = str_from(status),
    };
    ck_assert_int_eq(sink->recipient(sink->arg, &r), 0);
}

// One message an hour old, of 5000 bytes, to two recipients; after it another, new one from nobody to nobody.
static struct seen run(const struct queue_filter *f)
{
    struct seen s = {0, 0, BUF_INIT};
    struct queue_filter_pass pass;
    queue_filter_pass_init(&pass, f, (struct queue_list_sink){&s, see_message, see_recipient});
    struct queue_list_sink sink = queue_filter_pass_sink(&pass);
    struct queue_list_message old = {STR("deferred"), STR("OLD1"), STR("Joe@Sender.example"), NOW - 3600, 5000, false};
    struct queue_list_message young = {STR("hold"), STR("YOUNG1"), STR(""), NOW - 1, 10, false};
    ck_assert_int_eq(sink.message(sink.arg, &old), 0);
    tell_recipient(&sink, "ann@far.example", "4.4.1", "connect to far.example[192.0.2.1]:25: Connection refused");
    tell_recipient(&sink, "bob@Near.example", "5.1.1", "User unknown");
    ck_assert_int_eq(sink.message(sink.arg, &young), 0);
    queue_filter_pass_release(&pass);
    buf_release(&s.last_id);
    return s;
}

static struct seen run_with(const char *const *options)
{
    struct queue_filter f = QUEUE_FILTER_INIT;
    struct err err = ERR_INIT;
    for (; *options != NULL; options += 2)
        ck_assert_msg(queue_filter_add(&f, options[0], options[1], &err) == 0, "%s", err.text);
    struct seen s = run(&f);
    queue_filter_release(&f);
    return s;
}

START_TEST(test_choices)
{
    static const struct {
        const char *options[7];
        unsigned messages, recipients;
    } cases[] = {
        {{NULL}, 2, 2},
        {{"from", "joe@sender.example", NULL}, 1, 2},
        {{"from", "joe", NULL}, 0, 0},
        {{"from", "joe@*", NULL}, 1, 2},
        {{"from", "@sender.example", NULL}, 1, 2},
        {{"from", "@example", NULL}, 0, 0},
        {{"from", "@*.example", NULL}, 1, 2},
        {{"from", "<>", NULL}, 1, 0},
        {{"from", "<>", "from", "*joe*", NULL}, 2, 2},
        {{"to", "bob@near.example", NULL}, 1, 2},
        {{"to", "?nn@*", NULL}, 1, 2},
        {{"to-domain", "FAR.example", NULL}, 1, 2},
        {{"to-domain", "*ar.example", NULL}, 1, 2},
        {{"to-domain", "example", NULL}, 0, 0},
        {{"status", "4.4.1", NULL}, 1, 2},
        {{"status", "5.*", NULL}, 1, 2},
        {{"status", "4.4", NULL}, 0, 0},
        {{"reason", "connection REFUSED", NULL}, 1, 2},
        {{"reason", "connect*refused", NULL}, 1, 2},
        {{"reason", "refused*", NULL}, 0, 0},
        {{"to-domain", "far.example", "status", "4.*", NULL}, 1, 2},
        {{"to-domain", "far.example", "status", "5.*", NULL}, 0, 0}, // another recipient's
        {{"age", ">59m", NULL}, 1, 2},
        {{"age", "1h", NULL}, 1, 2},
        {{"age", ">1h", NULL}, 0, 0},
        {{"age", "<10m", NULL}, 1, 0},
        {{"age", "<=3600", NULL}, 2, 2},
        {{"age", ">1s", "age", "<2s", NULL}, 2, 2}, // alternatives
        {{"size", ">4k", NULL}, 1, 2},
        {{"size", ">1M", NULL}, 0, 0},
        {{"size", "<= 10", NULL}, 1, 0},
        {{"queue", "hold", NULL}, 1, 0},
        {{"queue", "hold,deferred", NULL}, 2, 2},
        {{"queue", "active", NULL}, 0, 0},
        {{"queue", "deferred", "size", ">1k", "from", "joe*", NULL}, 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct seen s = run_with(cases[i].options);
        ck_assert_msg(s.messages == cases[i].messages && s.recipients == cases[i].recipients,
                      "case %zu: %u messages, %u recipients", i, s.messages, s.recipients);
    }
}
END_TEST

START_TEST(test_bad_values)
{
    static const char *const bad[][2] = {
        {"age", ""},
        {"age", ">"},
        {"age", "h"},
        {"age", "1x"},
        {"age", "-1h"},
        {"age", "1 2"},
        {"age", "1k"},
        {"size", "1h"},
        {"size", "1MM"},
        {"size", "=5"},
        {"queue", "x"},
        {"queue", "hold,defer"},
        {"from", ""},
        {"colour", "red"},
        {"size", "9223372036854775807k"},
        {"size", "99999999999999999999"},
    };
    struct queue_filter f = QUEUE_FILTER_INIT;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(queue_filter_add(&f, bad[i][0], bad[i][1], &err) < 0, "%s %s was taken", bad[i][0], bad[i][1]);
    ck_assert(queue_filter_is_empty(&f));
    queue_filter_release(&f);
}
END_TEST

START_TEST(test_many_stars_cost_little)
{
    struct buf reason = BUF_INIT;
    struct queue_filter f = QUEUE_FILTER_INIT;
    struct err err = ERR_INIT;
    for (int i = 0; i < 20000; i++)
        buf_add_char(&reason, 'a');
    ck_assert_int_eq(queue_filter_add(&f, "reason", "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", &err), 0);
    struct seen s = {0, 0, BUF_INIT};
    struct queue_filter_pass pass;
    queue_filter_pass_init(&pass, &f, (struct queue_list_sink){&s, see_message, see_recipient});
    struct queue_list_sink sink = queue_filter_pass_sink(&pass);
    struct queue_list_message m = {STR("hold"), STR("AAAAA1"), STR(""), NOW, 1, false};
    ck_assert_int_eq(sink.message(sink.arg, &m), 0);
    tell_recipient(&sink, "a@b.example", "", buf_cstr(&reason));
    ck_assert_uint_eq(s.messages, 0);
    queue_filter_pass_release(&pass);
    queue_filter_release(&f);
    buf_release(&reason);
}
END_TEST

START_TEST(test_queues_that_cannot_match)
{
    struct queue_filter f = QUEUE_FILTER_INIT;
    struct err err = ERR_INIT;
    ck_assert(queue_filter_may_match_queue(&f, STR("active")));
    ck_assert_int_eq(queue_filter_add(&f, "queue", "hold", &err), 0);
    ck_assert(!queue_filter_may_match_queue(&f, STR("active")));
    ck_assert(queue_filter_may_match_queue(&f, STR("hold")));
    queue_filter_release(&f);
}
END_TEST

int main(void)
{
    clock_fake_set(1, (int64_t)NOW * 1000000);
    Suite *suite = suite_create("queue_filter");
    TCase *tc = tcase_create("queue_filter");
    tcase_add_test(tc, test_choices);
    tcase_add_test(tc, test_bad_values);
    tcase_add_test(tc, test_many_stars_cost_little);
    tcase_add_test(tc, test_queues_that_cannot_match);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
