// SPDX-License-Identifier: ISC
// smtpd_session_test.c: sessions over a socket pair with a scripted peer; routing and cleanup are replaced by fakes.
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtpd/smtpd_test_fakes.h"

// Sends text and returns the code of the last line of the reply (0 when the session closed).
static int ask(struct stream *peer, const char *text) CO
{
    struct err err = ERR_INIT;
    struct raw line;
    enum line_end end;
    stream_set_deadline(peer, clock_deadline(10));
    stream_write(peer, text, strlen(text));
    if (stream_flush(peer, &err) < 0)
        return 0;
    for (;;) {
        if (stream_read_line(peer, 1024, &line, &end, &err) <= 0)
            return 0;
        ck_assert_uint_ge(line.len, 4);
        ck_assert_int_eq(end, LINE_CRLF);
        if (line.ptr[3] == ' ')
            return (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + line.ptr[2] - '0';
    }
}

struct run {
    int fd;
    void (*script)(struct stream *peer);
};

static void peer_main(void *arg)
{
    co_assert_running();
    struct run *r = arg;
    struct stream *peer = stream_new(r->fd);
    ck_assert_int_eq(ask(peer, ""), 220);
    r->script(peer);
    stream_free(peer);
    co_loop_stop();
}

static void run_script(void (*script)(struct stream *peer))
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct run r = {pair[1], script};
    co_loop_init();
    co_spawn("session", session_main, &pair[0]);
    co_spawn("peer", peer_main, &r);
    co_loop_run(2000);
    co_loop_free();
}

// ---- Scripts

static void script_one_message(struct stream *peer)
{
    co_assert_running();
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test> NOTIFY=SUCCESS\r\n"), 250);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 354);
    ck_assert_int_eq(ask(peer, "Subject: x\r\n\r\n..dot\r\n.\r\n"), 250);
    ck_assert_str_eq(buf_cstr(&stored.content), "Subject: x\n\n.dot\n");
    ck_assert_str_eq(buf_cstr(&stored.recipients), "c@ok.test ");
    ck_assert_int_eq(ask(peer, "QUIT\r\n"), 221);
}

static void script_login(struct stream *peer)
{
    co_assert_running();
    struct buf line = BUF_INIT;
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "AUTH\r\n"), 501);
    ck_assert_int_eq(ask(peer, "AUTH TEST a b\r\n"), 501);
    ck_assert_int_eq(ask(peer, "AUTH TEST bm8=\r\n"), 535);
    ck_assert_int_eq(ask(peer, "AUTH TEST =\r\n"), 535);
    ck_assert_int_eq(ask(peer, "AUTH TEST dG1w\r\n"), 454);
    ck_assert_int_eq(ask(peer, "AUTH TEST\r\n"), 334);
    ck_assert_int_eq(ask(peer, "*\r\n"), 501);
    buf_addf(&line, "%20000s\r\n", "x");
    ck_assert_int_eq(ask(peer, "AUTH TEST\r\n"), 334);
    ck_assert_int_eq(ask(peer, buf_cstr(&line)), 500);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test> AUTH=<>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "AUTH TEST b2s=\r\n"), 503);
    ck_assert_int_eq(ask(peer, "RSET\r\n"), 250);
    ck_assert_int_eq(ask(peer, "AUTH TEST\r\n"), 334);
    ck_assert_int_eq(ask(peer, "b2s=\r\n"), 235);
    ck_assert_int_eq(ask(peer, "AUTH TEST b2s=\r\n"), 503);
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test>\r\n"), 250);
    ck_assert_uint_eq(exchanges, 0);
    buf_release(&line);
}

static void script_login_is_off(struct stream *peer)
{
    co_assert_running();
    daemon_state.sasl = NULL;
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "AUTH TEST b2s=\r\n"), 503);
}

static void script_login_wants_tls(struct stream *peer)
{
    co_assert_running();
    settings.smtpd_tls_auth_only = true;
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "AUTH TEST b2s=\r\n"), 538);
}

static void script_refusals(struct stream *peer)
{
    co_assert_running();
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test>\r\n"), 503);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 503);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test> SIZE=10001\r\n"), 552);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@elsewhere.test>\r\n"), 454);
    ck_assert_int_eq(ask(peer, "RCPT TO:<nobody@ok.test>\r\n"), 550);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 554);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<x@y.test>\r\n"), 503);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test>\r\n"), 452);
    ck_assert_int_eq(ask(peer, "XX\r\n"), 500);
    ck_assert_int_eq(ask(peer, "NOOP\rRSET\r\n"), 250); // one command: a CR is a blank
    ck_assert_int_eq(ask(peer, "MAIL FROM:<x@y.test>\r\n"), 503);
    ck_assert_int_eq(ask(peer, "GET / HTTP/1.0\r\n"), 221);
    ck_assert_uint_eq(stored.begun, 0);
}

