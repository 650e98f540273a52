// SPDX-License-Identifier: ISC
// route_recipient.c: whether an address exists, by the mappings and by the recipient maps of its class.
//
// Trust: the address comes from a peer. Suspends: in tables that do.
#include "lib/route/route_impl.h"

static int is_listed(struct route *r, struct table_list *maps, struct str address, struct err *err) CO
{
    struct buf value = BUF_INIT;
    int found = route_lookup_address(r, maps, address, &value, NULL, err);

    buf_release(&value);
    return found;
}

static bool always_exists(const struct route *r, struct str local)
{
    return str_is_nocase(local, STR("postmaster")) || str_is_nocase(local, STR("mailer-daemon")) ||
           str_is_nocase(local, address_local(r->settings->double_bounce_sender)) ||
           route_is_probe_sender(r->settings, local);
}

// Mappings make any address deliverable.
static int is_mapped(struct route *r, bool is_sender, struct str address, struct err *err) CO
{
    struct table_list *const maps[] = {r->recipient_canonical_maps, is_sender ? r->sender_canonical_maps : NULL,
                                       r->canonical_maps, r->virtual_alias_maps};
    int found = 0;

    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && found == 0; i++)
        if (maps[i] != NULL)
            found = is_listed(r, maps[i], address, err);
    return found;
}

// "5.1.1 text": the status, where there is one, and the text without it.
static struct str take_status(struct str text, struct str *status_r)
{
    struct str rest = text, status;

    if (str_cut(&rest, ' ', &status) && status.len >= 5 && status.len <= 11 && status.ptr[1] == '.' &&
        (status.ptr[0] == '2' || status.ptr[0] == '4' || status.ptr[0] == '5')) {
        *status_r = status;
        return str_trim(rest);
    }
    return text;
}

// What the error and retry transports say of all their mail.
static bool is_refused_by_transport(const struct settings *set, const struct route_result *result,
                                    struct route_unknown *why_r)
{
    bool retries = str_is(result->transport, STR("retry"));

    if (!retries && !str_is(result->transport, STR("error")))
        return false;
    why_r->text = take_status(result->nexthop, &why_r->status);
    why_r->code = retries ? 450 : result->class == ROUTE_VIRTUAL_ALIAS ? set->unknown_virtual_alias_reject_code : 550;
    return true;
}

// By the map of the class. 1, 0, -1.
static int is_known(struct route *r, const struct route_result *result, struct route_unknown *why_r, struct err *err) CO
{
    const struct settings *set = r->settings;
    struct table_list *maps = NULL;
    const char *map_name = "";

    switch (result->class) {
    case ROUTE_LOCAL:
        if (always_exists(r, address_local(result->recipient)))
            return 1;
        maps = r->local_recipient_maps;
        map_name = "local recipient";
        why_r->code = set->unknown_local_recipient_reject_code;
        break;
    case ROUTE_VIRTUAL_MAILBOX:
        maps = r->virtual_mailbox_maps;
        map_name = "virtual mailbox";
        why_r->code = set->unknown_virtual_mailbox_reject_code;
        break;
    case ROUTE_RELAY:
        maps = r->relay_recipient_maps;
        map_name = "relay recipient";
        why_r->code = set->unknown_relay_recipient_reject_code;
        break;
    default:
        return 1;
    }
    if (table_list_is_empty(maps))
        return 1;
    why_r->text = set->show_user_unknown_table_name ? arena_strf(why_r->arena, "User unknown in %s table", map_name)
                                                    : STR("User unknown");
    return is_listed(r, maps, result->recipient, err);
}

static int exists(struct route *r, bool is_sender, struct str address, struct route_unknown *why_r, struct err *err) CO
{
    struct route_result result;
    int found;

    why_r->status = is_sender ? STR("5.1.0") : STR("5.1.1");
    if (route_resolve(r, STR(""), address, why_r->arena, &result, err) < 0)
        return -1;
    found = is_mapped(r, is_sender, result.recipient, err);
    if (found != 0)
        return found;
    if (is_refused_by_transport(r->settings, &result, why_r))
        return 0;
    return is_known(r, &result, why_r, err);
}

int route_recipient_exists(struct route *r, struct str recipient, struct route_unknown *why_r, struct err *err)
{
    return exists(r, false, recipient, why_r, err);
}

int route_sender_exists(struct route *r, struct str sender, struct route_unknown *why_r, struct err *err)
{
    return sender.len == 0 ? 1 : exists(r, true, sender, why_r, err);
}
