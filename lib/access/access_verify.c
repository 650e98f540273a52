// SPDX-License-Identifier: ISC
// access_verify.c: restrictions that ask the verify service whether an address can be delivered to.
// Trust: the address comes from the client, the reason from whatever server was probed. Suspends: while a probe is
// under way.
#include "lib/access/access_impl.h"
#include "lib/ipc/verify_client.h"

#define REASON_MAX 250 // bytes of why, in replies

// What the parameters say about the sender or the recipient.
struct verify_rules {
    int64_t reject_code, defer_code;
    struct str reject_reason, tempfail_action;
    const char *status;
};

static struct verify_rules rules_for(const struct settings *set, bool is_sender)
{
    if (is_sender)
        return (struct verify_rules){set->unverified_sender_reject_code, set->unverified_sender_defer_code,
                                     set->unverified_sender_reject_reason, set->unverified_sender_tempfail_action,
                                     "4.1.7"};
    return (struct verify_rules){set->unverified_recipient_reject_code, set->unverified_recipient_defer_code,
                                 set->unverified_recipient_reject_reason, set->unverified_recipient_tempfail_action,
                                 "4.1.1"};
}

static enum access_word judge_answer(struct access_walk *w, const struct access_subject *subject,
                                     const struct verify_rules *rules, const struct verify_answer *answer)
{
    bool is_undeliverable = answer->status == VERIFY_BOUNCED;
    struct access_reply reply = {is_undeliverable ? rules->reject_code : rules->defer_code, rules->status};
    struct str why = rules->reject_reason.len > 0 ? rules->reject_reason : str_slice(answer->text, 0, REASON_MAX);

    if (answer->status == VERIFY_OK || reply.code / 100 == 2)
        return ACCESS_NEXT;
    if (reply.code / 100 == 5)
        return access_refuse(w, subject, reply, "undeliverable address: " STR_FMT, STR_ARG(why));
    return access_refuse_uncertain(w, rules->tempfail_action, subject, reply,
                                   arena_strf(w->arena, "unverified address: " STR_FMT, STR_ARG(why)));
}

enum access_word judge_unverified(struct access_walk *w, const struct access_rule *r)
{
    bool is_sender = r->keyword->detail == UNVERIFIED_SENDER;
    struct str address = is_sender ? w->facts->sender : w->facts->recipient;
    struct verify_rules rules = rules_for(access_settings_now(w), is_sender);
    struct verify_answer answer;
    struct err err = ERR_INIT;

    if (address.ptr == NULL || address.len == 0)
        return ACCESS_NEXT;
    w->is_skipped = w->session->trace != NULL && !w->session->trace->asks_policy;
    if (w->is_skipped)
        return ACCESS_NEXT;
    struct access_subject subject = is_sender ? access_subject_sender(w) : access_subject_recipient(w);
    if (verify_client_ask(access_settings_now(w), address, w->arena, &answer, &err) < 0)
        return access_refuse_uncertain(w, rules.tempfail_action, &subject, REPLY(450, rules.status),
                                       STR("address verification problem"));
    return judge_answer(w, &subject, &rules, &answer);
}
