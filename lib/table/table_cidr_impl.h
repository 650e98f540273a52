// SPDX-License-Identifier: ISC
// table_cidr_impl.h: the search index of cidr: tables. Private to lib/table.
#ifndef DROMOS_TABLE_TABLE_CIDR_IMPL_H
#define DROMOS_TABLE_TABLE_CIDR_IMPL_H

#include "lib/net/addr.h"
#include "lib/table/table_impl.h"

#define CIDR_NOWHERE UINT32_MAX

struct cidr_item {
    struct net_cidr net;
    uint32_t position; // in the file: the lowest wins
};
struct cidr_index;
struct cidr_index *cidr_index_new(const struct cidr_item *items, size_t count); // copies what it needs
void cidr_index_free(struct cidr_index *index);
uint32_t cidr_index_find(const struct cidr_index *index, const struct net_addr *addr); // position, or CIDR_NOWHERE

#endif
