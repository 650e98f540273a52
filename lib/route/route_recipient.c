// SPDX-License-Identifier: ISC
// route_recipient.c: whether a recipient exists, by the recipient maps of its class.
//
// Trust: the recipient comes from a peer. Suspends: in tables that do. Facts: reference on unlisted addresses.
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
           str_is_nocase(local, address_local(r->settings->double_bounce_sender));
}

// Mappings make any address deliverable.
static int is_mapped(struct route *r, struct str address, struct err *err) CO
{
    int found = is_listed(r, r->recipient_canonical_maps, address, err);

    if (found == 0)
        found = is_listed(r, r->canonical_maps, address, err);
    if (found == 0)
        found = is_listed(r, r->virtual_alias_maps, address, err);
    return found;
}

// "5.1.1 text" without the status.
static struct str without_status(struct str text)
{
    struct str rest = text, status;
    if (str_cut(&rest, ' ', &status) && status.len >= 5 && status.ptr[1] == '.' && status.ptr[0] >= '2' &&
        status.ptr[0] <= '5')
        return str_trim(rest);
    return text;
}

static int exists_in(struct route *r, struct table_list *maps, struct str address, struct err *err) CO
{
    return table_list_is_empty(maps) ? 1 : is_listed(r, maps, address, err);
}

int route_recipient_exists(struct route *r, struct str recipient, struct arena *arena, struct str *reason_r,
                           struct err *err)
{
    struct route_result result;
    int found;

    *reason_r = STR("");
    if (route_resolve(r, STR(""), recipient, arena, &result, err) < 0)
        return -1;
    if (result.class == ROUTE_ERROR) {
        *reason_r = without_status(result.nexthop);
        return 0;
    }
    found = is_mapped(r, result.recipient, err);
    if (found != 0)
        return found;
    switch (result.class) {
    case ROUTE_VIRTUAL_ALIAS:
        *reason_r = STR("User unknown in virtual alias table");
        return 0;
    case ROUTE_LOCAL:
        *reason_r = STR("User unknown in local recipient table");
        found = always_exists(r, address_local(result.recipient))
                    ? 1
                    : exists_in(r, r->local_recipient_maps, result.recipient, err);
        break;
    case ROUTE_VIRTUAL_MAILBOX:
        *reason_r = STR("User unknown in virtual mailbox table");
        found = exists_in(r, r->virtual_mailbox_maps, result.recipient, err);
        break;
    case ROUTE_RELAY:
        *reason_r = STR("User unknown in relay recipient table");
        found = exists_in(r, r->relay_recipient_maps, result.recipient, err);
        break;
    default:
        found = 1;
    }
    if (found > 0 && str_is(result.transport, STR("error"))) {
        *reason_r = without_status(result.nexthop);
        return 0;
    }
    return found;
}
