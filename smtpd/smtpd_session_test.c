// SPDX-License-Identifier: ISC
// smtpd_session_test.c: sessions over a socket pair with a scripted peer; routing and cleanup are replaced by fakes.
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/dns.h"
#include "smtpd/smtpd.h"

// ---- Fakes: the message that cleanup would get is kept; decisions are made by name.

static struct {
    struct buf sender, recipients, content;
    unsigned begun, finished, aborted;
    bool fails;
} stored;

struct submit {
    int dummy;
};
struct submit *submit_begin(struct submit_pool *p, const struct submit_envelope *e, int64_t deadline, struct err *err)
{
    stored.begun++;
    buf_clear(&stored.sender);
    buf_clear(&stored.recipients);
    buf_clear(&stored.content);
    buf_add_str(&stored.sender, e->sender);
    for (size_t i = 0; i < e->recipient_count; i++) {
        buf_add_str(&stored.recipients, e->recipients[i].address);
        buf_add_char(&stored.recipients, ' ');
    }
    return MEM_NEW(struct submit);
}
int submit_write(struct submit *s, struct str text, struct err *err)
{
    buf_add_str(&stored.content, text);
    return 0;
}
void submit_order(struct submit *s, const struct submit_orders *orders)
{
}
int submit_finish(struct submit *s, struct submit_result *result_r, struct err *err)
{
    mem_free(s);
    stored.finished++;
    if (stored.fails)
        return err_set(err, ERR_TEMPORARY, "cleanup died");
    *result_r = (struct submit_result){.code = 250, .queue_id = "ABC"};
    return 0;
}
void submit_abort(struct submit *s)
{
    mem_free(s);
    stored.aborted++;
}

// Logging in: TEST accepts "b2s=" (ok) at once or after a challenge, is out of order for "dG1w" (tmp), and refuses the rest.
static unsigned exchanges;
struct sasl_exchange {
    int dummy;
};
int sasl_server_mechanisms(struct sasl_server *server, bool is_encrypted, struct buf *list_r, struct err *err)
{
    buf_add_cstr(list_r, "TEST");
    return 1;
}
struct sasl_exchange *sasl_exchange_new(struct sasl_server *server, const struct sasl_peer *peer)
{
    exchanges++;
    return MEM_NEW(struct sasl_exchange);
}
void sasl_exchange_step(struct sasl_exchange *x, struct str response, struct sasl_answer *answer_r)
{
    sasl_answer_clear(answer_r);
    answer_r->outcome = str_is(response, STR("b2s="))   ? SASL_ANSWER_ACCEPTED
                        : str_is(response, STR("dG1w")) ? SASL_ANSWER_TEMPORARY
                                                        : SASL_ANSWER_REFUSED;
    buf_add_cstr(&answer_r->username, "fred");
}
void sasl_exchange_start(struct sasl_exchange *x, struct str mechanism, struct str response, struct sasl_answer *answer_r)
{
    sasl_exchange_step(x, response, answer_r);
    if (response.ptr == NULL)
        answer_r->outcome = SASL_ANSWER_CONTINUE;
}
void sasl_exchange_free(struct sasl_exchange *x)
{
    exchanges--;
    mem_free(x);
}
void sasl_answer_clear(struct sasl_answer *a)
{
    buf_release(&a->challenge);
    buf_release(&a->username);
    buf_release(&a->reason);
    buf_release(&a->log);
    *a = SASL_ANSWER_INIT;
}

