// SPDX-License-Identifier: ISC
// access_destination.c: restrictions about where the mail goes: is the domain ours?
// Trust: the recipient comes from the client. Suspends: table lookups.
#include "lib/access/access_impl.h"
#include "lib/mail/address.h"

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
    return access_refuse_plain(w, &subject, reply,
                               arena_strf(w->arena, "<" STR_FMT ">: Relay access denied", STR_ARG(subject.name)));
}

// ---- permit_mx_backup: are we a mail exchanger of the domain?

static bool is_our_host(struct access_walk *w, struct str host) CO
{
    const struct access_dns *answer = access_dns(w, host, DNS_TYPE_A);
    if (str_is_nocase(host, w->access->settings->myhostname))
        return true;
    for (size_t i = 0; i < answer->count; i++)
        if (route_is_own_address(w->access->route, answer->records[i].addr))
            return true;
    return false;
}

// Every address of the host lies in permit_mx_backup_networks.
static bool is_known_primary(struct access_walk *w, struct str host) CO
{
    const struct access_dns *answer = access_dns(w, host, DNS_TYPE_A);
    struct err err = ERR_INIT;
    for (size_t i = 0; i < answer->count; i++)
        if (match_list_has_addr(w->access->backup_networks, host, answer->records[i].addr, &err) <= 0)
            return false;
    return answer->count > 0;
}

static bool is_backup(struct access_walk *w, const struct access_dns *mx) CO
{
    uint16_t best = UINT16_MAX;
    bool ours = false, are_known = true;
    for (size_t i = 0; i < mx->count; i++)
        best = mx->records[i].preference < best ? mx->records[i].preference : best;
    for (size_t i = 0; i < mx->count && !ours; i++)
        ours = is_our_host(w, mx->records[i].text);
    for (size_t i = 0; i < mx->count && ours && are_known && w->access->settings->permit_mx_backup_networks.len > 0;
         i++)
        are_known = mx->records[i].preference != best || is_known_primary(w, mx->records[i].text);
    return ours && are_known;
}

enum access_word judge_mx_backup(struct access_walk *w, const struct access_rule *r)
{
    struct str recipient = w->facts->recipient, local = address_local(recipient), domain = address_domain(recipient);
    struct err err = ERR_INIT;
    if (recipient.ptr == NULL)
        return ACCESS_NEXT;
    struct access_subject subject = access_subject_recipient(w);
    int ours = route_is_authorized_destination(w->access->route, recipient, &err);
    if (ours < 0) {
        log_warn(STR_FMT ": %s", STR_ARG(r->word), err.text);
        return access_refuse_lookup(w, subject.name);
    }
    if (ours > 0)
        return ACCESS_PERMIT;
    bool is_routed = str_find(local, '%') >= 0 || str_find(local, '!') >= 0 || str_find(local, '@') >= 0;
    if (is_routed || domain.len == 0 || domain.ptr[0] == '[')
        return ACCESS_NEXT;
    const struct access_dns *mx = access_dns(w, domain, DNS_TYPE_MX);
    if (mx->status == DNS_TRY_AGAIN)
        return access_defer_if_reject(w, &subject, REPLY(450, "4.4.4"), "Unable to look up mail exchanger information");
    return is_backup(w, mx) ? ACCESS_PERMIT : ACCESS_NEXT;
}
