// SPDX-License-Identifier: ISC
// access_login.c: restrictions on who may use a sender address: the logins that smtpd_sender_login_maps names as its
// owners.
// Trust: the sender comes from the client; the login has been verified. Suspends: table lookups.
#include "lib/access/access_impl.h"

// The owners of the sender: "joe, jane@example.com". 1, 0 nobody is named, -1.
static int find_owners(struct access_walk *w, struct buf *owners_r, struct err *err) CO
{
    return route_lookup_address(w->access->route, w->access->login_maps, w->facts->sender, owners_r, NULL, err);
}

static enum access_word refuse_sender(struct access_walk *w, const char *why, struct str user)
{
    struct access_subject subject = access_subject_sender(w);
    return access_refuse(w, &subject, REPLY(553, "5.7.1"), "%s" STR_FMT, why, STR_ARG(user));
}

enum access_word judge_login(struct access_walk *w, const struct access_rule *r)
{
    const struct access_facts *f = w->facts;
    enum access_login which = (enum access_login)r->keyword->detail;
    bool is_logged_in = f->sasl.username.len > 0;
    struct buf owners = BUF_INIT;
    struct err err = ERR_INIT;
    enum access_word word = ACCESS_NEXT;

    if (!w->access->settings->smtpd_sasl_auth_enable) {
        log_warn("restriction `" STR_FMT "' ignored: no SASL support", STR_ARG(r->word));
        return ACCESS_NEXT;
    }
    if (f->sender.ptr == NULL || f->sender.len == 0 || (which == LOGIN_AUTHENTICATED && !is_logged_in) ||
        (which == LOGIN_UNAUTHENTICATED && is_logged_in))
        return ACCESS_NEXT;
    int found = find_owners(w, &owners, &err);
    if (found < 0) {
        log_warn("smtpd_sender_login_maps: %s", err.text);
        word = access_refuse_lookup(w, access_subject_sender(w).name);
    } else if (!is_logged_in) {
        word = found > 0 ? refuse_sender(w, "not logged in", STR("")) : ACCESS_NEXT;
    } else if (found > 0 || which != LOGIN_KNOWN) {
        bool is_owner = found > 0 && access_has_word(buf_str(&owners), f->sasl.username);
        word = is_owner ? ACCESS_NEXT : refuse_sender(w, "not owned by user ", f->sasl.username);
    }
    buf_release(&owners);
    return word;
}
