// SPDX-License-Identifier: ISC
// route_resolve.c: transport, next hop and recipient of an address.
//
// Trust: addresses come from peers; tables and parameters from the administrator. Suspends: in tables that do.
// The plain case (user@domain, no tables) takes two small copies into the arena and no system call.
#include "lib/route/route_impl.h"

#define REROUTES_MAX 100

bool route_is_routed_local(struct str local)
{
    for (size_t i = 0; i < local.len; i++)
        if (local.ptr[i] == '@' || local.ptr[i] == '%' || local.ptr[i] == '!')
            return true;
    return false;
}

// May the local part of an address that is ours be read as an address of its own?
static bool is_rerouted_here(const struct route *r, struct str local)
{
    const struct settings *set = r->settings;

    return (set->resolve_dequoted_address && str_find(local, '@') >= 0) ||
           (set->allow_percent_hack && str_find(local, '%') >= 0) || (set->swap_bangpath && str_find(local, '!') >= 0);
}

// With resolve_numeric_domain, user@192.0.2.1 is user@[192.0.2.1].
static void bracket_numeric_domain(const struct route *r, struct str *address, struct arena *arena)
{
    struct str domain = address_domain(*address);
    struct net_addr addr;

    if (r->settings->resolve_numeric_domain && str_find(domain, ':') < 0 && !str_starts(domain, STR("[")) &&
        net_addr_parse(domain, 0, &addr) == 0)
        *address = arena_strf(arena, STR_FMT "@[" STR_FMT "]", STR_ARG(address_local(*address)), STR_ARG(domain));
}

// Follows user%dom@here and the like. 0, -1; the address in standard form in *address.
static int follow_routes(struct route *r, struct str *address, struct arena *arena, struct route_result *result,
                         struct err *err) CO
{
    const struct settings *set = r->settings;

    if (address->len == 0)
        *address = set->empty_address_recipient;
    if (str_find(*address, '@') < 0 || str_ends(*address, STR(".")))
        *address = route_rewrite_in(r, *address, r->myorigin, set->mydomain, arena);
    bracket_numeric_domain(r, address, arena);
    for (unsigned i = 0; i < REROUTES_MAX; i++) {
        struct str local = address_local(*address);
        int is_local;
        if (!route_is_routed_local(local) || !is_rerouted_here(r, local))
            return 0;
        is_local = route_is_local_domain(r, address_domain(*address), err);
        if (is_local <= 0)
            return is_local;
        result->has_source_route = true;
        *address = route_rewrite_in(r, local, r->myorigin, set->mydomain, arena);
        bracket_numeric_domain(r, address, arena);
    }
    return 0;
}

static int resolve_to_error(struct route_result *result, const char *text)
{
    result->class = ROUTE_ERROR;
    result->transport = STR("error");
    result->nexthop = str_from(text);
    return 0;
}

static bool domain_is_bad(const struct route *r, struct str domain)
{
    if (domain.len == 0)
        return !r->settings->resolve_null_domain;
    if (domain.ptr[0] == '[')
        return !address_domain_is_literal(domain);
    return !address_domain_is_valid(domain); // which no IP address is
}

static bool is_bad_address(const struct route *r, struct str address)
{
    struct str local = address_local(address);

    if (!address_is_sane(address))
        return true;
    if (local.len > 0 && local.ptr[0] == '-' && !r->settings->allow_min_user)
        return true;
    return domain_is_bad(r, address_domain(address));
}

int route_address_is_malformed(struct route *r, struct str address, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct route_result unused = {.class = ROUTE_ERROR};
    int rc = follow_routes(r, &address, &arena, &unused, err);

    if (rc == 0)
        rc = is_bad_address(r, address);
    arena_release(&arena);
    return rc;
}

// sender_dependent_* lookup: full address, then @domain; the null sender has a key of its own. 1/0/-1; DUNNO is 0.
static int lookup_sender(struct route *r, struct table_list *maps, struct str sender, struct str null_key,
                         struct buf *value_r, struct err *err) CO
{
    int found;

    if (table_list_is_empty(maps))
        return 0;
    if (sender.len == 0)
        found = table_list_lookup(maps, null_key, value_r, NULL, err);
    else
        found = route_lookup_address(r, maps, sender, value_r, NULL, err);
    if (found > 0 && str_is_nocase(str_trim(buf_str(value_r)), STR("DUNNO")))
        return 0;
    return found;
}

// Where mail goes that leaves this system. 0, -1.
static int resolve_offhost(struct route *r, struct str sender, struct route_transport *way, struct route_result *result,
                           struct arena *arena, struct err *err) CO
{
    const struct settings *set = r->settings;
    struct buf value = BUF_INIT;
    int found = 0;

    *way = r->relay_transport;
    if (result->class == ROUTE_DEFAULT) {
        *way = r->default_transport;
        found = lookup_sender(r, r->default_transport_maps, sender,
                              set->empty_address_default_transport_maps_lookup_key, &value, err);
        if (found > 0)
            *way = route_transport_parse(arena_str(arena, buf_str(&value)));
        if (way->transport.len == 0)
            way->transport = r->default_transport.transport;
    }
    if (found >= 0 && way->nexthop.len == 0) {
        found = lookup_sender(r, r->relayhost_maps, sender, set->empty_address_relayhost_maps_lookup_key, &value, err);
        if (found > 0)
            way->nexthop = arena_str(arena, str_trim(buf_str(&value)));
        else if (found == 0)
            way->nexthop = set->relayhost;
    }
    buf_release(&value);
    return found < 0 ? -1 : 0;
}

