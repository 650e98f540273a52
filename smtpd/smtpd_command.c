// SPDX-License-Identifier: ISC
// smtpd_command.c: one command line: read, checked, looked up in the table of commands, run and counted.
// Trust: the line is whatever the client sends. Suspends: reading, table lookups, the commands themselves.
#include "smtpd/smtpd.h"

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
    smtpd_transcript_reset(s);
    smtpd_reply(s, "250 2.0.0 Ok");
}

static void do_help(struct smtpd_session *s, struct str arguments);

enum command_traits {
    IS_JUNK = 1,    // counts against smtpd_junk_command_limit
    ENDS_GROUP = 2, // must be the last command that a client pipelines (RFC 2920 3.1)
};

// Suspending handlers go first through this table; the static check knows them as CO by their prototypes.
struct command {
    enum smtp_verb verb;
    const char *stage;
    unsigned traits;
    void (*run)(struct smtpd_session *s, struct str arguments);
};
static const struct command commands[] = {
    {SMTP_HELO, "HELO", IS_JUNK | ENDS_GROUP, smtpd_helo},
    {SMTP_EHLO, "EHLO", IS_JUNK | ENDS_GROUP, smtpd_ehlo},
    {SMTP_MAIL, "MAIL", 0, smtpd_mail},
    {SMTP_RCPT, "RCPT", 0, smtpd_rcpt},
    {SMTP_DATA, "DATA", ENDS_GROUP, smtpd_data},
    {SMTP_BDAT, "BDAT", 0, smtpd_bdat},
    {SMTP_RSET, "RSET", IS_JUNK, do_rset},
    {SMTP_NOOP, "NOOP", IS_JUNK | ENDS_GROUP, do_noop},
    {SMTP_VRFY, "VRFY", IS_JUNK | ENDS_GROUP, smtpd_vrfy},
    {SMTP_HELP, "HELP", IS_JUNK, do_help},
    {SMTP_QUIT, "QUIT", 0, do_quit},
    {SMTP_ETRN, "ETRN", IS_JUNK, smtpd_etrn},
    {SMTP_AUTH, "AUTH", ENDS_GROUP, smtpd_auth},
    {SMTP_STARTTLS, "STARTTLS", ENDS_GROUP, smtpd_starttls},
    {SMTP_XCLIENT, "XCLIENT", ENDS_GROUP, smtpd_xclient},
    {SMTP_XFORWARD, "XFORWARD", 0, smtpd_xforward},
};

static const struct command *find_command(enum smtp_verb verb)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].verb == verb)
            return &commands[i];
    return NULL;
}

static void do_help(struct smtpd_session *s, struct str arguments)
{
    smtpd_reply(s, "214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY "
                   "XCLIENT XFORWARD");
}

// ---- Reading

// Reads the rest of an over-long line away. False when the client is gone.
bool smtpd_skip_line(struct smtpd_session *s)
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

static int refuse_long_line(struct smtpd_session *s, struct str start) CO
{
    struct buf text = BUF_INIT;
    smtpd_add_loggable(s, &text, start, 30);
    log_warn(STR_FMT ": request longer than %lld: %s...", STR_ARG(s->client_log),
             (long long)s->settings->line_length_limit, buf_cstr(&text));
    buf_release(&text);
    smtpd_reply(s, "500 5.5.2 " STR_FMT " Error: command too long", STR_ARG(s->settings->myhostname));
    s->errors++;
    return smtpd_skip_line(s) ? 0 : -1;
}

static int refuse_line(struct smtpd_session *s, const char *what)
{
    smtpd_reply(s, "500 5.5.2 Error: %s", what);
    s->errors++;
    return 0;
}

bool smtpd_refuses_bare_lf(struct smtpd_session *s)
{
    s->has_bare_lf = true;
    if (!str_is_nocase(s->settings->smtpd_forbid_bare_newline, STR("reject")) || s->may_send_bare_lf)
        return false;
    smtpd_reply(s, "%lld 5.5.2 " STR_FMT " Error: bare <LF> received",
                (long long)s->settings->smtpd_forbid_bare_newline_reject_code, STR_ARG(s->settings->myhostname));
    s->is_closing = true;
    return true;
}

// A command ends at its first NUL, and a CR within it separates words: so do clients' libraries and other servers see
// it.
static struct str without_odd_bytes(struct smtpd_session *s, struct str line)
{
    long nul = str_find(line, '\0');
    if (nul >= 0)
        line.len = (size_t)nul;
    if (str_find(line, '\r') < 0)
        return line;
    buf_clear(&s->cleaned);
    buf_add_str(&s->cleaned, line);
    for (size_t i = 0; i < s->cleaned.len; i++)
        if (s->cleaned.ptr[i] == '\r')
            s->cleaned.ptr[i] = ' ';
    return buf_str(&s->cleaned);
}

int smtpd_command_read(struct smtpd_session *s, struct str *line_r)
{
    struct err err = ERR_INIT;
    struct raw line;
    enum line_end end;
    smtpd_limit_request(s);
    s->silent_since = clock_ms();
    int got = stream_read_line(s->stream, (size_t)s->settings->line_length_limit, &line, &end, &err);
    s->silent_since = 0;
    if (got <= 0 || end == LINE_EOF) {
        if (got >= 0)
            err_set(&err, s->is_overdue ? ERR_TIMEOUT : ERR_PROTOCOL, "lost connection");
        smtpd_lost(s, &err);
        return -1;
    }
    *line_r = raw_unchecked(line);
    if (end == LINE_CUT)
        return refuse_long_line(s, *line_r);
    if (end == LINE_LF && smtpd_refuses_bare_lf(s))
        return 0;
    *line_r = without_odd_bytes(s, *line_r);
    smtpd_record_input(s, *line_r);
    if (!str_is_utf8(*line_r))
        return refuse_line(s, "bad UTF-8 syntax");
    return 1;
}

