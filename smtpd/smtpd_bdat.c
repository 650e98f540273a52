// SPDX-License-Identifier: ISC
// smtpd_bdat.c: the BDAT command (RFC 3030): counted chunks, each read to its end whatever becomes of it.
// Limits: the chunk size is bounded by message_size_limit before anything is read. Suspends: while the client sends.
#include "smtpd/smtpd.h"

static bool parse_arguments(struct str arguments, int64_t *size_r, bool *is_last_r)
{
    struct str size, last = STR_NULL, more, rest = arguments;
    if (!str_token(&rest, " \t", &size) || size.len > 18 || str_to_i64(size, size_r) < 0 || *size_r < 0)
        return false;
    *is_last_r = str_token(&rest, " \t", &last);
    return (!*is_last_r || str_is_nocase(last, STR("LAST"))) && !str_token(&rest, " \t", &more);
}

// Reads the chunk. False when the client is gone (logged).
static bool read_chunk(struct smtpd_session *s, int64_t size) CO
{
    struct buf text = BUF_INIT;
    struct raw input;

    while (size > 0 && smtpd_get_content(s, 0, &input)) {
        if ((int64_t)input.len > size)
            input.len = (size_t)size;
        (void)smtpd_content_feed(&s->transaction.content, input, &text);
        stream_consume(s->stream, input.len);
        smtpd_limit_progress(s, input.len);
        smtpd_judge_bare_lf(s);
        size -= (int64_t)input.len;
        smtpd_store_text(s, buf_str(&text));
        buf_clear(&text);
    }
    buf_release(&text);
    return size == 0;
}

// Why this chunk cannot be part of a message; the chunk must be read all the same.
static bool is_chunk_welcome(struct smtpd_session *s, int64_t size, bool is_last)
{
    struct smtpd_transaction *t = &s->transaction;
    if (!t->has_sender || t->recipient_count == 0) {
        smtpd_store_fail(s, t->has_sender ? 554 : 503, "5.5.1",
                         t->has_sender ? "Error: no valid recipients" : "Error: need RCPT command");
        return false;
    }
    if (size == 0 && !is_last) {
        smtpd_store_fail(s, 551, "5.7.1", "Null BDAT request");
        return false;
    }
    if (s->settings->message_size_limit > 0 && size > s->settings->message_size_limit - t->content_bytes) {
        smtpd_store_fail(s, 552, "5.3.4", "Chunk exceeds message size limit");
        return false;
    }
    return true;
}

static void finish_message(struct smtpd_session *s) CO
{
    struct submit_result result;
    struct buf tail = BUF_INIT;
    smtpd_content_end(&s->transaction.content, &tail);
    smtpd_store_text(s, buf_str(&tail));
    buf_release(&tail);
    s->stage = "END-OF-MESSAGE";
    if (!s->transaction.is_bad && !smtpd_allows(s, ACCESS_END_OF_DATA, smtpd_only_recipient(s))) {
        smtpd_transaction_reset(s);
        return;
    }
    smtpd_store_finish(s, &result);
    if (result.code == 250) {
        s->errors = s->junk = 0;
        smtpd_reply(s, "250 2.0.0 Ok: %lld bytes queued as %s", (long long)s->transaction.content_bytes,
                    result.queue_id);
    } else {
        smtpd_reply(s, "%d %s %s", result.code, result.status, result.reason);
    }
    s->has_bare_lf |= s->transaction.content.saw_bare_lf;
    smtpd_transaction_reset(s);
}

// False: refused by smtpd_data_restrictions; the reply was sent, the chunk must still be read.
static bool begin_content(struct smtpd_session *s) CO
{
    if (!smtpd_allows(s, ACCESS_DATA, smtpd_only_recipient(s))) {
        smtpd_store_fail(s, 554, "5.7.1", "Error: refused");
        return false;
    }
    smtpd_content_init(&s->transaction.content, false);
    (void)smtpd_store_begin(s);
    return true;
}

void smtpd_bdat(struct smtpd_session *s, struct str arguments)
{
    struct smtpd_transaction *t = &s->transaction;
    int64_t size;
    bool is_last;

    if (!(s->ehlo_offered & SMTPD_EHLO_CHUNKING)) {
        smtpd_reply(s, "521 5.5.1 Error: command not implemented");
        return;
    }
    if (!parse_arguments(arguments, &size, &is_last)) { // where the chunk ends is unknown: no way to go on
        log_warn("NOQUEUE: malformed BDAT command syntax from " STR_FMT ": " STR_FMT, STR_ARG(s->client_log),
                 STR_ARG(arguments));
        smtpd_reply(s, "521 5.5.4 Syntax: BDAT count [LAST]");
        return;
    }
    bool was_bad = t->is_bad, has_reply = false;
    if (!was_bad && is_chunk_welcome(s, size, is_last) && !t->has_bdat)
        has_reply = !begin_content(s);
    t->has_bdat = true;
    t->bdat_bytes += size;
    if (!read_chunk(s, size))
        return;
    if (has_reply)
        s->command_failed = true;
    else if (was_bad)
        smtpd_reply(s, "551 5.0.0 Discarded %lld bytes after earlier error", (long long)size);
    else if (t->is_bad)
        smtpd_reply(s, "%d %s %s", t->failure.code, t->failure.status, t->failure.reason);
    else if (is_last)
        finish_message(s);
    else
        smtpd_reply(s, "250 2.0.0 Ok: %lld bytes", (long long)size);
    if (t->is_bad && is_last)
        smtpd_transaction_reset(s);
}
