// SPDX-License-Identifier: ISC
// smtp_session_test.c: unit tests of whole conversations: a session on a socketpair, a scripted server at the other
// end.
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/mail/queue_record.h"
#include "smtp/smtp.h"

#define RECIPIENTS_MAX 3

// What the server does: each step waits for `expect` (exactly these bytes) and then sends `say`; "" expects nothing,
// "*" the end.
struct step {
    const char *expect;
    const char *say; // NULL: hangs up
};

static struct settings settings;
static struct smtp_client client;
static struct delivery delivery;
static struct arena arena;
static struct delivery_recipient recipients[RECIPIENTS_MAX];
static struct smtp_delivery sd;
static struct smtp_session *session;
static struct smtp_failure *hello_failure;
static enum smtp_outcome outcome;
static const struct step *script;
static int server_fd;
static bool keep, reused;

static void serve(void *arg)
{
    struct stream *s = stream_new(server_fd);
    struct err err = ERR_INIT;

    co_assert_running();
    stream_set_deadline(s, clock_ms() + 3000);
    for (const struct step *at = script; at->expect != NULL; at++) {
        struct raw got = {NULL, 0};
        size_t want = strlen(at->expect);
        if (strcmp(at->expect, "*") == 0) { // says nothing until the client leaves
            ck_assert_int_eq(stream_peek(s, &got, &err), 0);
            break;
        }
        if (want > 0 && stream_peek_more(s, want - 1, &got, &err) != 1)
            ck_abort_msg("\"%s\" never came", at->expect);
        ck_assert_msg(str_is(raw_unchecked(got), str_from(at->expect)), "\"" STR_FMT "\" came, not \"%s\"",
                      STR_ARG(raw_unchecked(got)), at->expect);
        stream_consume(s, want);
        if (at->say == NULL)
            break;
        stream_write_str(s, str_from(at->say));
        ck_assert_int_eq(stream_flush(s, &err), 0);
    }
    stream_free(s);
}

static void talk(void *arg)
{
    co_assert_running();
    hello_failure = reused ? NULL : smtp_session_hello(&sd, session);
    if (hello_failure == NULL)
        outcome = smtp_transaction(&sd, session, keep);
    else
        smtp_failure_apply(&sd, hello_failure);
    smtp_report_failures(&sd, false);
    session->must_close = true;
    smtp_session_drop(session);
    co_loop_stop();
}

static int make_queue_file(const char *content)
{
    char path[] = "/tmp/smtp_session_test.XXXXXX";
    struct buf b = BUF_INIT;
    bool in_line = false;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    unlink(path);
    queue_record_add(&b, REC_RCPT, STR("recipient"));
    delivery.request.data_offset = (int64_t)b.len;
    queue_record_add_content(&b, str_from(content), 2048, &in_line);
    queue_record_add(&b, REC_EXTRACTED, STR(""));
    queue_record_add(&b, REC_END, STR(""));
    ck_assert_int_eq(write(fd, b.ptr, b.len), (ssize_t)b.len);
    buf_release(&b);
    return fd;
}

static void set_up(bool is_lmtp, size_t count, const char *content)
{
    static unsigned char settled[RECIPIENTS_MAX];

    memset(&client, 0, sizeof client);
    memset(&delivery, 0, sizeof delivery);
    memset(settled, 0, sizeof settled);
    client.settings = &settings;
    client.profile = (struct smtp_profile){.is_lmtp = is_lmtp,
                                           .helo_name = STR("me.example"),
                                           .always_send_ehlo = true,
                                           .quote_rfc821_envelope = true,
                                           .skip_5xx_greeting = true,
                                           .skip_quit_response = true,
                                           .line_length_limit = 998,
                                           .helo_timeout = 2,
                                           .mail_timeout = 2,
                                           .rcpt_timeout = 2,
                                           .data_init_timeout = 2,
                                           .data_xfer_timeout = 2,
                                           .data_done_timeout = 1};
    delivery.request = (struct delivery_request){.queue_id = STR("ID1"),
                                                 .queue_name = STR("active"),
                                                 .sender = STR("s@x"),
                                                 .recipients = recipients,
                                                 .recipient_count = count,
                                                 .message_size = 10};
    for (size_t i = 0; i < count; i++)
        recipients[i] = (struct delivery_recipient){.address = arena_strf(&arena, "r%zu@y", i)};
    delivery.arena = &arena;
    delivery.settings = &settings;
    delivery.settled = settled;
    delivery.fd = make_queue_file(content);
    sd = (struct smtp_delivery){.client = &client, .delivery = &delivery, .arena = &arena, .domain = STR("y")};
    sd.failures = ARENA_ARRAY(&arena, struct smtp_failure *, count);
    keep = reused = false;
    outcome = SMTP_OUTCOME_DONE;
}

