// SPDX-License-Identifier: ISC
// smtpd_session.c: one client from greeting to disconnect: the command loop, its limits, its log lines.
// Trust: everything the client sends. Suspends: throughout; each command line is bounded by smtpd_timeout, the whole
// session by daemon_timeout.
#include "smtpd/smtpd.h"

void smtpd_transaction_reset(struct smtpd_session *s)
{
    smtpd_store_abort(s);
    s->transaction = (struct smtpd_transaction){.has_sender = false};
    buf_clear(&s->queue_id);
    s->sasl.sender = STR_NULL;
    if (s->access != NULL)
        access_session_end_transaction(s->access);
    smtpd_xforward_reset(s);
    arena_reset(&s->transaction_arena);
}

// The stream has failed, so this goes past it: once, if the socket takes it.
static void say_last(struct smtpd_session *s, const char *status, const char *text)
{
    struct buf reply = BUF_INIT;
    buf_addf(&reply, "421 %s " STR_FMT " %s\r\n", status, STR_ARG(s->settings->myhostname), text);
    stream_send_last(s->stream, buf_str(&reply));
    buf_release(&reply);
}

void smtpd_lost(struct smtpd_session *s, const struct err *err)
{
    struct buf bytes = BUF_INIT;
    if (s->is_closing)
        return;
    s->is_closing = s->command_failed = true;
    if (s->transaction.has_content || s->transaction.has_bdat)
        buf_addf(&bytes, " (%lld bytes)", (long long)s->transaction.content_bytes);
    if (strcmp(s->stage, "END-OF-MESSAGE") != 0 || err->kind == ERR_TIMEOUT) {
        s->troubles |= SMTPD_TROUBLE_PROTOCOL;
        struct str id = smtpd_queue_id(s);
        log_info(STR_FMT ": %s after %s%s from " STR_FMT, STR_ARG(id),
                 err->kind == ERR_TIMEOUT ? "timeout" : "lost connection", s->stage, buf_cstr(&bytes),
                 STR_ARG(s->client_log));
    }
    buf_release(&bytes);
    if (err->kind == ERR_TIMEOUT)
        say_last(s, "4.4.2", "Error: timeout exceeded");
}

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
    if (s->has_bare_lf && !s->may_send_bare_lf && str_is_nocase(s->settings->smtpd_forbid_bare_newline, STR("note")))
        buf_add_cstr(&line, " notes=bare_lf");
    log_info("disconnect from " STR_FMT "%s", STR_ARG(s->client_log), buf_cstr(&line));
    buf_release(&line);
}

// Slows down and at last ends sessions that make errors only. `earlier`: the errors before this command.
static void punish_errors(struct smtpd_session *s, unsigned earlier) CO
{
    const struct settings *set = s->settings;
    if (s->is_closing)
        return;
    if ((int64_t)s->errors >= set->smtpd_hard_error_limit) {
        struct str id = smtpd_queue_id(s);
        log_info(STR_FMT ": too many errors after %s from " STR_FMT, STR_ARG(id), s->stage, STR_ARG(s->client_log));
        s->troubles |= SMTPD_TROUBLE_PROTOCOL;
        smtpd_reply(s, "421 4.7.0 " STR_FMT " Error: too many errors", STR_ARG(set->myhostname));
        s->is_closing = true;
        smtpd_reply_done(s);
    } else if ((int64_t)earlier >= set->smtpd_soft_error_limit && set->smtpd_error_sleep_time > 0) {
        co_sleep_until(clock_deadline(set->smtpd_error_sleep_time));
    }
}

static bool has_whole_line(const struct stream *stream)
{
    struct raw input = stream_peek_buffered(stream);
    return input.len > 0 && memchr(input.ptr, '\n', input.len) != NULL;
}

static void command_loop(struct smtpd_session *s) CO
{
    struct str line;
    while (!s->is_closing) {
        if (!has_whole_line(s->stream)) { // pipelined commands get their replies in one packet
            if (smtpd_flush(s) < 0)
                return;
            stream_idle(s->stream);
        }
        co_set_action(s->stage);
        s->settings = s->service->settings; // those of a time of stress, once it has come
        unsigned errors = s->errors;
        int got = smtpd_command_read(s, &line);
        if (got < 0)
            return;
        if (got > 0)
            smtpd_command_run(s, line);
        smtpd_reply_done(s);
        punish_errors(s, errors);
        if (s->service->is_retiring && !s->transaction.has_sender && !s->is_closing && co_is_cancelled()) {
            smtpd_reply(s, "421 4.3.2 " STR_FMT " Error: server is going down", STR_ARG(s->settings->myhostname));
            s->is_closing = true;
        }
    }
}

// A client that speaks before it is greeted.
static bool has_spoken_first(struct smtpd_session *s)
{
    struct buf text = BUF_INIT;
    if (s->is_standalone || !s->settings->smtpd_forbid_unauth_pipelining || !stream_is_readable_now(s->stream) ||
        stream_buffered(s->stream) == 0)
        return false;
    buf_add_escaped(&text, raw_unchecked(stream_peek_buffered(s->stream)), 100);
    log_info("improper command pipelining after CONNECT from " STR_FMT ": %s", STR_ARG(s->client_log), buf_cstr(&text));
    buf_release(&text);
    smtpd_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
    s->is_closing = true;
    return true;
}

static void greet(struct smtpd_session *s) CO
{
    s->stage = "CONNECT";
    if (has_spoken_first(s))
        return;
    if (!smtpd_allows(s, ACCESS_CONNECT, STR_NULL)) { // what comes now is refused, but QUIT
        s->denied = arena_str(&s->session_arena,
                              str_slice(buf_str(stream_output(s->stream)), s->reply_start, s->reply_start + 9));
        return;
    }
    smtpd_reply(s, "220 " STR_FMT, STR_ARG(s->settings->smtpd_banner));
}

void smtpd_greet_again(struct smtpd_session *s)
{
    smtpd_transaction_reset(s);
    s->denied = STR_NULL;
    access_session_free(s->access); // what was found out and remembered is about another client
    s->access = NULL;
    greet(s);
}

static void say_farewell(struct smtpd_session *s) CO
{
    struct err err = ERR_INIT;
    if (stream_unflushed(s->stream) == 0)
        return;
    stream_set_deadline(s->stream, clock_deadline(10));
    if (stream_flush(s->stream, &err) < 0) // the last reply; its loss changes nothing
        log_debug("last reply to " STR_FMT ": %s", STR_ARG(s->client_log), err.text);
}

void smtpd_session_run(struct smtpd_session *s)
{
    s->protocol = "SMTP";
    s->stage = "CONNECT";
    s->deadline = clock_deadline(s->settings->daemon_timeout);
    smtpd_transaction_reset(s);
    bool is_known = smtpd_upstream_take(s);
    smtpd_client_identify(s);
    log_info("connect from " STR_FMT, STR_ARG(s->client_log));
    s->is_closing = !is_known;
    if (!is_known)
        say_last(s, "4.3.0", "Server local error");
    else if (smtpd_limit_connect(s) && smtpd_tls_wrap(s))
        greet(s);
    smtpd_reply_done(s);
    command_loop(s);
    smtpd_limit_disconnect(s);
    smtpd_transaction_reset(s);
    say_farewell(s);
    log_disconnect(s);
    smtpd_transcript_send(s);
    buf_release(&s->queue_id);
    buf_release(&s->filtered);
    buf_release(&s->cleaned);
    buf_release(&s->refused_recipient);
}
