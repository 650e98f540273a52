// SPDX-License-Identifier: ISC
// policy_codec.c: questions and answers of the policy delegation protocol.
//
// Trust: values come from clients, answers from the server: no control character passes.
#include <ctype.h>

#include "lib/access/policy_impl.h"

static void add_line(struct buf *out, const char *name, struct str value)
{
    buf_add_cstr(out, name);
    buf_add_char(out, '=');
    buf_add_printable(out, value, 0);
    buf_add_char(out, '\n');
}

void policy_request_add(struct buf *out, const struct policy_server *s, const struct policy_question *question)
{
    add_line(out, "request", STR("smtpd_access_policy"));
    for (size_t i = 0; i < question->count; i++)
        add_line(out, question->attributes[i].name, question->attributes[i].value);
    add_line(out, "policy_context", s->policy_context);
    add_line(out, "compatibility_level", s->settings->compatibility_level);
    add_line(out, "mail_version", s->settings->mail_version);
    buf_add_char(out, '\n');
}

// An action ends up in replies, headers and logs: what is no text becomes blanks.
static void add_action(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_add_char(out, iscntrl((unsigned char)text.ptr[i]) ? ' ' : text.ptr[i]);
}

// Of equal names the first counts, and unknown names are left to later versions of the protocol, as everywhere.
int policy_reply_add_line(struct policy_reply *r, struct raw line, struct err *err)
{
    struct str value = raw_unchecked(line), name;

    if (value.len == 0)
        return r->has_action ? 1 : err_set(err, ERR_PROTOCOL, "the reply has no action");
    if (++r->lines > POLICY_LINES_MAX)
        return err_set(err, ERR_PROTOCOL, "the reply has more than %d lines", POLICY_LINES_MAX);
    if (!str_is_utf8(value) || memchr(value.ptr, 0, value.len) != NULL)
        return err_set(err, ERR_PROTOCOL, "the reply is not UTF-8 text");
    if (!str_cut(&value, '=', &name))
        return err_set(err, ERR_PROTOCOL, "a line of the reply is not name=value: \"" STR_FMT "\"",
                       STR_ARG(str_slice(name, 0, 100)));
    if (!str_is(name, STR("action")) || r->has_action)
        return 0;
    r->has_action = true;
    add_action(r->action, str_trim(value));
    return 0;
}
