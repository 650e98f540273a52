// SPDX-License-Identifier: ISC
// transport_fuzz.c: results of transport_maps, and the standard form of addresses.
#include "lib/base/log.h"
#include "lib/route/route_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size), rewritten;
    struct route_transport way = {STR("smtp"), STR("example.com")};
    struct settings set = {
        .swap_bangpath = true, .allow_percent_hack = true, .append_at_myorigin = true, .append_dot_mydomain = true};
    struct route route = {.settings = &set};
    struct arena arena = ARENA_INIT;

    if (size > 10000)
        return 0;
    route_transport_apply(text, STR("example.com"), &way);
    if (way.transport.len == 0 || way.nexthop.len == 0)
        bug("a transport result lost a part");
    rewritten = route_rewrite_in(&route, text, STR("example.com"), STR("example.com"), &arena);
    if (address_is_sane(text) && rewritten.len > 0 && str_find(rewritten, '@') < 0)
        bug("an address without a domain");
    arena_release(&arena);
    return 0;
}
