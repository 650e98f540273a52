// SPDX-License-Identifier: ISC
// access_destination.c: restrictions about where the mail goes: is the domain ours?
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
