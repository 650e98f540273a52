// SPDX-License-Identifier: ISC
// smtp_syntax.c: SMTP command lines, ESMTP parameters and replies.
// Trust: every line is a peer's. Limits: SMTP_PARAMETERS_MAX.
#include "lib/mail/smtp_syntax.h"

static const char *const verb_names[SMTP_VERB_COUNT] = {
    "helo", "ehlo", "xclient", "xforward", "starttls", "auth", "mail", "rcpt",    "data",
    "bdat", "rset", "noop",    "vrfy",     "etrn",     "quit", "help", "unknown",
};

const char *smtp_verb_name(enum smtp_verb verb)
{
    return verb_names[(unsigned)verb <= SMTP_UNKNOWN ? verb : SMTP_UNKNOWN];
}

enum smtp_verb smtp_verb_parse(struct str line, struct str *arguments_r)
{
    line = str_trim(line);
    size_t end = 0;
    while (end < line.len && line.ptr[end] != ' ' && line.ptr[end] != '\t')
        end++;
    struct str word = str_slice(line, 0, end);
    *arguments_r = str_trim(str_slice(line, end, line.len));
    for (int verb = SMTP_HELO; verb < SMTP_UNKNOWN; verb++)
        if (str_is_nocase(word, str_from(verb_names[verb])))
            return (enum smtp_verb)verb;
    return SMTP_UNKNOWN;
}

int smtp_parameters_parse(struct str text, struct smtp_parameter *params, size_t *count_r)
{
    struct str rest = text, token;
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 32 && c != '\t') || c == 127)
            return -1;
    }
    while (str_token(&rest, " \t", &token)) {
        if (count == SMTP_PARAMETERS_MAX)
            return -1;
        struct smtp_parameter *p = &params[count++];
        p->value = token;
        if (!str_cut(&p->value, '=', &p->name))
            p->value = STR_NULL;
        if (p->name.len == 0)
            return -1;
    }
    *count_r = count;
    return 0;
}

int smtp_notify_parse(struct str value, int *notify_r)
{
    enum { NEVER = 1, SUCCESS = 2, FAILURE = 4, DELAY = 8 };
    struct str rest = value, word;
    int notify = 0;
    if (str_is_nocase(value, STR("NEVER"))) {
        *notify_r = NEVER;
        return 0;
    }
    for (bool more = true; more;) {
        more = str_cut(&rest, ',', &word);
        if (str_is_nocase(word, STR("SUCCESS")))
            notify |= SUCCESS;
        else if (str_is_nocase(word, STR("FAILURE")))
            notify |= FAILURE;
        else if (str_is_nocase(word, STR("DELAY")))
            notify |= DELAY;
        else
            return -1;
    }
    *notify_r = notify;
    return 0;
}

int smtp_ret_parse(struct str value, int *ret_r)
{
    if (str_is_nocase(value, STR("FULL")))
        *ret_r = 1;
    else if (str_is_nocase(value, STR("HDRS")))
        *ret_r = 2;
    else
        return -1;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int smtp_reply_line_parse(struct str line, int *code_r, bool *is_last_r, struct str *text_r)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
        line.len--;
    if (line.len < 3 || !is_digit(line.ptr[0]) || !is_digit(line.ptr[1]) || !is_digit(line.ptr[2]))
        return -1;
    if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
        return -1;
    int code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + line.ptr[2] - '0';
    if (code < 200 || code > 599)
        return -1;
    *code_r = code;
    *is_last_r = line.len == 3 || line.ptr[3] == ' ';
    *text_r = str_slice(line, line.len > 3 ? 4 : 3, line.len);
    return 0;
}

// Digits at `at`: how many (0 to 3), or 4 for too many.
static size_t digits_at(struct str text, size_t at)
{
    size_t count = 0;
    while (at + count < text.len && count < 4 && is_digit(text.ptr[at + count]))
        count++;
    return count;
}

bool smtp_enhanced_status(struct str text, struct str *status_r, struct str *rest_r)
{
    if (text.len < 5 || (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5') || text.ptr[1] != '.')
        return false;
    size_t subject = digits_at(text, 2);
    if (subject == 0 || subject > 3 || 2 + subject >= text.len || text.ptr[2 + subject] != '.')
        return false;
    size_t detail = digits_at(text, 3 + subject);
    if (detail == 0 || detail > 3)
        return false;
    size_t end = 3 + subject + detail;
    if (end < text.len && text.ptr[end] != ' ' && text.ptr[end] != '\t')
        return false;
    *status_r = str_slice(text, 0, end);
    *rest_r = str_trim(str_slice(text, end, text.len));
    return true;
}
