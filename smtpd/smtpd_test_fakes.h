// SPDX-License-Identifier: ISC
// smtpd_test_fakes.h: a session without the programs around it, for the unit test and the fuzz target: cleanup,
// decisions and login are replaced by functions of the same names, so this is included once in a program.
#ifndef DROMOS_SMTPD_SMTPD_TEST_FAKES_H
#define DROMOS_SMTPD_SMTPD_TEST_FAKES_H

#include <stdlib.h>

#include "smtpd/smtpd.h"

// ---- Fakes: the message that cleanup would get is kept; decisions are made by name.

static struct {
    struct buf sender, recipients, content;
    unsigned begun, finished, aborted;
    bool fails;
} stored;

// Recipients that were accepted since the transaction began.
static struct {
    struct buf recipients;
} decided;

struct submit {
    bool is_open; // its id was asked for
};
static void take_recipients(const struct submit_envelope *e)
{
    buf_clear(&stored.recipients);
    for (size_t i = 0; i < e->recipient_count; i++) {
        buf_add_str(&stored.recipients, e->recipients[i].address);
        buf_add_char(&stored.recipients, ' ');
    }
    if (e->recipient_count == 0 || !str_is(buf_str(&stored.recipients), buf_str(&decided.recipients)))
        bug("a message for other recipients than were accepted in its transaction");
}
struct submit *submit_begin(struct submit_pool *p, const struct submit_envelope *e, int64_t deadline, struct err *err)
{
    stored.begun++;
    buf_clear(&stored.sender);
    buf_clear(&stored.content);
    buf_add_str(&stored.sender, e->sender);
    if (e->recipient_count > 0)
        take_recipients(e);
    return MEM_NEW(struct submit);
}
int submit_open(struct submit *s, struct str *queue_id_r, struct err *err)
{
    if (stored.fails)
        return err_set(err, ERR_TEMPORARY, "cleanup died");
    s->is_open = true;
    *queue_id_r = STR("ABC");
    return 1;
}
int submit_extend(struct submit *s, const struct submit_envelope *e, struct err *err)
{
    if (!s->is_open || !str_is(buf_str(&stored.sender), e->sender))
        bug("a message that was not begun in its transaction");
    take_recipients(e);
    return 0;
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

// Logging in: TEST accepts "b2s=" (ok) at once or after a challenge, is out of order for "dG1w" (tmp), and refuses the
// rest.
static unsigned exchanges;
struct sasl_exchange {
    int dummy;
};
int sasl_server_mechanisms(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r,
                           struct err *err)
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
void sasl_exchange_start(struct sasl_exchange *x, struct str mechanism, struct str response,
                         struct sasl_answer *answer_r)
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
    buf_clear(&decided.recipients);
}
bool access_is_malformed(struct access_session *as, struct str address)
{
    struct str domain = address_domain(address);
    return str_find(address, '@') >= 0 && !address_domain_is_valid(domain) && !address_domain_is_literal(domain);
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
void access_decide(struct access_session *as, enum access_stage stage, const struct access_facts *facts,
                   struct arena *arena, struct access_verdict *verdict_r)
{
    *verdict_r = (struct access_verdict){.outcome = ACCESS_PASS};
    if (stage == ACCESS_RCPT && !str_is(address_domain(facts->recipient), STR("ok.test")))
        refuse(verdict_r, 454, "4.7.1");
    else if (stage == ACCESS_RCPT && str_is(address_local(facts->recipient), STR("nobody")))
        refuse(verdict_r, 550, "5.1.1");
    else if (stage == ACCESS_RCPT && strcmp(facts->state, "VRFY") != 0)
        buf_addf(&decided.recipients, STR_FMT " ", STR_ARG(facts->recipient));
}

// ---- The session under test and its peer

static struct settings settings;
static struct smtpd daemon_state;
static struct service_context context;

static void set_up(void)
{
    settings = (struct settings){.myhostname = STR("mail.test"),
                                 .smtpd_banner = STR("mail.test ESMTP"),
                                 .mail_name = STR("Postfix"),
                                 .smtpd_timeout = 300,
                                 .daemon_timeout = 18000,
                                 .line_length_limit = 2048,
                                 .smtpd_sasl_response_limit = 12288,
                                 .message_size_limit = 10000,
                                 .smtpd_recipient_limit = 5,
                                 .smtpd_recipient_overshoot_limit = 1000,
                                 .smtpd_hard_error_limit = 1000000,
                                 .smtpd_soft_error_limit = 1000000,
                                 .smtpd_junk_command_limit = 1000000,
                                 .smtpd_forbid_bare_newline = STR("normalize"),
                                 .smtpd_forbid_bare_newline_reject_code = 550,
                                 .smtpd_forbidden_commands = STR("CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}"),
                                 .smtpd_forbid_unauth_pipelining = true,
                                 .smtpd_delay_open_until_valid_rcpt = true,
                                 .syslog_name = STR("postfix")};
    struct err err = ERR_INIT;
    daemon_state = (struct smtpd){
        .settings = &settings, .ehlo_keywords = SMTPD_EHLO_ALL, .sasl = (struct sasl_server *)&daemon_state};
    daemon_state.mynetworks = match_list_open(STR(""), MATCH_NETWORKS, &err);
    daemon_state.forbidden_commands = match_list_open(settings.smtpd_forbidden_commands, 0, &err);
    daemon_state.sasl_exceptions = match_list_open(STR(""), MATCH_NETWORKS, &err);
    daemon_state.xclient_hosts = match_list_open(STR("192.0.2.1"), MATCH_NETWORKS, &err);
    daemon_state.xforward_hosts = match_list_open(STR("192.0.2.1"), MATCH_NETWORKS, &err);
    if (daemon_state.mynetworks == NULL || daemon_state.forbidden_commands == NULL ||
        daemon_state.xclient_hosts == NULL)
        bug("a list of the test cannot be opened");
    context = (struct service_context){.settings = &settings};
    stored.begun = stored.finished = stored.aborted = 0;
    stored.fails = false;
}

static inline void tear_down(void)
{
    struct match_list *const lists[] = {daemon_state.mynetworks, daemon_state.forbidden_commands,
                                        daemon_state.sasl_exceptions, daemon_state.xclient_hosts,
                                        daemon_state.xforward_hosts};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        match_list_close(lists[i]);
    buf_release(&stored.sender);
    buf_release(&stored.recipients);
    buf_release(&stored.content);
    buf_release(&decided.recipients);
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

#endif
