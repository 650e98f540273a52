// SPDX-License-Identifier: ISC
// route_transport.c: the "transport:nexthop" form of parameters and of transport_maps results.
#include "lib/route/route_impl.h"

struct route_transport route_transport_parse(struct str text)
{
    struct route_transport way;

    text = str_trim(text);
    way.nexthop = text;
    if (!str_cut(&way.nexthop, ':', &way.transport))
        way.nexthop = STR("");
    way.transport = str_trim(way.transport);
    way.nexthop = str_trim(way.nexthop);
    return way;
}

void route_transport_apply(struct str result, struct str domain, struct route_transport *way)
{
    struct route_transport found = route_transport_parse(result);

    if (found.transport.len > 0) {
        way->transport = found.transport;
        way->nexthop = found.nexthop.len > 0 ? found.nexthop : domain;
    } else if (found.nexthop.len > 0) {
        way->nexthop = found.nexthop;
    }
}
