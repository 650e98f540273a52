// SPDX-License-Identifier: ISC
// local_fallback.c: what becomes of mail for a user that does not exist: another transport, luser_relay, or a bounce.
//
// Suspends: in tables and other agents.
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "local/local.h"

// ---- $name in luser_relay

static struct str name_value(const struct local_delivery *l, const struct local_address *a, struct str name)
{
    struct str address = a->address;

    if (str_is(name, STR("user")))
        return a->user;
    if (str_is(name, STR("local")))
        return a->local;
    if (str_is(name, STR("domain")))
        return address_domain(address);
    if (str_is(name, STR("recipient")))
        return address;
    if (str_is(name, STR("extension")))
        return a->extension;
    if (str_is(name, STR("recipient_delimiter")))
        return a->extension.ptr != NULL ? str_of(a->extension.ptr - 1, 1) : l->local->settings->recipient_delimiter;
    return STR(""); // home, shell and mailbox: the user is unknown
}

static size_t word_length(struct str text)
{
    size_t i = 0;
    while (i < text.len && (text.ptr[i] == '_' || (text.ptr[i] >= 'a' && text.ptr[i] <= 'z')))
        i++;
    return i;
}

// One "$name", "${name}", "$(name)", "${name?text}" or "${name:text}" at the start of *rest. -1: malformed.
static int expand_one(const struct local_delivery *l, const struct local_address *a, struct str *rest, struct buf *out)
{
    struct str inside = *rest, value;
    size_t len;
    long end;

    if (rest->len > 0 && (rest->ptr[0] == '{' || rest->ptr[0] == '(')) {
        end = str_find(*rest, rest->ptr[0] == '{' ? '}' : ')');
        if (end < 0)
            return -1;
        inside = str_slice(*rest, 1, (size_t)end);
        *rest = str_slice(*rest, (size_t)end + 1, rest->len);
        len = word_length(inside);
    } else {
        len = word_length(inside);
        *rest = str_slice(*rest, len, rest->len);
        inside = str_slice(inside, 0, len);
    }
    if (len == 0)
        return -1;
    value = name_value(l, a, str_slice(inside, 0, len));
    if (len == inside.len)
        buf_add_str(out, value);
    else if ((inside.ptr[len] == '?') == (value.len > 0))
        buf_add_str(out, str_slice(inside, len + 1, inside.len));
    return 0;
}

static int expand(const struct local_delivery *l, const struct local_address *a, struct str text, struct buf *out)
{
    while (text.len > 0) {
        char c = text.ptr[0];
        text = str_slice(text, 1, text.len);
        if (c != '$')
            buf_add_char(out, c);
        else if (expand_one(l, a, &text, out) < 0)
            return -1;
    }
    return 0;
}

// 1: taken over by luser_relay; 0: there is none, or it is this very address.
static int deliver_to_relay(struct local_delivery *l, const struct local_address *a) CO
{
    struct buf text = BUF_INIT;
    struct address_list list;
    struct err err = ERR_INIT;
    struct str address;
    int taken = 0;

    if (l->local->settings->luser_relay.len == 0)
        return 0;
    if (expand(l, a, l->local->settings->luser_relay, &text) < 0 ||
        address_list_parse(buf_str(&text), l->arena, &list, &err) < 0 || list.count != 1) {
        err_set(&err, ERR_TEMPORARY, "luser_relay must give one address, not \"%s\"", buf_cstr(&text));
        local_result_set_err(l, a->address, "4.3.5", STR("mail system configuration error"), &err);
        taken = 1;
    } else if (route_rewrite(l->local->route, true, list.items[0], l->arena, &address, &err) == 0 &&
               !str_is_nocase(address, a->address)) {
        local_deliver_target(l, a, address, false);
        taken = 1;
    }
    buf_release(&text);
    return taken;
}

void local_deliver_fallback(struct local_delivery *l, const struct local_address *a)
{
    const struct settings *set = l->local->settings;
    struct buf transport = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_list_lookup(l->local->fallback_transport_maps, a->user, &transport, NULL, &err);

    if (found == 0)
        buf_add_str(&transport, set->fallback_transport);
    if (found < 0) {
        local_result_set_err(l, a->address, "4.3.0", STR("table lookup failure"), &err);
    } else if (transport.len > 0) {
        local_pass_to_transport(l, a, arena_str(l->arena, buf_str(&transport)));
    } else if (deliver_to_relay(l, a) == 0) {
        if (str_is(a->user, STR("mailer-daemon")) || str_is(a->user, STR("postmaster"))) {
            log_warn("required alias not found: " STR_FMT, STR_ARG(a->user));
            local_result_set(l, a->address, DELIVERY_SENT, "2.0.0", STR("discarded"));
        } else {
            local_result_set(l, a->address, DELIVERY_BOUNCED, "5.1.1",
                             arena_strf(l->arena, "unknown user: \"" STR_FMT "\"", STR_ARG(a->user)));
        }
    }
    buf_release(&transport);
}
