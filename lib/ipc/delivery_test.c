// SPDX-License-Identifier: ISC
// delivery_test.c: delivery requests, answers and arrival notices survive the way through their frames, and bad ones do
// not.
#include <check.h>
#include <stdlib.h>

#include "lib/ipc/arrival.h"

static const struct delivery_recipient two[] = {
    {STR("a@x.test"), STR("Alias@x.test"), STR("rfc822;orig@x.test"), 6, 700},
    {STR("b c@x.test"), STR("b c@x.test"), STR(""), 0, 1234567890123},
};
static const struct delivery_request sample = {
    .flags = DELIVERY_BOUNCE_ALL | DELIVERY_CACHE_CONNECTION,
    .queue_name = STR("active"),
    .queue_id = STR("89654A94383"),
    .nexthop = STR("[10.0.0.1]:25"),
    .sender = STR("s@y.test"),
    .encoding = STR("8bit"),
    .data_offset = 900,
    .message_size = 4242,
    .ret_flags = 2,
    .sendopts = 1,
    .arrival_us = 1,
    .active_us = 2,
    .request_us = 3,
    .client_name = STR("unknown"),
    .recipients = two,
    .recipient_count = 2,
};

static void decode(const struct ipc_msg *m, struct ipc_view *view)
{
    size_t size;
    struct raw raw = {(const unsigned char *)m->data.ptr, m->data.len};
    ck_assert_int_eq(ipc_decode(raw, view, &size, NULL), 1);
    ck_assert_uint_eq(size, m->data.len);
}

static void expect_sample(const struct delivery_request *r)
{
    ck_assert(str_is(r->nexthop, sample.nexthop) && str_is(r->queue_id, sample.queue_id));
    ck_assert(str_is(r->sender, sample.sender) && str_is(r->helo_name, STR("")));
    ck_assert_uint_eq(r->flags, sample.flags);
    ck_assert_int_eq(r->data_offset, 900);
    ck_assert_int_eq(r->ret_flags, 2);
    ck_assert_int_eq(r->request_us, 3);
    ck_assert_uint_eq(r->recipient_count, 2);
    ck_assert(str_is(r->recipients[0].original, two[0].original));
    ck_assert(str_is(r->recipients[0].dsn_orcpt, two[0].dsn_orcpt));
    ck_assert_int_eq(r->recipients[0].notify, 6);
    ck_assert(str_is(r->recipients[1].address, two[1].address));
    ck_assert(str_is(r->recipients[1].original, two[1].address)); // not sent when equal
    ck_assert_int_eq(r->recipients[1].offset, two[1].offset);
}

START_TEST(request_keeps_every_field)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view view;
    struct arena arena = ARENA_INIT;
    struct delivery_request r;
    delivery_request_add(&m, 77, &sample);
    decode(&m, &view);
    ck_assert_uint_eq(view.id, 77);
    ck_assert_int_eq(delivery_request_read(&view, &arena, &r, NULL), 0);
    expect_sample(&r);
    arena_release(&arena);
    ipc_msg_release(&m);
}
END_TEST

static int read_with(const char *name, struct str value)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view view;
    struct arena arena = ARENA_INIT;
    struct delivery_request r;
    ipc_begin(&m, 1, "deliver");
    ipc_add_str(&m, "queue", STR("active"));
    ipc_add_str(&m, "id", STR("ABC"));
    ipc_add_str(&m, "to", STR("a@b"));
    ipc_add_str(&m, name, value);
    ck_assert_int_eq(ipc_end(&m), 0);
    decode(&m, &view);
    int rc = delivery_request_read(&view, &arena, &r, NULL);
    arena_release(&arena);
    ipc_msg_release(&m);
    return rc;
}

START_TEST(bad_fields_are_refused)
{
    ck_assert_int_eq(read_with("helo", STR("fine")), 0);
    ck_assert_int_eq(read_with("unknown", STR("tolerated")), 0);
    ck_assert_int_eq(read_with("id", STR("../passwd")), -1);
    ck_assert_int_eq(read_with("sender", STR("a\nb")), -1);
    ck_assert_int_eq(read_with("at", STR("-1")), -1);
    ck_assert_int_eq(read_with("notify", STR("16")), -1);
    ck_assert_int_eq(read_with("size", STR("9x")), -1);
    ck_assert_int_eq(read_with("ret", STR("99999999999")), -1);
}
END_TEST

START_TEST(answer_keeps_statuses_and_reason)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view view;
    struct delivery_done done = {STR("sdbe"), STR("4.4.1"), STR("connect to x: refused")}, back;
    delivery_done_add(&m, 9, &done);
    decode(&m, &view);
    ck_assert_int_eq(delivery_done_read(&view, &back, NULL), 0);
    ck_assert(str_is(back.statuses, done.statuses) && str_is(back.dead_dsn, done.dead_dsn));
    ck_assert(str_is(back.dead_reason, done.dead_reason));
    ipc_msg_release(&m);
    done.statuses = STR("sx");
    delivery_done_add(&m, 9, &done);
    decode(&m, &view);
    ck_assert_int_eq(delivery_done_read(&view, &back, NULL), -1);
    ipc_msg_release(&m);
}
END_TEST

START_TEST(arrival_keeps_every_field)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view view;
    struct arena arena = ARENA_INIT;
    struct arrival a = {.request = sample,
                        .warn_time = 5,
                        .warn_offset = 6,
                        .create_time = 7,
                        .trace_flags = 1024,
                        .trace_flags_offset = 8,
                        .filter = STR("scan:"),
                        .redirect = STR("r@x"),
                        .verp = STR("+="),
                        .has_all_recipients = true};
    struct arrival back;
    arrival_add(&m, &a);
    decode(&m, &view);
    ck_assert_int_eq(arrival_read(&view, &arena, &back, NULL), 0);
    expect_sample(&back.request);
    ck_assert(back.has_all_recipients);
    ck_assert_int_eq(back.warn_time + back.warn_offset + back.create_time + back.trace_flags_offset, 5 + 6 + 7 + 8);
    ck_assert_int_eq(back.trace_flags, 1024);
    ck_assert(str_is(back.filter, a.filter) && str_is(back.redirect, a.redirect) && str_is(back.verp, a.verp));
    ipc_msg_release(&m);
    a.has_all_recipients = false; // announced without them: read from the file
    arrival_add(&m, &a);
    decode(&m, &view);
    ck_assert_int_eq(arrival_read(&view, &arena, &back, NULL), 0);
    ck_assert(!back.has_all_recipients);
    ck_assert_uint_eq(back.request.recipient_count, 0);
    arena_release(&arena);
    ipc_msg_release(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delivery");
    TCase *tc = tcase_create("frames");
    tcase_add_test(tc, request_keeps_every_field);
    tcase_add_test(tc, bad_fields_are_refused);
    tcase_add_test(tc, answer_keeps_statuses_and_reason);
    tcase_add_test(tc, arrival_keeps_every_field);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
