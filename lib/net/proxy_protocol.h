// SPDX-License-Identifier: ISC
// proxy_protocol.h: the header that a proxy sends ahead of a connection to say who its client is (PROXY protocol,
// versions 1 and 2, as HAProxy specifies them). Pure: no I/O.
//
// Trust: whoever can connect can write this: it is read only where the administrator says that a proxy stands in front.
#ifndef DROMOS_NET_PROXY_PROTOCOL_H
#define DROMOS_NET_PROXY_PROTOCOL_H

#include "lib/net/addr.h"

#define PROXY_PROTOCOL_MAX 1024 // bytes of a header, extensions included

struct proxy_header {
    bool is_local;               // the proxy speaks for itself (a health check): no addresses
    struct net_addr peer, local; // the client, and where it connected to
};

// 1: a header, *size_r bytes long; 0: more input is needed; -1: no such header, with err.
int proxy_protocol_parse(struct raw input, struct proxy_header *header_r, size_t *size_r, struct err *err) MUST_CHECK;

#endif
