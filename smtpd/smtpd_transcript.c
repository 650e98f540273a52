// SPDX-License-Identifier: ISC
// smtpd_transcript.c: what was said in a session, kept for a report to the postmaster (notify_classes) and for debug_peer_list.
// Limits: TRANSCRIPT_MAX bytes are kept of the newest lines. Suspends: smtpd_transcript_send, while cleanup takes the report.
#include "smtpd/smtpd.h"

#define TRANSCRIPT_MAX (16 * 1024)
#define LINE_MAX_KEPT  512
#define WRAP_COLUMN    72
#define SEND_SECONDS   60

// A line longer than a screen is continued below, indented.
static void add_wrapped(struct buf *b, const char *head, struct str text)
{
    struct buf clean = BUF_INIT;
    size_t column = strlen(head);
    buf_add_cstr(b, head);
    buf_add_printable(&clean, text, LINE_MAX_KEPT);
    struct str word, rest = buf_str(&clean);
    for (bool is_first = true, more = true; more; is_first = false) {
        more = str_cut(&rest, ' ', &word);
        if (!is_first && column + 1 + word.len > WRAP_COLUMN) {
            buf_add_cstr(b, "\n     ");
            column = 5;
        } else if (!is_first) {
            buf_add_char(b, ' ');
            column++;
        }
        buf_add_str(b, word);
        column += word.len;
    }
    buf_add_char(b, '\n');
    buf_release(&clean);
}

static void record(struct smtpd_session *s, const char *head, struct str text)
{
    if (s->is_debugged && s->settings->debug_peer_level > 0)
        log_info("%c " STR_FMT ": " STR_FMT, head[1] == 'I' ? '<' : '>', STR_ARG(s->client_log), STR_ARG(text));
    if (s->daemon->notify_classes == 0)
        return;
    add_wrapped(&s->transcript, head, text);
    s->transcript_lines++;
    if (s->transcript.len <= TRANSCRIPT_MAX)
        return;
    struct str old = str_slice(buf_str(&s->transcript), 0, s->transcript.len - TRANSCRIPT_MAX / 2);
    buf_consume(&s->transcript, (size_t)str_rfind(old, '\n') + 1);
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
    record(s, " In:  ", buf_str(&text));
    buf_release(&text);
}

void smtpd_record_output(struct smtpd_session *s, struct str replies)
{
    struct str line;
    while (str_token(&replies, "\r\n", &line))
        record(s, " Out: ", line);
}

void smtpd_transcript_reset(struct smtpd_session *s)
{
    if (s->transcript_lines <= s->settings->smtpd_history_flush_threshold || s->troubles & s->daemon->notify_classes)
        return;
    buf_release(&s->transcript);
    s->transcript_lines = 0;
}

static void write_report(struct smtpd_session *s, struct buf *b)
{
    const struct settings *set = s->settings;
    struct str to = set->error_notice_recipient, origin = set->myorigin;
    buf_add_cstr(b, "Date: ");
    clock_add_rfc5322(b, clock_wall());
    buf_addf(b, "\nFrom: Mail Delivery System <MAILER-DAEMON@" STR_FMT ">\nTo: Postmaster <" STR_FMT "%s" STR_FMT ">\n",
             STR_ARG(set->myhostname), STR_ARG(to), str_find(to, '@') < 0 ? "@" : "", STR_ARG(str_find(to, '@') < 0 ? origin : STR_NULL));
    buf_addf(b, "Subject: " STR_FMT " SMTP server: errors from " STR_FMT "\n\nTranscript of session follows.\n\n",
             STR_ARG(set->mail_name), STR_ARG(s->client_log));
    buf_add_str(b, buf_str(&s->transcript));
    buf_add_cstr(b, "\n\nFor other details, see the local mail logfile\n");
}

static int send_report(struct smtpd_session *s, struct err *err) CO
{
    const struct settings *set = s->settings;
    struct arena *a = &s->session_arena;
    struct submit_recipient to = {.address = set->error_notice_recipient};
    struct submit_attr attrs[] = {{"rewrite_context", STR("local")}, {"log_message_origin", STR("local")}};
    struct submit_envelope e = {.recipients = &to, .recipient_count = 1, .attrs = attrs, .attr_count = 2,
                                .flags = SUBMIT_BOUNCE | SUBMIT_MAP | SUBMIT_ADD_MISSING};
    struct buf report = BUF_INIT;
    struct submit_result result;
    e.sender = arena_strf(a, STR_FMT "@" STR_FMT, STR_ARG(set->double_bounce_sender), STR_ARG(set->myorigin));
    e.received_before = arena_strf(a, "Received: by " STR_FMT " (" STR_FMT ")\n\tid ", STR_ARG(set->myhostname), STR_ARG(set->mail_name));
    clock_add_rfc5322(&report, clock_wall());
    e.received_after = arena_strf(a, "; %s", buf_cstr(&report));
    buf_clear(&report);
    write_report(s, &report);
    struct submit *submit = submit_begin(s->daemon->submit, &e, clock_deadline(SEND_SECONDS), err);
    int rc = submit == NULL ? -1 : submit_write(submit, buf_str(&report), err);
    buf_release(&report);
    if (rc < 0) {
        if (submit != NULL)
            submit_abort(submit);
        return -1;
    }
    if (submit_finish(submit, &result, err) < 0)
        return -1;
    return result.code == 250 ? 0 : err_set(err, ERR_TEMPORARY, "%d %s", result.code, result.reason);
}

void smtpd_transcript_send(struct smtpd_session *s)
{
    struct err err = ERR_INIT;
    if ((s->troubles & s->daemon->notify_classes) && !s->is_standalone && send_report(s, &err) < 0)
        log_warn("the postmaster's report about " STR_FMT " could not be sent: %s", STR_ARG(s->client_log), err.text);
    buf_release(&s->transcript);
}
