// SPDX-License-Identifier: ISC
// access_action.c: the right-hand side of access(5) tables taken apart. Pure.
// Trust: values are the administrator's, or a policy server's.
#include "lib/access/access_action.h"

static const struct {
    const char *word;
    enum access_action_kind kind;
    bool takes_status; // its text is a reply
} words[] = {
    {"OK", ACTION_OK, false},
    {"RELAY", ACTION_OK, false},
    {"DUNNO", ACTION_DUNNO, false},
    {"REJECT", ACTION_REJECT, true},
    {"DEFER", ACTION_DEFER, true},
    {"DEFER_IF_PERMIT", ACTION_DEFER_IF_PERMIT, true},
    {"DEFER_IF_REJECT", ACTION_DEFER_IF_REJECT, true},
    {"HANGUP", ACTION_HANGUP, false},
    {"INFO", ACTION_INFO, false},
    {"WARN", ACTION_WARN, false},
    {"HOLD", ACTION_HOLD, false},
    {"DISCARD", ACTION_DISCARD, false},
    {"FILTER", ACTION_FILTER, false},
    {"REDIRECT", ACTION_REDIRECT, false},
    {"BCC", ACTION_BCC, false},
    {"PREPEND", ACTION_PREPEND, false},
};

static size_t count_digits(struct str s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

// "D.S.N " in front of a reply text.
static void take_status(struct access_action *a)
{
    struct str rest = a->text;
    size_t length = 0;
    if (rest.len < 5 || (rest.ptr[0] != '2' && rest.ptr[0] != '4' && rest.ptr[0] != '5') || rest.ptr[1] != '.')
        return;
    length = 2 + count_digits(str_slice(rest, 2, 5));
    if (length == 2 || length >= rest.len || rest.ptr[length] != '.')
        return;
    size_t detail = count_digits(str_slice(rest, length + 1, length + 4));
    length += 1 + detail;
    if (detail == 0 || (length < rest.len && rest.ptr[length] != ' ' && rest.ptr[length] != '\t'))
        return;
    memcpy(a->status, rest.ptr, length); // at most 9 bytes
    a->text = str_trim(str_slice(rest, length, rest.len));
}

static bool is_reply_code(struct str word)
{
    return word.len == 3 && (word.ptr[0] == '4' || word.ptr[0] == '5') && count_digits(word) == 3;
}

void access_action_parse(struct str value, struct access_action *action_r)
{
    struct str rest = str_trim(value);
    *action_r = (struct access_action){.kind = ACTION_LIST, .text = rest};
    if (rest.len > 0 && count_digits(rest) == rest.len) {
        action_r->kind = ACTION_OK;
        action_r->word = rest;
        return;
    }
    if (!str_token(&rest, " \t\r\n", &action_r->word))
        return;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!str_is_nocase(action_r->word, str_from(words[i].word)))
            continue;
        action_r->kind = words[i].kind;
        action_r->text = str_trim(rest);
        if (words[i].takes_status)
            take_status(action_r);
        return;
    }
    if (is_reply_code(action_r->word)) {
        action_r->kind = ACTION_CODE;
        action_r->code =
            (action_r->word.ptr[0] - '0') * 100 + (action_r->word.ptr[1] - '0') * 10 + action_r->word.ptr[2] - '0';
        action_r->text = str_trim(rest);
        take_status(action_r);
    }
}