static int resolve_class(struct route *r, struct str sender, struct route_transport *way, struct route_result *result,
                         struct arena *arena, struct err *err) CO
{
    switch (result->class) {
    case ROUTE_LOCAL:
        *way = r->local_transport;
        return 0;
    case ROUTE_VIRTUAL_MAILBOX:
        *way = r->virtual_transport;
        return 0;
    case ROUTE_VIRTUAL_ALIAS:
        way->transport = STR("error");
        way->nexthop = r->settings->show_user_unknown_table_name ? STR("5.1.1 User unknown in virtual alias table")
                                                                 : STR("5.1.1 User unknown");
        return 0;
    default:
        return resolve_offhost(r, sender, way, result, arena, err);
    }
}

static int apply_transport_maps(struct route *r, struct str domain, struct route_transport *way,
                                struct route_result *result, struct arena *arena, struct err *err) CO
{
    struct table_address_query query = {.address = result->recipient,
                                        .delimiter = r->settings->recipient_delimiter,
                                        .keys = ADDRESS_KEY_FULL | ADDRESS_KEY_DOMAIN};
    struct buf value = BUF_INIT;
    int found;

    if (table_list_is_empty(r->transport_maps))
        return 0;
    if (!r->transport_parents_bare)
        query.keys |= ADDRESS_KEY_PARENTS_DOTTED;
    found = table_list_lookup_address(r->transport_maps, &query, &value, NULL, err);
    if (found == 0)
        found = table_list_lookup(r->transport_maps, STR("*"), &value, NULL, err);
    if (found > 0)
        route_transport_apply(arena_str(arena, buf_str(&value)), domain, way);
    buf_release(&value);
    return found < 0 ? -1 : 0;
}

static int apply_relocated_maps(struct route *r, struct route_transport *way, struct route_result *result,
                                struct arena *arena, struct err *err) CO
{
    struct buf value = BUF_INIT;
    int found;

    if (table_list_is_empty(r->relocated_maps))
        return 0;
    found = route_lookup_address(r, r->relocated_maps, result->recipient, &value, NULL, err);
    if (found > 0) {
        way->transport = STR("error");
        way->nexthop = r->settings->relocated_prefix_enable
                           ? arena_strf(arena, "5.1.6 User has moved to " STR_FMT, STR_ARG(buf_str(&value)))
                           : arena_str(arena, buf_str(&value));
    }
    buf_release(&value);
    return found < 0 ? -1 : 0;
}

int route_resolve(struct route *r, struct str sender, struct str recipient, struct arena *arena,
                  struct route_result *result_r, struct err *err)
{
    struct route_transport way = {STR(""), STR("")};
    struct str domain;

    *result_r = (struct route_result){.class = ROUTE_ERROR};
    result_r->recipient = recipient;
    if (follow_routes(r, &recipient, arena, result_r, err) < 0)
        return -1;
    result_r->recipient = arena_str(arena, recipient);
    if (is_bad_address(r, result_r->recipient))
        return resolve_to_error(result_r, "5.1.3 Bad recipient address syntax");
    domain = address_domain(result_r->recipient);
    if (domain.len == 0)
        result_r->class = ROUTE_LOCAL; // resolve_null_domain
    else if (route_class_of_domain(r, domain, &result_r->class, err) < 0)
        return -1;
    if (result_r->class != ROUTE_LOCAL && route_is_routed_local(address_local(result_r->recipient)))
        result_r->has_source_route = true;
    if (result_r->class == ROUTE_LOCAL &&
        address_local(result_r->recipient).len == 0) // ""@domain is nobody's mailbox but the system's
        result_r->recipient =
            arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(r->settings->empty_address_recipient), STR_ARG(domain));
    domain = arena_lower(arena, domain.len > 0 ? domain : r->settings->myhostname);
    if (resolve_class(r, sender, &way, result_r, arena, err) < 0)
        return -1;
    if (way.nexthop.len == 0)
        way.nexthop = domain;
    if (result_r->class != ROUTE_VIRTUAL_ALIAS && apply_transport_maps(r, domain, &way, result_r, arena, err) < 0)
        return -1;
    if (apply_relocated_maps(r, &way, result_r, arena, err) < 0)
        return -1;
    result_r->transport = way.transport;
    result_r->nexthop = way.nexthop;
    return 0;
}

int route_is_authorized_destination(struct route *r, struct str recipient, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct route_result result = {.class = ROUTE_ERROR};
    enum route_class class = ROUTE_DEFAULT;
    int rc = follow_routes(r, &recipient, &arena, &result, err);

    if (rc == 0 && !is_bad_address(r, recipient) && address_domain(recipient).len > 0)
        rc = route_class_of_domain(r, address_domain(recipient), &class, err);
    if (class != ROUTE_LOCAL && route_is_routed_local(address_local(recipient)))
        result.has_source_route = true;
    arena_release(&arena);
    if (rc < 0)
        return -1;
    if (result.has_source_route && !r->settings->allow_untrusted_routing)
        return 0;
    return class != ROUTE_DEFAULT;
}
