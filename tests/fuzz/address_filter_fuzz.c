// SPDX-License-Identifier: ISC
// address_filter_fuzz.c: patterns for the answers of DNS lists.
#include "lib/access/address_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct address_filter filter;
    struct net_addr addr;
    struct err err = ERR_INIT;
    bool is_filter = address_filter_parse(text, &filter, &err) == 0;
    bool is_address =
        str_find(text, '[') < 0 && net_addr_parse(text, 0, &addr) == 0 && net_addr_family(&addr) == AF_INET;
    if (is_address && (!is_filter || !address_filter_matches(&filter, &addr)))
        bug("an address does not match itself");
    if (!is_filter && err.text[0] == '\0')
        bug("a refused pattern without a reason");
    return 0;
}
