// SPDX-License-Identifier: ISC
// smtpd_mail.c: the MAIL command: sender and its parameters (RFC 5321 4.1.1.2, 1870, 3461, 6152, 6531).
#include <sys/statvfs.h>

#include "lib/mail/queue_file.h"
#include "smtpd/smtpd.h"

#define SPACE_CHECK_MS 1000

// Is there room for half as much again as the largest message? The answer is at most a second old.
static bool has_space(struct smtpd_session *s)
{
    struct smtpd *d = s->daemon;
    int64_t now = clock_ms();
    if (d->space_checked_ms == 0 || now - d->space_checked_ms >= SPACE_CHECK_MS) {
        struct statvfs fs;
        if (statvfs(".", &fs) < 0)
            return true; // the write will tell
        d->space_checked_ms = now;
        d->free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    }
    int64_t limit = s->settings->message_size_limit;
    if (limit > 0 && d->free_bytes / 3 * 2 < limit) {
        log_warn("not enough free space in mail queue: %lld bytes < 1.5*message size limit", (long long)d->free_bytes);
        return false;
    }
    return d->free_bytes >= s->settings->queue_minfree && d->free_bytes - s->transaction.declared_size > 0;
}

static bool take_size(struct smtpd_session *s, struct str value)
{
    bool has_other = value.len == 0;
    for (size_t i = 0; i < value.len; i++)
        has_other |= value.ptr[i] < '0' || value.ptr[i] > '9';
    if (has_other)
        smtpd_reply(s, "501 5.5.4 Bad message size syntax");
    else if (str_to_i64(value, &s->transaction.declared_size) < 0)
        smtpd_reply(s, "552 5.3.4 Message size exceeds file system imposed limit");
    else
        return true;
    return false;
}

static bool take_body(struct smtpd_session *s, struct str value)
{
    if (str_is_nocase(value, STR("8BITMIME")))
        s->transaction.encoding = STR("8bit");
    else if (str_is_nocase(value, STR("7BIT")))
        s->transaction.encoding = STR("7bit");
    else
        return false;
    return true;
}

bool smtpd_may_require_tls(const struct smtpd_session *s)
{
    return s->tls.is_on && s->settings->requiretls_enable;
}

// XVERP, or XVERP=DELIMITERS: a sender address for each recipient, for mailing lists.
static bool take_verp(struct smtpd_session *s, struct str value)
{
    const struct settings *set = s->settings;
    struct str delimiters = value.ptr != NULL ? value : set->default_verp_delimiters;
    bool is_good = delimiters.len == 2;
    for (size_t i = 0; is_good && i < delimiters.len; i++)
        is_good = str_find(set->verp_delimiter_filter, delimiters.ptr[i]) >= 0;
    if (s->transaction.sender.len == 0) {
        smtpd_reply(s, "503 5.5.4 Error: XVERP requires non-null sender");
        return false;
    }
    if (!is_good) {
        smtpd_reply(s, "501 5.5.4 Error: XVERP needs two characters from " STR_FMT,
                    STR_ARG(set->verp_delimiter_filter));
        return false;
    }
    s->transaction.verp = arena_str(&s->transaction_arena, delimiters);
    return true;
}

