// SPDX-License-Identifier: ISC
// smtpd_session.c: one client from greeting to disconnect: the command loop, its limits, its log lines.
// Trust: everything the client sends. Suspends: throughout; each command line is bounded by smtpd_timeout, the whole session by daemon_timeout.
#include <ctype.h>

#include "smtpd/smtpd.h"


void smtpd_transaction_reset(struct smtpd_session *s)
{
    smtpd_store_abort(s);
    s->transaction = (struct smtpd_transaction){.has_sender = false};
    if (s->access != NULL)
        access_session_end_transaction(s->access);
    arena_reset(&s->transaction_arena);
}

// The stream has failed, so this goes past it: once, if the socket takes it.
static void say_timeout(struct smtpd_session *s)
{
    struct buf reply = BUF_INIT;
    buf_addf(&reply, "421 4.4.2 " STR_FMT " Error: timeout exceeded\r\n", STR_ARG(s->settings->myhostname));
    (void)!send(stream_fd(s->stream), buf_cstr(&reply), reply.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_release(&reply);
}

void smtpd_lost(struct smtpd_session *s, const struct err *err)
{
    struct buf bytes = BUF_INIT;
    if (s->is_closing)
        return;
    s->is_closing = s->command_failed = true;
    if (s->transaction.submit != NULL || s->transaction.has_bdat)
        buf_addf(&bytes, " (%lld bytes)", (long long)s->transaction.content_bytes);
    if (strcmp(s->stage, "END-OF-MESSAGE") != 0 || err->kind == ERR_TIMEOUT)
        log_info("NOQUEUE: %s after %s%s from " STR_FMT,
                 err->kind == ERR_TIMEOUT ? "timeout" : "lost connection", s->stage, buf_cstr(&bytes), STR_ARG(s->client_log));
    buf_release(&bytes);
    if (err->kind == ERR_TIMEOUT)
        say_timeout(s);
}

static void do_quit(struct smtpd_session *s, struct str arguments)
{
    smtpd_reply(s, "221 2.0.0 Bye");
    s->is_closing = true;
}

static void do_noop(struct smtpd_session *s, struct str arguments)
{
    smtpd_reply(s, "250 2.0.0 Ok");
}

static void do_rset(struct smtpd_session *s, struct str arguments)
{
    if (arguments.len > 0) {
        smtpd_reply(s, "501 5.5.4 Syntax: RSET");
        return;
    }
    smtpd_transaction_reset(s);
    smtpd_reply(s, "250 2.0.0 Ok");
}

static void do_help(struct smtpd_session *s, struct str arguments)
{
    smtpd_reply(s, "214 2.0.0 Commands: BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET VRFY");
}

static void do_unimplemented(struct smtpd_session *s, struct str arguments)
{
    smtpd_reply(s, "502 5.5.1 Error: command not implemented");
}

// Suspending handlers go first through this table; the static check knows them as CO by their prototypes.
static const struct {
    enum smtp_verb verb;
    const char *stage;
    bool is_junk;      // counts against smtpd_junk_command_limit
    bool ends_group;   // must be the last command that a client pipelines (RFC 2920 3.1)
    void (*run)(struct smtpd_session *s, struct str arguments);
} commands[] = {
    {SMTP_HELO, "HELO", true, true, smtpd_helo},
    {SMTP_EHLO, "EHLO", true, true, smtpd_ehlo},
    {SMTP_MAIL, "MAIL", false, false, smtpd_mail},
    {SMTP_RCPT, "RCPT", false, false, smtpd_rcpt},
    {SMTP_DATA, "DATA", false, true, smtpd_data},
    {SMTP_BDAT, "BDAT", false, false, smtpd_bdat},
    {SMTP_RSET, "RSET", true, false, do_rset},
    {SMTP_NOOP, "NOOP", true, true, do_noop},
    {SMTP_VRFY, "VRFY", true, true, smtpd_vrfy},
    {SMTP_HELP, "HELP", true, true, do_help},
    {SMTP_QUIT, "QUIT", false, true, do_quit},
    {SMTP_ETRN, "ETRN", true, true, do_unimplemented},
    {SMTP_AUTH, "AUTH", false, true, do_unimplemented},
    {SMTP_STARTTLS, "STARTTLS", false, true, do_unimplemented},
    {SMTP_XCLIENT, "XCLIENT", false, true, do_unimplemented},
    {SMTP_XFORWARD, "XFORWARD", false, false, do_unimplemented},
};

static void log_disconnect(struct smtpd_session *s)
{
    struct buf line = BUF_INIT;
    struct smtpd_count all = {0, 0};
    for (int i = 0; i < SMTP_VERB_COUNT; i++) {
        const struct smtpd_count *c = &s->counts[i];
        if (c->total == 0)
            continue;
        buf_addf(&line, " %s=%u", i == SMTP_UNKNOWN ? "unknown" : smtp_verb_name((enum smtp_verb)i), c->ok);
        if (c->ok != c->total)
            buf_addf(&line, "/%u", c->total);
        all.ok += c->ok;
        all.total += c->total;
    }
    if (all.total == 0)
        buf_add_cstr(&line, " commands=0/0");
    else if (all.ok == all.total)
        buf_addf(&line, " commands=%u", all.ok);
    else
        buf_addf(&line, " commands=%u/%u", all.ok, all.total);
    if (s->has_bare_lf)
        buf_add_cstr(&line, " notes=bare_lf");
    log_info("disconnect from " STR_FMT "%s", STR_ARG(s->client_log), buf_cstr(&line));
    buf_release(&line);
}

// A word of smtpd_forbidden_commands, or a line that looks like a message header or like no SMTP at all.
static bool is_forbidden(struct smtpd_session *s, struct str line)
{
    struct str word, first = STR_NULL, rest = line, list = s->settings->smtpd_forbidden_commands;
    if (!str_token(&rest, " \t", &first))
        return false;
    if (first.len > 1 && first.ptr[first.len - 1] == ':' && str_is_printable(first))
        return true;
    while (str_token_braced(&list, ", \t\r\n", &word))
        if (str_is_nocase(word, first) || (str_starts(word, STR("regexp:{{/^[^A-Z]/")) && !isalpha((unsigned char)first.ptr[0])))
            return true;
    return false;
}

// Data sent before our reply by a client that may not know it: a proxy, a spammer, a smuggler.
static bool has_jumped_the_gun(struct smtpd_session *s, bool ends_group)
{
    if (!s->settings->smtpd_forbid_unauth_pipelining || s->is_standalone || s->verb == SMTP_BDAT ||
        stream_buffered(s->stream) == 0)
        return false; // a BDAT chunk follows its command at once (RFC 3030 2)
    bool may_pipeline = strcmp(s->protocol, "ESMTP") == 0 && (s->daemon->ehlo_keywords & SMTPD_EHLO_PIPELINING);
    if (may_pipeline && (!ends_group || s->verb == SMTP_NOOP || s->verb == SMTP_VRFY || s->verb == SMTP_QUIT || s->verb == SMTP_HELP))
        return false;
    log_info("improper command pipelining after %s from " STR_FMT, s->stage, STR_ARG(s->client_log));
    smtpd_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
    s->is_closing = true;
    return true;
}

static void run_command(struct smtpd_session *s, struct str line) CO
{
    struct str arguments;
    s->verb = smtp_verb_parse(line, &arguments);
    s->command_failed = false;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].verb != s->verb)
            continue;
        s->stage = commands[i].stage;
        if (commands[i].is_junk && ++s->junk > s->settings->smtpd_junk_command_limit)
            s->errors++;
        if (has_jumped_the_gun(s, commands[i].ends_group))
            return;
        enum smtp_verb verb = s->verb;
        commands[i].run(s, arguments);
        s->counts[verb].total++;
        s->counts[verb].ok += !s->command_failed;
        s->errors += s->command_failed;
        return;
    }
    s->stage = "UNKNOWN";
    s->counts[SMTP_UNKNOWN].total++;
    s->errors++;
    if (is_forbidden(s, line)) {
        log_warn("non-SMTP command from " STR_FMT ": %.100s", STR_ARG(s->client_log), arena_cstr(&s->transaction_arena, line));
        smtpd_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
        s->is_closing = true;
    } else {
        smtpd_reply(s, line.len == 0 ? "500 5.5.2 Error: bad syntax" : "500 5.5.2 Error: command not recognized");
    }
}

