// SPDX-License-Identifier: ISC
// route_map.c: address mappings: the documented keys, and what becomes of a result.
//
// Suspends: in tables that do.
#include "lib/route/route_impl.h"

int route_lookup_address(struct route *r, struct table_list *maps, struct str address, struct buf *value_r,
                         struct str *extension_r, struct err *err)
{
    struct table_address_query query = {.address = address,
                                        .delimiter = r->settings->recipient_delimiter,
                                        .keys = ADDRESS_KEY_FULL | ADDRESS_KEY_LOCALPART | ADDRESS_KEY_AT_DOMAIN};
    struct str domain = address_domain(address);
    int is_local;

    if (extension_r != NULL)
        *extension_r = STR_NULL;
    buf_clear(value_r);
    if (table_list_is_empty(maps))
        return 0;
    is_local = str_is_nocase(domain, r->myorigin) ? 1 : route_is_local_domain(r, domain, err);
    if (is_local < 0)
        return -1;
    query.domain_is_local = is_local > 0;
    return table_list_lookup_address(maps, &query, value_r, extension_r, err);
}

struct str route_mapped_address(struct route *r, struct str old_address, struct str result, struct str extension,
                                struct arena *arena)
{
    struct str local, mapped;

    result = str_trim(result);
    if (str_starts(result, STR("@"))) // a whole domain was mapped: the local part stays
        result = arena_strf(arena, STR_FMT STR_FMT, STR_ARG(address_local(old_address)), STR_ARG(result));
    mapped = arena_str(arena, route_rewrite_in(r, result, r->myorigin, r->settings->mydomain, arena));
    if (extension.len == 0)
        return mapped;
    local = address_local(mapped);
    return arena_strf(arena, STR_FMT STR_FMT STR_FMT, STR_ARG(local), STR_ARG(extension),
                      STR_ARG(str_slice(mapped, local.len, mapped.len)));
}

int route_canonical(struct route *r, struct table_list *maps, struct str address, struct arena *arena,
                    struct str *mapped_r, struct err *err)
{
    struct buf value = BUF_INIT;
    struct str extension;
    struct address_list list = {NULL, 0};
    int found = route_lookup_address(r, maps, address, &value, &extension, err);

    *mapped_r = address;
    if (found > 0 && str_starts(str_trim(buf_str(&value)), STR("@"))) {
        struct str *whole = ARENA_NEW(arena, struct str);
        *whole = arena_str(arena, str_trim(buf_str(&value)));
        list = (struct address_list){whole, 1};
    } else if (found > 0 && address_list_parse(buf_str(&value), arena, &list, err) < 0) {
        found = -1;
    }
    buf_release(&value);
    if (found <= 0)
        return found;
    if (list.count != 1)
        return err_status(err, ERR_TEMPORARY, "4.3.0", "mapping of \"" STR_FMT "\" gives %zu addresses: one is wanted",
                          STR_ARG(address), list.count);
    if (!route_propagates_extension(r, "canonical"))
        extension = STR_NULL;
    *mapped_r = route_mapped_address(r, address, list.items[0], extension, arena);
    return 1;
}
