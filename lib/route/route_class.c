// SPDX-License-Identifier: ISC
// route_class.c: which address class a domain is in: local, virtual alias, virtual mailbox, relay, default.
//
// Suspends: in tables that do.
#include "lib/route/route_impl.h"

bool route_is_own_address(const struct route *r, const struct net_addr *addr)
{
    for (size_t i = 0; i < r->own_addr_count; i++)
        if (net_addr_is_same_host(addr, &r->own_addrs[i]))
            return true;
    return false;
}

bool route_is_own_literal(const struct route *r, struct str domain)
{
    struct net_addr addr;

    if (domain.len < 3 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']')
        return false;
    domain = str_slice(domain, 1, domain.len - 1);
    if (str_starts_nocase(domain, STR("IPv6:")))
        domain = str_slice(domain, 5, domain.len);
    return net_addr_parse(domain, 0, &addr) == 0 && route_is_own_address(r, &addr);
}

int route_is_local_domain(struct route *r, struct str domain, struct err *err)
{
    if (str_ends(domain, STR(".")))
        domain.len--;
    if (domain.len > 0 && domain.ptr[0] == '[')
        return route_is_own_literal(r, domain);
    return match_list_has(r->mydestination, domain, err);
}

int route_class_of_domain(struct route *r, struct str domain, enum route_class *class_r, struct err *err)
{
    int found = route_is_local_domain(r, domain, err);

    if (str_ends(domain, STR(".")))
        domain.len--;
    *class_r = ROUTE_LOCAL;
    if (found == 0) {
        found = match_list_has(r->virtual_alias_domains, domain, err);
        *class_r = ROUTE_VIRTUAL_ALIAS;
    }
    if (found == 0) {
        found = match_list_has(r->virtual_mailbox_domains, domain, err);
        *class_r = ROUTE_VIRTUAL_MAILBOX;
    }
    if (found == 0) {
        found = match_list_has(r->relay_domains, domain, err);
        *class_r = ROUTE_RELAY;
    }
    if (found == 0)
        *class_r = ROUTE_DEFAULT;
    return found < 0 ? -1 : 0;
}