static void run(const struct step *steps)
{
    const struct smtp_host host = {.name = STR("mx"), .place = STR("mx[1.2.3.4]"), .relay = STR("mx[1.2.3.4]:25")};
    int pair[2];

    co_loop_init();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    session = smtp_session_new(&client, stream_new(pair[0]), STR("y"), &host);
    session->uses = reused ? 2 : 1;
    session->features = reused ? SMTP_HAS_PIPELINING : 0;
    server_fd = pair[1];
    script = steps;
    co_spawn("server", serve, NULL);
    co_spawn("client", talk, NULL);
    co_loop_run(1000);
    co_loop_free();
    close(delivery.fd);
}

static void expect_failure(size_t i, enum delivery_status status, const char *dsn, const char *text)
{
    ck_assert_ptr_nonnull(sd.failures[i]);
    ck_assert_str_eq(sd.failures[i]->report.text.ptr, text);
    ck_assert_str_eq(sd.failures[i]->report.dsn.ptr, dsn);
    ck_assert_int_eq(sd.failures[i]->report.status, status);
}

#define HELLO                                                                                                          \
    {"", "220 mx ESMTP\r\n"},                                                                                          \
    {                                                                                                                  \
        "EHLO me.example\r\n", "250-mx\r\n250 PIPELINING\r\n"                                                          \
    }
#define HELLO_PLAIN                                                                                                    \
    {"", "220 mx ESMTP\r\n"},                                                                                          \
    {                                                                                                                  \
        "EHLO me.example\r\n", "250 mx\r\n"                                                                            \
    }
#define LHLO                                                                                                           \
    {"", "220 mx LMTP\r\n"},                                                                                           \
    {                                                                                                                  \
        "LHLO me.example\r\n", "250-mx\r\n250 PIPELINING\r\n"                                                          \
    }
#define STEPS(...)                                                                                                     \
    (const struct step[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }
#define MAIL  "MAIL FROM:<s@x>\r\n"
#define RCPT0 "RCPT TO:<r0@y>\r\n"
#define RCPT1 "RCPT TO:<r1@y>\r\n"
#define RCPT2 "RCPT TO:<r2@y>\r\n"
#define DATA  "DATA\r\n"

START_TEST(the_envelope_is_one_packet)
{
    set_up(false, 2, "a: b\n\n.x\n");
    keep = true;
    run(STEPS(HELLO, {MAIL RCPT0 RCPT1 DATA, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"},
              {"a: b\r\n\r\n..x\r\n.\r\n", "250 2.6.0 kept\r\n"}));
    ck_assert_int_eq(delivery.settled[0], 1 + DELIVERY_SENT);
    ck_assert_int_eq(delivery.settled[1], 1 + DELIVERY_SENT);
}
END_TEST

START_TEST(a_session_that_is_not_kept_says_quit_with_the_dot)
{
    set_up(false, 1, "a: b\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n354 go\r\n"},
              {"a: b\r\n.\r\nQUIT\r\n", "250 kept\r\n221 bye\r\n"}));
    ck_assert_int_eq(delivery.settled[0], 1 + DELIVERY_SENT);
}
END_TEST

START_TEST(without_pipelining_each_command_waits)
{
    set_up(false, 3, "x\n");
    run(STEPS(HELLO_PLAIN, {MAIL, "250 ok\r\n"}, {RCPT0, "250 ok\r\n"}, {RCPT1, "450 4.2.1 later\r\n"},
              {RCPT2, "250 ok\r\n"}, {DATA, "354-go\r\n354 go\r\n"}, {"x\r\n.\r\n", "250 kept\r\n"}));
    ck_assert_int_eq(delivery.settled[0], 1 + DELIVERY_SENT);
    ck_assert_int_eq(delivery.settled[1], 0); // may go to another server
    expect_failure(1, DELIVERY_DEFERRED, "4.2.1",
                   "host mx[1.2.3.4] said: 450 4.2.1 later (in reply to RCPT TO command)");
    ck_assert_int_eq(delivery.settled[2], 1 + DELIVERY_SENT);
}
END_TEST

