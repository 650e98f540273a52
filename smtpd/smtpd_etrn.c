// SPDX-License-Identifier: ISC
// smtpd_etrn.c: ETRN (RFC 1985): a site asks for the mail that waits for it. Replies have no enhanced status codes, as
// the RFC wants.
// Suspends: restrictions, tables, and the flush service.
#include "lib/ipc/flush_client.h"
#include "smtpd/smtpd.h"

static void reply_status(struct smtpd_session *s, enum flush_status status, struct str site, const struct err *err)
{
    switch (status) {
    case FLUSH_OK:
        smtpd_reply(s, "250 Queuing started");
        break;
    case FLUSH_UNKNOWN_SITE:
        log_warn("reject: ETRN " STR_FMT "... from " STR_FMT, STR_ARG(str_slice(site, 0, 100)), STR_ARG(s->client_log));
        smtpd_reply(s, "459 <" STR_FMT ">: service unavailable", STR_ARG(site));
        break;
    case FLUSH_BAD_SITE:
        log_warn("bad ETRN " STR_FMT "... from " STR_FMT, STR_ARG(str_slice(site, 0, 100)), STR_ARG(s->client_log));
        smtpd_reply(s, "458 Unable to queue messages");
        break;
    default:
        log_warn("ETRN " STR_FMT " from " STR_FMT ": %s", STR_ARG(site), STR_ARG(s->client_log), err->text);
        smtpd_reply(s, "458 Unable to queue messages");
    }
}

static enum flush_status request(struct smtpd_session *s, struct str site, struct err *err) CO
{
    int found = s->daemon->flush_domains == NULL ? 0 : match_list_has(s->daemon->flush_domains, site, err);
    if (found <= 0)
        return found < 0 ? FLUSH_FAILED : FLUSH_UNKNOWN_SITE;
    return flush_client_send(s->daemon->flush, site, err);
}

void smtpd_etrn(struct smtpd_session *s, struct str arguments)
{
    struct err err = ERR_INIT;
    struct str word, more, rest = arguments;
    if (s->transaction.has_sender) {
        smtpd_reply(s, "503 Error: MAIL transaction in progress");
        return;
    }
    if (s->helo.len == 0 && s->settings->smtpd_helo_required) {
        smtpd_reply(s, "503 Error: send HELO/EHLO first");
        return;
    }
    if (!str_token(&rest, " \t", &word) || str_token(&rest, " \t", &more)) {
        smtpd_reply(s, "500 Syntax: ETRN domain");
        return;
    }
    if (word.ptr[0] == '@' || word.ptr[0] == '#')
        word = str_slice(word, 1, word.len);
    if (!address_domain_is_valid(word) && !address_domain_is_literal(word)) {
        smtpd_reply(s, "501 Error: invalid parameter syntax");
        return;
    }
    struct arena_mark mark = arena_mark(&s->transaction_arena);
    s->etrn_domain = arena_str(&s->transaction_arena, word);
    if (smtpd_allows(s, ACCESS_ETRN, STR_NULL))
        reply_status(s, request(s, s->etrn_domain, &err), s->etrn_domain, &err);
    s->etrn_domain = STR_NULL;
    arena_reset_to(&s->transaction_arena, mark);
}
