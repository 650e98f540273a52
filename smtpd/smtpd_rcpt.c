// SPDX-License-Identifier: ISC
// smtpd_rcpt.c: RCPT and VRFY: recipients, their DSN parameters, and whether they are accepted.
#include "smtpd/smtpd.h"

// RFC 3461 has xtext for all types; RFC 6533 \x{...} for utf-8.
static int decode_orcpt(struct str type, struct str text, struct arena *arena, struct str *address_r)
{
    if (str_is_nocase(type, STR("utf-8")))
        return address_unitext_decode(text, arena, address_r);
    return address_xtext_decode(text, arena, address_r);
}

static bool take_orcpt(struct smtpd_session *s, struct str value, struct submit_recipient *rcpt)
{
    struct str type, rest = value, address;
    if (rcpt->dsn_orcpt.len > 0 || value.len > 500 || !str_cut(&rest, ';', &type) || type.len == 0 ||
        !str_is_printable(type) || decode_orcpt(type, rest, &s->transaction_arena, &address) < 0 ||
        !address_is_sane(address))
        return false;
    rcpt->dsn_orcpt = arena_strf(&s->transaction_arena, STR_FMT ";" STR_FMT, STR_ARG(type), STR_ARG(address));
    return true;
}

// False when an error reply was sent.
static bool take_parameter(struct smtpd_session *s, const struct smtp_parameter *p, struct submit_recipient *rcpt)
{
    bool has_value = p->value.ptr != NULL;
    bool is_notify = has_value && str_is_nocase(p->name, STR("NOTIFY")),
         is_orcpt = has_value && str_is_nocase(p->name, STR("ORCPT"));
    if ((is_notify || is_orcpt) && !(s->ehlo_offered & SMTPD_EHLO_DSN))
        smtpd_reply(s, "501 5.7.1 DSN support is disabled");
    else if (is_notify && (rcpt->notify != 0 || smtp_notify_parse(p->value, &rcpt->notify) < 0))
        smtpd_reply(s, "501 5.5.4 Error: Bad NOTIFY parameter syntax");
    else if (is_orcpt && !take_orcpt(s, p->value, rcpt))
        smtpd_reply(s, "501 5.5.4 Error: Bad ORCPT parameter syntax");
    else if (!is_notify && !is_orcpt)
        smtpd_reply_unsupported(s, p);
    else
        return true;
    return false;
}

static bool take_arguments(struct smtpd_session *s, struct str arguments, struct submit_recipient *rcpt) CO
{
    struct smtpd_path path;
    enum smtpd_path_status status = smtpd_path_parse(s, STR("TO:"), arguments, &path);
    if (status == SMTPD_PATH_SYNTAX) {
        smtpd_reply(s, "501 5.5.4 Syntax: RCPT TO:<address>");
        return false;
    }
    bool needs_utf8 = status == SMTPD_PATH_OK && !str_is_ascii(address_domain(path.address));
    if (status == SMTPD_PATH_BAD_ADDRESS || path.address.len == 0 || (needs_utf8 && !(s->transaction.sendopts & 1))) {
        smtpd_reply(s, "501 5.1.3 Bad recipient address syntax");
        return false;
    }
    rcpt->address = path.address;
    for (size_t i = 0; i < path.param_count; i++)
        if (!take_parameter(s, &path.params[i], rcpt))
            return false;
    if (rcpt->dsn_orcpt.len == 0) // reports name the recipient as the client did
        rcpt->dsn_orcpt = arena_strf(&s->transaction_arena, "%s;" STR_FMT, str_is_ascii(path.sent) ? "rfc822" : "utf-8",
                                     STR_ARG(path.sent));
    return true;
}

static bool has_room(struct smtpd_session *s)
{
    struct smtpd_transaction *t = &s->transaction;
    if (s->settings->smtpd_recipient_limit <= 0 || (int64_t)t->recipient_count < s->settings->smtpd_recipient_limit)
        return true;
    smtpd_reply(s, "452 4.5.3 Error: too many recipients");
    if (t->overshoot++ < (uint64_t)s->settings->smtpd_recipient_overshoot_limit)
        s->command_failed =
            false; // a client that only asks for more than the limit is no attacker (RFC 5321 4.5.3.1.10)
    return false;
}

static void add_recipient(struct smtpd_session *s, const struct submit_recipient *rcpt)
{
    struct smtpd_transaction *t = &s->transaction;
    if (t->recipient_count == t->recipient_cap) {
        size_t cap = t->recipient_cap ? t->recipient_cap * 2 : 4;
        struct submit_recipient *larger = ARENA_ARRAY(&s->transaction_arena, struct submit_recipient, cap);
        if (t->recipient_count > 0)
            memcpy(larger, t->recipients, t->recipient_count * sizeof(*larger));
        t->recipients = larger;
        t->recipient_cap = cap;
    }
    t->recipients[t->recipient_count++] = *rcpt;
}

void smtpd_rcpt(struct smtpd_session *s, struct str arguments)
{
    struct submit_recipient rcpt = {.notify = 0};

    if (!s->transaction.has_sender) {
        smtpd_reply(s, "503 5.5.1 Error: need MAIL command");
        return;
    }
    if (s->transaction.has_bdat) {
        smtpd_reply(s, "503 5.5.1 Error: RCPT after BDAT");
        return;
    }
    if (!smtpd_limit_recipient(s) || !take_arguments(s, arguments, &rcpt) || !has_room(s))
        return;
    if (!smtpd_allows(s, ACCESS_RCPT, rcpt.address))
        return;
    add_recipient(s, &rcpt);
    smtpd_reply(s, "250 2.1.5 Ok");
}

// People ask for "Joe Doe <joe@example.com>".
static struct str without_name(struct str text)
{
    long at = str_rfind(text, '<');
    return at > 0 && text.ptr[0] != '"' ? str_slice(text, (size_t)at, text.len) : text;
}

void smtpd_vrfy(struct smtpd_session *s, struct str arguments)
{
    struct str address, rest, shown = str_trim(arguments);

    if (s->settings->disable_vrfy_command) {
        smtpd_reply(s, "502 5.5.1 VRFY command is disabled");
        return;
    }
    if (shown.len == 0) {
        smtpd_reply(s, "501 5.5.4 Syntax: VRFY address%s", s->settings->smtputf8_enable ? " [SMTPUTF8]" : "");
        return;
    }
    struct arena_mark mark = arena_mark(&s->transaction_arena);
    if (address_parse_path(without_name(shown), false, &s->transaction_arena, &address, &rest) < 0 ||
        !address_is_sane(address) ||
        (rest.len > 0 && !(str_is_nocase(rest, STR("SMTPUTF8")) && s->settings->smtputf8_enable)) ||
        smtpd_is_malformed(s, address))
        smtpd_reply(s, "501 5.1.3 Bad recipient address syntax");
    else if (smtpd_allows(s, ACCESS_RCPT, address))
        smtpd_reply(s, "252 2.0.0 " STR_FMT,
                    STR_ARG(rest.len > 0 ? str_trim(str_slice(shown, 0, shown.len - rest.len)) : shown));
    arena_reset_to(&s->transaction_arena, mark);
}
