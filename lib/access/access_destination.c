// SPDX-License-Identifier: ISC
// access_destination.c: restrictions about where the mail goes: is the domain ours, does the mailbox exist?
// Trust: the recipient comes from the client. Suspends: table lookups.
#include "lib/access/access_impl.h"

enum access_word judge_destination(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    struct err err = ERR_INIT;
    if (w->facts->recipient.ptr == NULL)
        return ACCESS_NEXT;
    int found = route_is_authorized_destination(w->access->route, w->facts->recipient, &err);
    struct access_subject subject = access_subject_recipient(w);
    if (found < 0) {
        log_warn(STR_FMT ": %s", STR_ARG(r->word), err.text);
        return access_refuse_lookup(w, subject.name);
    }
    if (r->keyword->detail == DESTINATION_PERMIT)
        return found ? ACCESS_PERMIT : ACCESS_NEXT;
    if (found)
        return ACCESS_NEXT;
    struct access_reply reply = {set->relay_domains_reject_code, "5.7.1"};
    if (r->keyword->detail == DESTINATION_DEFER && reply.code >= 500)
        reply.code -= 100;
    return access_refuse_plain(w, &subject, reply, arena_strf(w->arena, "<" STR_FMT ">: Relay access denied", STR_ARG(subject.name)));
}

static int64_t unlisted_code(const struct settings *set, struct str reason)
{
    if (str_find_str(reason, STR("local recipient")) >= 0)
        return set->unknown_local_recipient_reject_code;
    if (str_find_str(reason, STR("virtual alias")) >= 0)
        return set->unknown_virtual_alias_reject_code;
    if (str_find_str(reason, STR("virtual mailbox")) >= 0)
        return set->unknown_virtual_mailbox_reject_code;
    if (str_find_str(reason, STR("relay recipient")) >= 0)
        return set->unknown_relay_recipient_reject_code;
    return 550;
}

enum access_word judge_unlisted(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    struct str reason = STR("User unknown");
    struct err err = ERR_INIT;
    if (w->facts->recipient.ptr == NULL)
        return ACCESS_NEXT;
    int found = route_recipient_exists(w->access->route, w->facts->recipient, w->arena, &reason, &err);
    struct access_subject subject = access_subject_recipient(w);
    if (found > 0)
        return ACCESS_NEXT;
    if (found < 0) {
        log_warn("recipient lookup for " STR_FMT ": %s", STR_ARG(subject.name), err.text);
        return access_refuse_lookup(w, subject.name);
    }
    int64_t code = unlisted_code(set, reason);
    long table_words = str_find_str(reason, STR(" in "));
    if (!set->show_user_unknown_table_name && table_words > 0)
        reason = str_slice(reason, 0, (size_t)table_words);
    return access_refuse(w, &subject, REPLY(code, "5.1.1"), STR_FMT, STR_ARG(reason));
}