// Reads the rest of an over-long line away. False when the client is gone.
static bool skip_line(struct smtpd_session *s) CO
{
    struct err err = ERR_INIT;
    struct raw piece;
    enum line_end end = LINE_CUT;
    while (end == LINE_CUT)
        if (stream_read_line(s->stream, 65536, &piece, &end, &err) <= 0) {
            smtpd_lost(s, &err);
            return false;
        }
    return true;
}

// The next command line as checked text. 1, 0 a refused line (the reply was sent), -1 the client is gone.
static int read_command(struct smtpd_session *s, struct str *line_r) CO
{
    struct err err = ERR_INIT;
    struct raw line;
    enum line_end end;
    smtpd_limit_wait(s);
    int got = stream_read_line(s->stream, (size_t)s->settings->line_length_limit, &line, &end, &err);
    if (got <= 0 || end == LINE_EOF) {
        if (got >= 0)
            err_set(&err, ERR_PROTOCOL, "lost connection");
        smtpd_lost(s, &err);
        return -1;
    }
    *line_r = raw_unchecked(line);
    if (end == LINE_CUT) {
        log_warn(STR_FMT ": request longer than %lld: %.30s...", STR_ARG(s->client_log), (long long)s->settings->line_length_limit,
                 arena_cstr(&s->transaction_arena, str_slice(*line_r, 0, 30)));
        smtpd_reply(s, "500 5.5.2 " STR_FMT " Error: command too long", STR_ARG(s->settings->myhostname));
        s->errors++;
        return skip_line(s) ? 0 : -1;
    }
    s->has_bare_lf |= end == LINE_LF;
    if (end == LINE_LF && str_is_nocase(s->settings->smtpd_forbid_bare_newline, STR("reject"))) {
        smtpd_reply(s, "%lld 5.5.2 " STR_FMT " Error: bare <LF> received",
                    (long long)s->settings->smtpd_forbid_bare_newline_reject_code, STR_ARG(s->settings->myhostname));
        s->is_closing = true;
        return 0;
    }
    if (memchr(line.ptr, 0, line.len) != NULL || memchr(line.ptr, '\r', line.len) != NULL) {
        smtpd_reply(s, "500 5.5.2 Error: bad syntax");
        s->errors++;
        return 0;
    }
    if (!str_is_ascii(*line_r) && !str_is_utf8(*line_r)) {
        smtpd_reply(s, "500 5.5.2 Error: bad UTF-8 syntax");
        s->errors++;
        return 0;
    }
    return 1;
}