// The decisions: nobody relays, and nobody@ok.test does not exist.
struct access_session {
    int dummy;
};
struct access_session *access_session_new(struct access *a)
{
    return MEM_NEW(struct access_session);
}
void access_session_free(struct access_session *as)
{
    mem_free(as);
}
void access_session_end_transaction(struct access_session *as)
{
}
bool access_rewrites_headers(struct access_session *as, const struct access_facts *facts)
{
    return false;
}
void access_reason_add(struct buf *b, const struct access_reason *reason)
{
}
static void refuse(struct access_verdict *v, int code, const char *status)
{
    *v = (struct access_verdict){.outcome = ACCESS_REFUSE, .code = code, .text = "refused"};
    strcpy(v->status, status);
}
void access_decide(struct access_session *as, enum access_stage stage, const struct access_facts *facts, struct arena *arena,
                   struct access_verdict *verdict_r)
{
    *verdict_r = (struct access_verdict){.outcome = ACCESS_PASS};
    if (stage == ACCESS_RCPT && !str_is(address_domain(facts->recipient), STR("ok.test")))
        refuse(verdict_r, 454, "4.7.1");
    else if (stage == ACCESS_RCPT && str_is(address_local(facts->recipient), STR("nobody")))
        refuse(verdict_r, 550, "5.1.1");
}

// ---- The session under test and its peer

static struct settings settings;
static struct smtpd daemon_state;
static struct service_context context;

static void set_up(void)
{
    settings = (struct settings){.myhostname = STR("mail.test"), .smtpd_banner = STR("mail.test ESMTP"), .mail_name = STR("Postfix"),
                                 .smtpd_timeout = 300, .daemon_timeout = 18000, .line_length_limit = 2048, .smtpd_sasl_response_limit = 12288, .message_size_limit = 10000,
                                 .smtpd_recipient_limit = 5, .smtpd_recipient_overshoot_limit = 1000, .smtpd_hard_error_limit = 1000000,
                                 .smtpd_soft_error_limit = 1000000, .smtpd_junk_command_limit = 1000000,
                                 .smtpd_forbid_bare_newline = STR("normalize"), .smtpd_forbid_bare_newline_reject_code = 550,
                                 .smtpd_forbidden_commands = STR("CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}"),
                                 .smtpd_forbid_unauth_pipelining = true, .syslog_name = STR("postfix")};
    struct err err = ERR_INIT;
    daemon_state = (struct smtpd){.settings = &settings, .ehlo_keywords = SMTPD_EHLO_ALL, .sasl = (struct sasl_server *)&daemon_state};
    daemon_state.mynetworks = match_list_open(STR(""), MATCH_NETWORKS, &err);
    daemon_state.forbidden_commands = match_list_open(settings.smtpd_forbidden_commands, 0, &err);
    daemon_state.sasl_exceptions = match_list_open(STR(""), MATCH_NETWORKS, &err);
    ck_assert(daemon_state.mynetworks != NULL && daemon_state.forbidden_commands != NULL);
    context = (struct service_context){.settings = &settings};
    stored.begun = stored.finished = stored.aborted = 0;
    stored.fails = false;
}

static void session_main(void *arg)
{
    co_assert_running();
    struct smtpd_session *s = MEM_NEW(struct smtpd_session);
    s->daemon = &daemon_state;
    s->settings = &settings;
    s->service = &context;
    if (net_addr_parse(STR("192.0.2.1"), 1234, &s->peer) < 0 || net_addr_parse(STR("192.0.2.2"), 25, &s->local) < 0)
        abort();
    s->stream = stream_new(*(int *)arg);
    smtpd_session_run(s);
    stream_free(s->stream);
    arena_release(&s->session_arena);
    arena_release(&s->transaction_arena);
    arena_release(&s->forward_arena);
    access_session_free(s->access);
    mem_free(s);
}

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
    switch (pick % 9) {
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
    for (int i = 0; i < 20000; i++) {
        state = state * 1103515245 + 12345;
        walk_step(peer, &m, state >> 12);
    }
    ck_assert_uint_gt(stored.finished, 100);
}

static void (*const scripts[])(struct stream *peer) = {script_one_message, script_refusals, script_cleanup_fails,
                                                       script_bdat_errors, script_login, script_login_is_off,
                                                       script_login_wants_tls, script_random_walk};

START_TEST(scripted_session)
{
    set_up();
    run_script(scripts[_i]);
    match_list_close(daemon_state.mynetworks);
    match_list_close(daemon_state.forbidden_commands);
    match_list_close(daemon_state.sasl_exceptions);
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
