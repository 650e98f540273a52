// SPDX-License-Identifier: ISC
// address_filter.h: patterns for answers of DNS lists: "127.0.0.2", "127.0.[0..255].[2;4..8]".
#ifndef DROMOS_ACCESS_ADDRESS_FILTER_H
#define DROMOS_ACCESS_ADDRESS_FILTER_H

#include "lib/net/addr.h"

struct address_filter {
    unsigned char octets[4][32]; // which values each may have, a bit each
};
int address_filter_parse(struct str text, struct address_filter *filter_r, struct err *err);   // 0, -1
bool address_filter_matches(const struct address_filter *filter, const struct net_addr *addr); // IPv4 only

#endif
