// SPDX-License-Identifier: ISC
// route_rewrite.c: the standard form of an address: user@full.domain.
#include "lib/route/route_impl.h"

// "@a,@b:user@c" is user@c.
static struct str without_source_route(struct str address)
{
    long colon;

    while (str_starts(address, STR("@")) && (colon = str_find(address, ':')) > 0)
        address = str_slice(address, (size_t)colon + 1, address.len);
    return address;
}

// site!user is user@site; user%site is user@site, also where user or site is empty. Only without an @.
static struct str swap_route(const struct route *r, struct str address, struct arena *arena)
{
    long at;

    if (r->settings->swap_bangpath && (at = str_find(address, '!')) >= 0)
        return arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(str_slice(address, (size_t)at + 1, address.len)),
                          STR_ARG(str_slice(address, 0, (size_t)at)));
    if (r->settings->allow_percent_hack && (at = str_rfind(address, '%')) >= 0)
        return arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(str_slice(address, 0, (size_t)at)),
                          STR_ARG(str_slice(address, (size_t)at + 1, address.len)));
    return address;
}

struct str route_rewrite_in(const struct route *r, struct str address, struct str origin, struct str domain_suffix,
                            struct arena *arena)
{
    struct str domain;

    if (!address_is_sane(address)) // control characters: resolution refuses it
        return address;
    address = without_source_route(address);
    if (address.len == 0)
        return address;
    if (str_find(address, '@') < 0)
        address = swap_route(r, address, arena);
    if (str_find(address, '@') < 0) {
        if (!r->settings->append_at_myorigin || origin.len == 0)
            return address;
        address = arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(address), STR_ARG(origin));
    }
    if (str_ends(address, STR(".")) && address_domain(address).len > 1)
        address = str_slice(address, 0, address.len - 1);
    domain = address_domain(address);
    if (r->settings->append_dot_mydomain && domain_suffix.len > 0 && domain.len > 0 && domain.ptr[0] != '[' &&
        str_find(domain, '.') < 0 && str_find(domain, ':') < 0)
        address = arena_strf(arena, STR_FMT "." STR_FMT, STR_ARG(address), STR_ARG(domain_suffix));
    return address;
}

int route_rewrite(struct route *r, bool is_local_context, struct str address, struct arena *arena,
                  struct str *rewritten_r, struct err *err)
{
    const struct settings *set = r->settings;
    struct str origin = is_local_context ? r->myorigin : set->remote_header_rewrite_domain;

    *rewritten_r = address;
    if (!is_local_context && origin.len == 0)
        return 0;
    *rewritten_r =
        arena_str(arena, route_rewrite_in(r, address, origin, is_local_context ? set->mydomain : origin, arena));
    return 0;
}
