// SPDX-License-Identifier: ISC
// addr.h: socket addresses and networks.
#ifndef DROMOS_NET_ADDR_H
#define DROMOS_NET_ADDR_H

#include <sys/socket.h>

#include "lib/base/err.h"

struct net_addr {
    struct sockaddr_storage sa; // AF_INET, AF_INET6 or AF_UNIX
    socklen_t len;
};

int net_addr_parse(struct str text, uint16_t port, struct net_addr *addr_r); // "1.2.3.4", "::1", "[::1]"; no names
int net_addr_unix(struct str path, struct net_addr *addr_r, struct err *err);
void net_addr_from(const struct sockaddr *sa, socklen_t len, struct net_addr *addr_r); // v4-mapped v6 becomes v4
int net_addr_family(const struct net_addr *a);
uint16_t net_addr_port(const struct net_addr *a);
void net_addr_set_port(struct net_addr *a, uint16_t port);
bool net_addr_is_same_host(const struct net_addr *a, const struct net_addr *b); // address without port
bool net_addr_is_loopback(const struct net_addr *a);
void net_addr_add_text(struct buf *b, const struct net_addr *a);    // "1.2.3.4" or "::1"; UNIX: "unknown"
void net_addr_add_literal(struct buf *b, const struct net_addr *a); // "1.2.3.4" or "IPv6:::1" (RFC 5321 4.1.3)

// "host:port", "[v6]:port", "port", "host"; default_port "" means a port is needed. Pieces borrow from text.
int net_split_host_port(struct str text, struct str default_port, struct str *host_r, struct str *port_r);
int net_port_by_name(struct str name,
                     uint16_t *port_r); // number or /etc/services name (reads the file: before the jail)

struct net_cidr {
    int family;
    unsigned char addr[16];
    unsigned bits;
};
int net_cidr_parse(struct str text, struct net_cidr *cidr_r,
                   struct err *err); // "10.0.0.0/8", "[::1]/128", "1.2.3.4"; host bits set: error
bool net_cidr_matches(const struct net_cidr *c, const struct net_addr *a);

// The addresses of this host's interfaces (getifaddrs), each with its network; the caller frees *list_r with mem_free.
struct net_interface {
    struct net_addr addr;
    unsigned prefix_bits;
};
int net_interfaces(struct net_interface **list_r, size_t *count_r, struct err *err);

// Listening sockets: bind, listen, close-on-exec, non-blocking, SO_REUSEADDR; IPv6 sockets are v6-only.
int net_listen(const struct net_addr *a, int backlog, struct err *err); // descriptor or -1

#endif
