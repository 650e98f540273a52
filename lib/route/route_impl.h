// SPDX-License-Identifier: ISC
// route_impl.h: the tables of a struct route, and the parts that its files share. Private to lib/route.
#ifndef DROMOS_ROUTE_ROUTE_IMPL_H
#define DROMOS_ROUTE_ROUTE_IMPL_H

#include "lib/mail/address.h"
#include "lib/net/addr.h"
#include "lib/route/route.h"

// "transport:nexthop"; either part may be empty.
struct route_transport {
    struct str transport, nexthop;
};

struct route {
    const struct settings *settings;
    struct settings *own_settings; // the same, when made for this route
    struct arena arena;            // for what is made of the settings
    struct str myorigin;
    struct net_addr *own_addrs; // inet_interfaces and proxy_interfaces
    size_t own_addr_count;
    struct match_list *mydestination, *virtual_alias_domains, *virtual_mailbox_domains, *relay_domains;
    struct route_transport local_transport, virtual_transport, relay_transport, default_transport;
    struct table_list *transport_maps, *relayhost_maps, *default_transport_maps, *relocated_maps;
    struct table_list *local_recipient_maps, *virtual_alias_maps, *virtual_mailbox_maps, *relay_recipient_maps;
    struct table_list *canonical_maps, *recipient_canonical_maps, *sender_canonical_maps;
    bool transport_parents_bare; // parent_domain_matches_subdomains has transport_maps
};

struct route_transport route_transport_parse(struct str text);
// A result of transport_maps changes *way: ":" and "" nothing, "t:" the transport with the recipient's domain, ":n" the
// next hop, "t:n" both.
void route_transport_apply(struct str result, struct str domain, struct route_transport *way);
int route_open_interfaces(struct route *r, struct err *err);
bool route_is_own_literal(const struct route *r, struct str domain); // [1.2.3.4], [IPv6:…] of ours
bool route_is_routed_local(struct str local);                        // @, % or ! inside
// One step of standard form in the local context; see route_rewrite.
struct str route_rewrite_in(const struct route *r, struct str address, struct str origin, struct str domain_suffix,
                            struct arena *arena);

#endif
