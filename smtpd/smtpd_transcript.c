// SPDX-License-Identifier: ISC
// smtpd_transcript.c: what was said in a session, kept for a report to the postmaster (notify_classes) and for
// debug_peer_list.
// Suspends: smtpd_transcript_send, while cleanup takes the report.
#include "smtpd/smtpd.h"

static void record(struct smtpd_session *s, const char *head, struct str text)
{
    if (s->is_debugged && s->settings->debug_peer_level > 0)
        log_info("%c " STR_FMT ": " STR_FMT, head[1] == 'I' ? '<' : '>', STR_ARG(s->client_log), STR_ARG(text));
    if (s->daemon->notify_classes == 0)
        return;
    transcript_add(&s->transcript, head, text);
}

void smtpd_add_loggable(const struct smtpd_session *s, struct buf *b, struct str input, size_t max)
{
    struct str rest = input, line, word = STR_NULL;
    bool has_login = false, goes_on = true, follows_auth = s->verb == SMTP_AUTH || s->counts[SMTP_AUTH].total > 0;

    while (!has_login && goes_on) {
        goes_on = str_cut(&rest, '\n', &line);
        has_login = str_token(&line, " \t\r", &word) && str_is_nocase(word, STR("AUTH"));
    }
    if (has_login) // as far as there
        buf_add_escaped(b, str_slice(input, 0, (size_t)(word.ptr + word.len - input.ptr)), max);
    else if (follows_auth && smtp_verb_parse(input, &rest) == SMTP_UNKNOWN) // a response that came too late
        buf_add_cstr(b, "(not shown)");
    else
        buf_add_escaped(b, input, max);
}

void smtpd_record_input(struct smtpd_session *s, struct str line)
{
    struct buf text = BUF_INIT;
    smtpd_add_loggable(s, &text, line, 0);
    record(s, TRANSCRIPT_IN, buf_str(&text));
    buf_release(&text);
}

void smtpd_record_output(struct smtpd_session *s, struct str replies)
{
    struct str line;
    while (str_token(&replies, "\r\n", &line))
        record(s, TRANSCRIPT_OUT, line);
}

void smtpd_transcript_reset(struct smtpd_session *s)
{
    if (s->transcript.lines <= s->settings->smtpd_history_flush_threshold || s->troubles & s->daemon->notify_classes)
        return;
    transcript_clear(&s->transcript);
}

void smtpd_transcript_send(struct smtpd_session *s)
{
    struct err err = ERR_INIT;
    struct transcript_report about = {"SMTP server", s->client_log, STR("")};
    if ((s->troubles & s->daemon->notify_classes) && !s->is_standalone &&
        transcript_send(&s->transcript, &about, s->settings, s->daemon->submit, &err) < 0)
        log_warn("the postmaster's report about " STR_FMT " could not be sent: %s", STR_ARG(s->client_log), err.text);
    transcript_clear(&s->transcript);
}