START_TEST(no_data_without_a_recipient)
{
    set_up(false, 1, "x\n");
    run(STEPS(HELLO_PLAIN, {MAIL, "250 ok\r\n"}, {RCPT0, "450 no\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.0.0", "host mx[1.2.3.4] said: 450 no (in reply to RCPT TO command)");
    set_up(false, 1, "x\n"); // the server that wants content all the same gets none
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n450 no\r\n354 go\r\n"}, {".\r\n", "554 no valid recipients\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.0.0", "host mx[1.2.3.4] said: 450 no (in reply to RCPT TO command)");
}
END_TEST

START_TEST(refusals_name_the_command)
{
    set_up(false, 2, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 RCPT1 DATA, "452 4.3.1 full\r\n503 what\r\n503 what\r\n503 what\r\n"}));
    expect_failure(1, DELIVERY_DEFERRED, "4.3.1",
                   "host mx[1.2.3.4] said: 452 4.3.1 full (in reply to MAIL FROM command)");
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n451 busy\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.0.0", "host mx[1.2.3.4] said: 451 busy (in reply to DATA command)");
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n354 go\r\n"},
              {"x\r\n.\r\nQUIT\r\n", "451-4.7.1 a\r\n451 4.7.1 b\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.7.1",
                   "host mx[1.2.3.4] said: 451-4.7.1 a 451 4.7.1 b (in reply to end of DATA command)");
}
END_TEST

START_TEST(greetings_may_refuse)
{
    set_up(false, 1, "x\n");
    run(STEPS({"", "554 5.7.1 go away\r\n"}));
    ck_assert_ptr_nonnull(hello_failure);
    expect_failure(0, DELIVERY_DEFERRED, "4.7.1", "host mx[1.2.3.4] refused to talk to me: 554 5.7.1 go away");
    ck_assert(hello_failure->is_destination);
    set_up(false, 1, "x\n");
    run(STEPS({"", "220 mx ESMTP\r\n"}, {"EHLO me.example\r\n", "502 what\r\n"}, {"HELO me.example\r\n", "250 mx\r\n"},
              {MAIL, "250 ok\r\n"}, {RCPT0, "250 ok\r\n"}, {DATA, "354 go\r\n"}, {"x\r\n.\r\n", "250 kept\r\n"}));
    ck_assert_int_eq(delivery.settled[0], 1 + DELIVERY_SENT);
}
END_TEST

START_TEST(lost_connections_name_the_step)
{
    set_up(false, 1, "x\n");
    run(STEPS({"", "220 mx\r\n"}, {"EHLO me.example\r\n", NULL}));
    expect_failure(0, DELIVERY_DEFERRED, "4.4.2",
                   "lost connection with mx[1.2.3.4] while performing the EHLO handshake");
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n"}, {"", NULL}));
    expect_failure(0, DELIVERY_DEFERRED, "4.4.2", "lost connection with mx[1.2.3.4] while sending RCPT TO");
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n354 go\r\n"}, {"x\r\n.\r\nQUIT\r\n", NULL}));
    expect_failure(0, DELIVERY_DEFERRED, "4.4.2",
                   "lost connection with mx[1.2.3.4] while sending end of data -- message may be sent more than once");
    ck_assert(sd.failures[0]->is_final);
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "garbage\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.5.0", "host mx[1.2.3.4] sent a malformed reply while sending MAIL FROM");
}
END_TEST

START_TEST(silence_has_an_end)
{
    set_up(false, 1, "x\n");
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n354 go\r\n"}, {"x\r\n.\r\nQUIT\r\n", ""}, {"*", ""}));
    expect_failure(
        0, DELIVERY_DEFERRED, "4.4.2",
        "conversation with mx[1.2.3.4] timed out while sending end of data -- message may be sent more than once");
}
END_TEST

