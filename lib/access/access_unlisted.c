// SPDX-License-Identifier: ISC
// access_unlisted.c: restrictions that ask whether the sender or recipient exists, as far as our tables know.
// Trust: addresses come from the client. Suspends: table lookups.
#include "lib/access/access_impl.h"

bool access_is_malformed(struct access_session *as, struct str address)
{
    struct err err = ERR_INIT;
    int is_malformed = route_address_is_malformed(as->access->route, address, &err);
    if (is_malformed < 0)
        log_warn(STR_FMT ": %s", STR_ARG(address), err.text);
    return is_malformed > 0;
}

enum access_word judge_unlisted(struct access_walk *w, const struct access_rule *r)
{
    bool is_sender = r->keyword->detail == UNLISTED_SENDER;
    struct str address = is_sender ? w->facts->sender : w->facts->recipient;
    struct route_unknown why = {.arena = w->arena};
    struct err err = ERR_INIT;

    if (address.ptr == NULL)
        return ACCESS_NEXT;
    struct access_subject subject = is_sender ? access_subject_sender(w) : access_subject_recipient(w);
    int found = is_sender ? route_sender_exists(w->access->route, address, &why, &err)
                          : route_recipient_exists(w->access->route, address, &why, &err);
    if (found > 0)
        return ACCESS_NEXT;
    if (found < 0) {
        log_warn("%s lookup for " STR_FMT ": %s", is_sender ? "sender" : "recipient", STR_ARG(subject.name), err.text);
        return access_refuse_lookup(w, subject.name);
    }
    return access_refuse(w, &subject, REPLY(why.code, arena_cstr(w->arena, why.status)), STR_FMT, STR_ARG(why.text));
}