// Slows down and at last ends sessions that make errors only.
static void punish_errors(struct smtpd_session *s) CO
{
    const struct settings *set = s->settings;
    if (s->is_closing)
        return;
    if ((int64_t)s->errors >= set->smtpd_hard_error_limit) {
        log_info("NOQUEUE: too many errors after %s from " STR_FMT, s->stage, STR_ARG(s->client_log));
        smtpd_reply(s, "421 4.7.0 " STR_FMT " Error: too many errors", STR_ARG(set->myhostname));
        s->is_closing = true;
    } else if ((int64_t)s->errors >= set->smtpd_soft_error_limit && set->smtpd_error_sleep_time > 0) {
        co_sleep_until(clock_deadline(set->smtpd_error_sleep_time));
    }
}

static void command_loop(struct smtpd_session *s) CO
{
    struct str line;
    while (!s->is_closing) {
        if (stream_buffered(s->stream) == 0) { // pipelined commands get their replies in one packet
            if (smtpd_flush(s) < 0)
                return;
            stream_idle(s->stream);
        }
        co_set_action(s->stage);
        int got = read_command(s, &line);
        if (got < 0)
            return;
        if (got > 0)
            run_command(s, line);
        punish_errors(s);
        if (s->service->is_retiring && !s->transaction.has_sender && !s->is_closing && co_is_cancelled()) {
            smtpd_reply(s, "421 4.3.2 " STR_FMT " Error: server is going down", STR_ARG(s->settings->myhostname));
            s->is_closing = true;
        }
    }
}

static bool greet(struct smtpd_session *s) CO
{
    s->stage = "CONNECT";
    if (s->settings->smtpd_forbid_unauth_pipelining && !s->is_standalone && stream_is_readable_now(s->stream) &&
        stream_buffered(s->stream) > 0) {
        log_info("improper command pipelining after CONNECT from " STR_FMT, STR_ARG(s->client_log));
        smtpd_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
        s->is_closing = true;
        return false;
    }
    if (!smtpd_allows(s, ACCESS_CONNECT, STR_NULL)) {
        s->is_closing = true;
        return false;
    }
    smtpd_reply(s, "220 " STR_FMT, STR_ARG(s->settings->smtpd_banner));
    return true;
}

void smtpd_session_run(struct smtpd_session *s)
{
    s->protocol = "SMTP";
    s->stage = "CONNECT";
    s->deadline = clock_deadline(s->settings->daemon_timeout);
    smtpd_transaction_reset(s);
    smtpd_client_identify(s);
    log_info("connect from " STR_FMT, STR_ARG(s->client_log));
    if (greet(s))
        command_loop(s);
    smtpd_transaction_reset(s);
    if (stream_unflushed(s->stream) > 0) { // the last reply; its loss changes nothing
        struct err err = ERR_INIT;
        stream_set_deadline(s->stream, clock_deadline(10));
        if (stream_flush(s->stream, &err) < 0)
            log_debug("last reply to " STR_FMT ": %s", STR_ARG(s->client_log), err.text);
    }
    log_disconnect(s);
}