static void script_cleanup_fails(struct stream *peer)
{
    co_assert_running();
    stored.fails = true;
    ck_assert_int_eq(ask(peer, "HELO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 354);
    ck_assert_int_eq(ask(peer, "x\r\n.\r\n"), 451);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 503); // nothing of the failed transaction is left
}

static void script_bdat_errors(struct stream *peer)
{
    co_assert_running();
    ck_assert_int_eq(ask(peer, "EHLO x\r\n"), 250);
    ck_assert_int_eq(ask(peer, "BDAT 3 LAST\r\nabc"), 503);
    ck_assert_int_eq(ask(peer, "MAIL FROM:<a@b.test>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "RCPT TO:<c@ok.test>\r\n"), 250);
    ck_assert_int_eq(ask(peer, "BDAT 4\r\nab\r\n"), 250);
    ck_assert_int_eq(ask(peer, "DATA\r\n"), 503);
    ck_assert_int_eq(ask(peer, "RCPT TO:<d@ok.test>\r\n"), 503);
    struct buf chunk = BUF_INIT;
    buf_addf(&chunk, "BDAT 20000\r\n%20000s", "x");
    ck_assert_int_eq(ask(peer, buf_cstr(&chunk)), 552); // the reply comes after the chunk: the stream stays in step
    buf_release(&chunk);
    ck_assert_uint_eq(stored.aborted, 1);
    ck_assert_int_eq(ask(peer, "RSET\r\n"), 250);
}

// A walk over random commands. The model knows what was accepted; the session must never go further than the model.
struct model {
    bool has_mail, has_bdat;
    unsigned recipients;
};

static void check_stored(unsigned recipients)
{
    unsigned spaces = 0;
    for (size_t i = 0; i < stored.recipients.len; i++)
        spaces += stored.recipients.ptr[i] == ' ';
    ck_assert_uint_eq(spaces, recipients);
}

static void walk_step(struct stream *peer, struct model *m, unsigned pick) CO
{
    static const char *const resetting[] = {"RSET\r\n", "HELO x\r\n", "EHLO x\r\n"};
    unsigned begun = stored.begun;
    int code;
    switch (pick % 12) {
    case 0:
        ck_assert_int_eq(ask(peer, resetting[pick / 9 % 3]), 250);
        *m = (struct model){0};
        break;
    case 1:
        code = ask(peer, pick & 16 ? "MAIL FROM:<a@b.test>\r\n" : "MAIL FROM:<broken\r\n");
        ck_assert(code != 250 || !m->has_mail);
        m->has_mail |= code == 250;
        break;
    case 2:
    case 3:
        code = ask(peer, pick & 16 ? "RCPT TO:<c@ok.test>\r\n" : "RCPT TO:<c@elsewhere.test>\r\n");
        ck_assert(code != 250 || (m->has_mail && !m->has_bdat));
        m->recipients += code == 250;
        break;
    case 4:
    case 5:
        code = ask(peer, "DATA\r\n");
        ck_assert_int_eq(code == 354, m->has_mail && m->recipients > 0 && !m->has_bdat);
        if (code != 354)
            break;
        ck_assert_int_eq(ask(peer, "x\r\n.\r\n"), 250);
        check_stored(m->recipients);
        *m = (struct model){0};
        break;
    case 6:
        code = ask(peer, "BDAT 1\r\nx");
        ck_assert(code != 250 || (m->has_mail && m->recipients > 0));
        m->has_bdat = true;
        break;
    case 7:
        code = ask(peer, "BDAT 2 LAST\r\n\r\n");
        ck_assert(code != 250 || (m->has_mail && m->recipients > 0));
        if (code == 250)
            check_stored(m->recipients);
        if (code == 250 || code == 551 || code == 503 || code == 554)
            *m = (struct model){0};
        break;
    case 8:
        code = ask(peer,
                   pick & 16 ? "XCLIENT NAME=b.test PORT=[UNAVAILABLE] PROTO=ESMTP HELO=h\r\n" : "XCLIENT NAME=\r\n");
        ck_assert_int_eq(code, m->has_mail ? 503 : pick & 16 ? 220 : 501);
        if (code == 220)
            *m = (struct model){0};
        break;
    case 9:
        ck_assert_int_eq(ask(peer, "XFORWARD NAME=b.test SOURCE=LOCAL IDENT=x\r\n"), m->has_mail ? 503 : 250);
        break;
    case 10:
        ck_assert_int_eq(ask(peer, "ETRN b.test\r\n"), m->has_mail ? 503 : 459);
        break;
    default:
        ck_assert_int_eq(ask(peer, "NOOP\r\n"), 250);
        ck_assert_uint_eq(stored.begun, begun);
    }
}

static void script_random_walk(struct stream *peer)
{
    co_assert_running();
    struct model m = {0};
    unsigned state = 12345;
    for (int i = 0; i < 30000; i++) {
        state = state * 1103515245 + 12345;
        walk_step(peer, &m, state >> 12);
    }
    ck_assert_uint_gt(stored.finished, 100);
}

static void (*const scripts[])(struct stream *peer) = {script_one_message,     script_refusals,   script_cleanup_fails,
                                                       script_bdat_errors,     script_login,      script_login_is_off,
                                                       script_login_wants_tls, script_random_walk};

START_TEST(scripted_session)
{
    set_up();
    run_script(scripts[_i]);
    tear_down();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smtpd_session");
    TCase *tcase = tcase_create("session");
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, scripted_session, 0, (int)(sizeof(scripts) / sizeof(scripts[0])));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
