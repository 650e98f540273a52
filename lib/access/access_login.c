// SPDX-License-Identifier: ISC
// access_login.c: restrictions on who may use a sender address: the logins that smtpd_sender_login_maps names as its owners.
// Trust: the sender comes from the client; the login has been verified. Suspends: table lookups.
#include "lib/access/access_impl.h"

// The owners of the sender: "joe, jane@example.com". 1, 0 nobody is named, -1.
static int find_owners(struct access_walk *w, struct buf *owners_r, struct err *err) CO
{
    return route_lookup_address(w->access->route, w->access->login_maps, w->facts->sender, owners_r, NULL, err);
}

static bool is_owner(struct str owners, struct str username)
{
    struct str name;
    while (str_token(&owners, ACCESS_SEPARATORS, &name))
        if (str_is_nocase(name, username))
            return true;
    return false;
}

static enum access_word refuse_sender(struct access_walk *w, const char *format, struct str user)
{
    struct access_subject subject = access_subject_sender(w);
    struct buf text = BUF_INIT;
    buf_add_cstr(&text, format);
    buf_add_printable(&text, user, 0);
    enum access_word word = access_refuse(w, &subject, REPLY(553, "5.7.1"), STR_FMT, STR_ARG(buf_str(&text)));
    buf_release(&text);
    return word;
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
        word = found > 0 && is_owner(buf_str(&owners), f->sasl.username) ? ACCESS_NEXT
                                                                        : refuse_sender(w, "not owned by user ", f->sasl.username);
    }
    buf_release(&owners);
    return word;
}