// One ESMTP parameter. False when an error reply was sent.
static bool take_parameter(struct smtpd_session *s, const struct smtp_parameter *p)
{
    struct smtpd_transaction *t = &s->transaction;
    unsigned offered = s->ehlo_offered;
    if (str_is_nocase(p->name, STR("SIZE")) && p->value.ptr != NULL && (offered & SMTPD_EHLO_SIZE))
        return take_size(s, p->value);
    if (str_is_nocase(p->name, STR("BODY")) && (offered & SMTPD_EHLO_8BITMIME) && take_body(s, p->value))
        return true;
    if (str_is_nocase(p->name, STR("AUTH")) &&
        p->value.ptr != NULL) { // who sent it first, as the client says (RFC 4954 5)
        s->sasl.sender = arena_str(&s->transaction_arena, p->value);
        return true;
    }
    if (str_is_nocase(p->name, STR("SMTPUTF8")) && p->value.ptr == NULL && (offered & SMTPD_EHLO_SMTPUTF8)) {
        t->sendopts |= 1;
        return true;
    }
    if (str_is_nocase(p->name, STR("REQUIRETLS")) && p->value.ptr == NULL && (offered & SMTPD_EHLO_REQUIRETLS) &&
        smtpd_may_require_tls(s)) {
        t->sendopts |= QUEUE_SENDOPT_REQUIRETLS;
        return true;
    }
    if (str_is_nocase(p->name, STR("XVERP")) && s->may_verp && (offered & SMTPD_EHLO_VERP))
        return take_verp(s, p->value);
    bool is_ret = str_is_nocase(p->name, STR("RET")), is_envid = str_is_nocase(p->name, STR("ENVID"));
    if ((is_ret || is_envid) && !(offered & SMTPD_EHLO_DSN)) {
        smtpd_reply(s, "501 5.7.1 DSN support is disabled");
        return false;
    }
    if (is_ret) {
        if (t->ret_flags == 0 && smtp_ret_parse(p->value, &t->ret_flags) == 0)
            return true;
        smtpd_reply(s, "501 5.5.4 Bad RET parameter syntax");
        return false;
    }
    if (is_envid) {
        if (t->envelope_id.len == 0 && p->value.len > 0 && p->value.len <= 400 &&
            address_xtext_decode(p->value, &s->transaction_arena, &t->envelope_id) == 0 &&
            str_is_printable(t->envelope_id))
            return true;
        smtpd_reply(s, "501 5.5.4 Bad ENVID parameter syntax");
        return false;
    }
    smtpd_reply_unsupported(s, p);
    return false;
}

// Sender and parameters. False when an error reply was sent.
static bool take_arguments(struct smtpd_session *s, struct str arguments) CO
{
    struct smtpd_path path;
    switch (smtpd_path_parse(s, STR("FROM:"), arguments, &path)) {
    case SMTPD_PATH_SYNTAX:
        smtpd_reply(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
        return false;
    case SMTPD_PATH_BAD_ADDRESS:
        smtpd_reply(s, "501 5.1.7 Bad sender address syntax");
        return false;
    default:
        s->transaction.sender = path.address;
    }
    for (size_t i = 0; i < path.param_count; i++)
        if (!take_parameter(s, &path.params[i]))
            return false;
    if (!str_is_ascii(address_domain(s->transaction.sender)) && !(s->transaction.sendopts & 1)) {
        smtpd_reply(s, "501 5.1.7 Bad sender address syntax");
        return false;
    }
    if (!str_is_ascii(s->transaction.sender) && s->settings->strict_smtputf8 && !(s->transaction.sendopts & 1)) {
        smtpd_reply(s, "553 5.6.7 Must declare SMTPUTF8 to send unicode address");
        return false;
    }
    return true;
}

static bool is_size_fine(struct smtpd_session *s) CO
{
    struct access_verdict v = {.outcome = ACCESS_REFUSE, .reason = {.parameter = "message_size_limit"}};
    int64_t limit = s->settings->message_size_limit;
    if (limit > 0 && s->transaction.declared_size > limit) {
        v.code = 552;
        strcpy(v.status, "5.3.4");
        strcpy(v.text, "Message size exceeds fixed limit");
        smtpd_reject(s, &v, STR_NULL);
        return false;
    }
    if (!has_space(s)) {
        smtpd_reply(s, "452 4.3.1 Insufficient system storage");
        return false;
    }
    return true;
}

static bool is_sender_welcome(struct smtpd_session *s) CO
{
    s->transaction.has_sender = true; // which a refusal takes back
    return smtpd_allows(s, ACCESS_MAIL, STR_NULL);
}

void smtpd_mail(struct smtpd_session *s, struct str arguments)
{
    if (s->helo.len == 0 && s->settings->smtpd_helo_required) {
        smtpd_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
        return;
    }
    if (s->transaction.has_sender) {
        smtpd_reply(s, "503 5.5.1 Error: nested MAIL command");
        return;
    }
    if (s->transaction.has_bdat) {
        smtpd_reply(s, "503 5.5.1 Error: MAIL after BDAT");
        return;
    }
    if (!smtpd_limit_message(s) || !take_arguments(s, arguments) || !is_size_fine(s) || !is_sender_welcome(s)) {
        smtpd_transaction_reset(s);
        return;
    }
    s->transaction.has_sender = true;
    s->transaction.started_us = clock_wall_us();
    if (!s->settings->smtpd_delay_open_until_valid_rcpt && !s->is_standalone && smtpd_store_open(s) < 0) {
        smtpd_transaction_reset(s);
        smtpd_reply(s, "451 4.3.0 Error: queue file write error");
        return;
    }
    smtpd_reply(s, "250 2.1.0 Ok");
}