// ---- Running

// smtpd_command_filter may put another command in place of what the client sent.
static struct str filter_line(struct smtpd_session *s, struct str line) CO
{
    struct table_list *filter = s->daemon->command_filter;
    struct err err = ERR_INIT;
    if (filter == NULL || table_list_is_empty(filter))
        return line;
    struct buf sent = BUF_INIT;
    buf_add_str(&sent, line); // a lookup may suspend, and the stream's buffer goes on
    int found = table_list_lookup(filter, buf_str(&sent), &s->filtered, NULL, &err);
    if (found > 0) {
        struct buf text = BUF_INIT;
        smtpd_add_loggable(s, &text, buf_str(&sent), 0);
        log_info("smtpd_command_filter: replacing command \"%s\" with \"%s\"", buf_cstr(&text), buf_cstr(&s->filtered));
        buf_release(&text);
    } else {
        if (found < 0)
            log_warn("smtpd_command_filter: %s: the command stays as it is", err.text);
        buf_clear(&s->filtered);
        buf_add_str(&s->filtered, buf_str(&sent));
    }
    buf_wipe(&sent);
    return buf_str(&s->filtered);
}

static bool list_has(struct match_list *list, struct str word) CO
{
    struct err err = ERR_INIT;
    return list != NULL && match_list_has(list, word, &err) > 0; // not worth a refusal when the lookup fails
}

// Data sent before our reply by a client that may not know it: a proxy, a spammer, a smuggler.
static bool has_jumped_the_gun(struct smtpd_session *s, const struct command *command)
{
    bool may_pipeline = strcmp(s->protocol, "ESMTP") == 0; // even if it is not offered: nothing depends on that
    if (s->is_standalone || command->verb == SMTP_BDAT || stream_buffered(s->stream) == 0)
        return false; // a BDAT chunk follows its command at once (RFC 3030 2)
    if (may_pipeline && !(command->traits & ENDS_GROUP))
        return false;
    struct buf text = BUF_INIT;
    smtpd_add_loggable(s, &text, raw_unchecked(stream_peek_buffered(s->stream)), 100);
    if (!s->has_pipelined)
        log_info("improper command pipelining after %s from " STR_FMT ": %s", s->stage, STR_ARG(s->client_log),
                 buf_cstr(&text));
    buf_release(&text);
    s->has_pipelined = true;
    if (!s->settings->smtpd_forbid_unauth_pipelining)
        return false;
    smtpd_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
    s->is_closing = true;
    return true;
}

static void run_unknown(struct smtpd_session *s, struct str line) CO
{
    struct str first = STR_NULL, rest = line;
    if (!str_token(&rest, " \t", &first)) {
        smtpd_reply(s, "500 5.5.2 Error: bad syntax");
        return;
    }
    long colon = str_find(first, ':');
    bool is_header = colon > 0 && str_is_printable(str_slice(first, 0, (size_t)colon));
    if (is_header || list_has(s->daemon->forbidden_commands, first)) {
        struct buf text = BUF_INIT;
        smtpd_add_loggable(s, &text, line, 100);
        log_warn("non-SMTP command from " STR_FMT ": %s", STR_ARG(s->client_log), buf_cstr(&text));
        buf_release(&text);
        s->troubles |= SMTPD_TROUBLE_PROTOCOL;
        s->command_failed = true;
        smtpd_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
        s->is_closing = true;
    } else {
        smtpd_reply(s, "500 5.5.2 Error: command not recognized");
    }
}

static void count_junk(struct smtpd_session *s)
{
    if ((int64_t)s->junk++ > s->settings->smtpd_junk_command_limit)
        s->errors++;
}

static bool is_noop(struct smtpd_session *s, struct str line) CO
{
    struct str first, rest = line;
    return s->settings->smtpd_noop_commands.len > 0 && str_token(&rest, " \t", &first) &&
           list_has(s->daemon->noop_commands, first);
}

// A client that was refused when it connected gets nothing but QUIT.
static bool is_denied(struct smtpd_session *s, enum smtp_verb verb)
{
    if (s->denied.len == 0 || verb == SMTP_QUIT)
        return false;
    bool is_final = str_is(str_slice(s->denied, 1, 3), STR("21"));
    smtpd_reply(s, STR_FMT " Error: access denied for " STR_FMT, STR_ARG(is_final ? s->denied : STR("503 5.7.0")),
                STR_ARG(s->client_log));
    return true;
}

void smtpd_command_run(struct smtpd_session *s, struct str line)
{
    struct str arguments;
    s->command_failed = false;
    line = filter_line(s, line);
    if (is_noop(s, line)) {
        smtpd_reply(s, "250 2.0.0 Ok");
        count_junk(s);
        return;
    }
    enum smtp_verb verb = s->verb = smtp_verb_parse(line, &arguments);
    const struct command *command = find_command(verb);
    s->stage = command != NULL ? command->stage : "UNKNOWN";
    if (command != NULL && (command->traits & IS_JUNK))
        count_junk(s);
    if (command != NULL && has_jumped_the_gun(s, command))
        return;
    if (!is_denied(s, verb) && !smtpd_tls_refuses(s, verb)) {
        if (command != NULL)
            command->run(s, arguments);
        else
            run_unknown(s, line);
    }
    s->is_closing |= s->ends_after_reply;
    s->counts[verb].total++;
    s->counts[verb].ok += !s->command_failed;
    s->errors += s->command_failed;
}