START_TEST(dead_kept_connections_do_not_count)
{
    set_up(false, 1, "x\n");
    reused = true;
    run(STEPS({MAIL RCPT0 DATA, NULL}));
    ck_assert_int_eq(outcome, SMTP_OUTCOME_STALE);
    ck_assert_ptr_null(sd.failures[0]);
    set_up(false, 1, "x\n");
    reused = true;
    run(STEPS({MAIL RCPT0 DATA, "421 4.4.2 idle too long\r\n"}));
    ck_assert_int_eq(outcome, SMTP_OUTCOME_STALE);
    set_up(false, 1, "x\n"); // once it has answered, it counts
    reused = true;
    run(STEPS({MAIL RCPT0 DATA, "250 ok\r\n421 4.3.2 going down\r\n"}));
    ck_assert_int_eq(outcome, SMTP_OUTCOME_DONE);
    expect_failure(0, DELIVERY_DEFERRED, "4.3.2",
                   "host mx[1.2.3.4] said: 421 4.3.2 going down (in reply to RCPT TO command)");
}
END_TEST

START_TEST(lmtp_answers_for_each_recipient)
{
    set_up(true, 3, "x\n");
    run(STEPS(LHLO, {MAIL RCPT0 RCPT1 RCPT2 DATA, "250 ok\r\n250 ok\r\n450 no\r\n250 ok\r\n354 go\r\n"},
              {"x\r\n.\r\n", "250 2.0.0 first\r\n452 4.2.2 full\r\n"}));
    ck_assert_int_eq(delivery.settled[0], 1 + DELIVERY_SENT);
    expect_failure(1, DELIVERY_DEFERRED, "4.0.0", "host mx[1.2.3.4] said: 450 no (in reply to RCPT TO command)");
    expect_failure(2, DELIVERY_DEFERRED, "4.2.2",
                   "host mx[1.2.3.4] said: 452 4.2.2 full (in reply to end of DATA command)");
}
END_TEST

START_TEST(limits_of_the_server_are_kept)
{
    set_up(false, 1, "x\n");
    delivery.request.sendopts = 8;
    run(STEPS(HELLO));
    expect_failure(0, DELIVERY_BOUNCED, "5.6.7", "SMTPUTF8 is required, but was not offered by host mx[1.2.3.4]");
    set_up(false, 1, "x\n");
    run(STEPS({"", "220 mx ESMTP\r\n"}, {"EHLO me.example\r\n", "250-mx\r\n250 SIZE 9\r\n"}));
    expect_failure(0, DELIVERY_BOUNCED, "5.3.4", "message size 10 exceeds size limit 9 of server mx[1.2.3.4]");
    set_up(false, 1, "x\n");
    static struct smtp_tls_need need = {.level = TLS_LEVEL_ENCRYPT, .configured = TLS_LEVEL_ENCRYPT};
    sd.tls_need = &need;
    run(STEPS({"", "220 mx ESMTP\r\n"}, {"EHLO me.example\r\n", "250-mx\r\n250 SIZE 9\r\n"}));
    expect_failure(0, DELIVERY_DEFERRED, "4.7.4", "TLS is required, but was not offered by host mx[1.2.3.4]");
}
END_TEST

START_TEST(unreadable_content_is_never_ended)
{
    set_up(false, 1, "x\n");
    ck_assert_int_eq(ftruncate(delivery.fd, delivery.request.data_offset + 3), 0);
    run(STEPS(HELLO, {MAIL RCPT0 DATA, "250 ok\r\n250 ok\r\n354 go\r\n"}, {"", ""}));
    ck_assert_ptr_nonnull(sd.failures[0]);
    ck_assert_int_eq(sd.failures[0]->report.status, DELIVERY_DEFERRED);
    ck_assert_str_eq(sd.failures[0]->report.dsn.ptr, "4.3.0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smtp_session");
    TCase *tc = tcase_create("session");

    log_open(LOG_TO_FD, open("/dev/null", O_WRONLY | O_CLOEXEC), "test", "test");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, the_envelope_is_one_packet);
    tcase_add_test(tc, a_session_that_is_not_kept_says_quit_with_the_dot);
    tcase_add_test(tc, without_pipelining_each_command_waits);
    tcase_add_test(tc, no_data_without_a_recipient);
    tcase_add_test(tc, refusals_name_the_command);
    tcase_add_test(tc, greetings_may_refuse);
    tcase_add_test(tc, lost_connections_name_the_step);
    tcase_add_test(tc, silence_has_an_end);
    tcase_add_test(tc, dead_kept_connections_do_not_count);
    tcase_add_test(tc, lmtp_answers_for_each_recipient);
    tcase_add_test(tc, limits_of_the_server_are_kept);
    tcase_add_test(tc, unreadable_content_is_never_ended);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
