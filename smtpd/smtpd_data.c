// SPDX-License-Identifier: ISC
// smtpd_data.c: the DATA command: content up to CR LF . CR LF, then cleanup's verdict.
// Suspends: while the client sends; each wait is bounded by smtpd_timeout, the whole by the session's deadline.
#include "smtpd/smtpd.h"

#define DATA_READ_SIZE (32 * 1024)

bool smtpd_get_content(struct smtpd_session *s, size_t have, struct raw *input_r)
{
    struct err err = ERR_INIT;
    smtpd_limit_wait(s);
    int got = have > 0 ? stream_peek_more(s->stream, have, input_r, &err) : stream_peek(s->stream, input_r, &err);
    if (got > 0)
        return true;
    if (got == 0)
        err_set(&err, ERR_PROTOCOL, "lost connection");
    smtpd_lost(s, &err);
    return false;
}

void smtpd_judge_bare_lf(struct smtpd_session *s)
{
    const struct settings *set = s->settings;
    if (!s->transaction.content.saw_bare_lf || s->transaction.is_bad || s->may_send_bare_lf ||
        !str_is_nocase(set->smtpd_forbid_bare_newline, STR("reject")))
        return;
    struct str reason =
        arena_strf(&s->transaction_arena, STR_FMT " Error: bare <LF> received", STR_ARG(set->myhostname));
    s->ends_after_reply = true;
    smtpd_store_fail(s, (int)set->smtpd_forbid_bare_newline_reject_code, "5.5.2", reason.ptr);
}

// Reads to the end of data whatever becomes of it. False when the session is over.
static bool read_content(struct smtpd_session *s) CO
{
    struct smtpd_transaction *t = &s->transaction;
    struct buf text = BUF_INIT;
    struct raw input;
    size_t left = 0;
    bool is_open = true;

    while (!t->content.is_done && (is_open = smtpd_get_content(s, left, &input))) {
        size_t used = smtpd_content_feed(&t->content, input, &text);
        left = input.len - used;
        stream_consume(s->stream, used);
        smtpd_store_text(s, buf_str(&text));
        buf_clear(&text);
        smtpd_limit_progress(s, used);
        smtpd_judge_bare_lf(s);
    }
    buf_release(&text);
    return is_open;
}

struct str smtpd_only_recipient(const struct smtpd_session *s)
{
    return s->transaction.recipient_count == 1 ? s->transaction.recipients[0].address : STR_NULL;
}

static bool is_data_allowed(struct smtpd_session *s, struct str arguments) CO
{
    struct smtpd_transaction *t = &s->transaction;
    if (t->has_bdat)
        smtpd_reply(s, "503 5.5.1 Error: DATA after BDAT");
    else if (t->recipient_count == 0 && (t->has_sender == false))
        smtpd_reply(s, "503 5.5.1 Error: need RCPT command");
    else if (t->recipient_count == 0)
        smtpd_reply(s, "554 5.5.1 Error: no valid recipients");
    else if (arguments.len > 0)
        smtpd_reply(s, "501 5.5.4 Syntax: DATA");
    else
        return smtpd_allows(s, ACCESS_DATA, smtpd_only_recipient(s));
    return false;
}

void smtpd_data(struct smtpd_session *s, struct str arguments)
{
    struct smtpd_transaction *t = &s->transaction;
    struct submit_result result;

    if (!is_data_allowed(s, arguments))
        return;
    smtpd_content_init(&t->content, true);
    t->content.takes_lf_end = s->may_send_bare_lf || str_is_nocase(s->settings->smtpd_forbid_bare_newline, STR("no"));
    t->is_bad = false;
    (void)smtpd_store_begin(s);
    smtpd_reply(s, "354 End data with <CR><LF>.<CR><LF>");
    smtpd_reply_done(s);
    if (smtpd_flush(s) < 0)
        return;
    smtpd_limit_request(s);
    stream_set_read_size(s->stream, DATA_READ_SIZE);
    bool is_complete = read_content(s);
    stream_set_read_size(s->stream, 0);
    s->has_bare_lf |= t->content.saw_bare_lf;
    if (!is_complete) { // an unfinished message is none
        smtpd_transaction_reset(s);
        return;
    }
    s->stage = "END-OF-MESSAGE";
    if (!t->is_bad && !smtpd_allows(s, ACCESS_END_OF_DATA, smtpd_only_recipient(s))) {
        smtpd_transaction_reset(s);
        return;
    }
    smtpd_store_finish(s, &result);
    if (result.code == 250) {
        s->errors = s->junk = 0;
        smtpd_reply(s, "250 2.0.0 Ok: queued as %s", result.queue_id);
    } else {
        smtpd_reply(s, "%d %s %s", result.code, result.status, result.reason);
    }
    smtpd_transaction_reset(s);
}
