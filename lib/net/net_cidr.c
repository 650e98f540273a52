// SPDX-License-Identifier: ISC
// net_cidr.c: networks in CIDR notation and the addresses that they hold.
#include <netinet/in.h>

#include "lib/net/addr.h"

static const unsigned char *address_bytes(const struct net_addr *a)
{
    if (net_addr_family(a) == AF_INET)
        return (const unsigned char *)&((const struct sockaddr_in *)(const void *)&a->sa)->sin_addr;
    return (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)&a->sa)->sin6_addr;
}

// True when the bits of `addr` beyond the prefix are all zero.
static bool host_bits_clear(const struct net_cidr *c, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        unsigned kept = c->bits > i * 8 ? c->bits - i * 8 : 0;
        unsigned char mask = kept >= 8 ? 0 : (unsigned char)(0xffU >> kept);
        if ((c->addr[i] & mask) != 0)
            return false;
    }
    return true;
}

int net_cidr_parse(struct str text, struct net_cidr *cidr_r, struct err *err)
{
    struct str rest = text, host;
    struct net_addr addr;
    uint64_t bits;
    bool has_bits = str_cut(&rest, '/', &host);

    // "[::1/128]" is tolerated as "[::1]/128"
    if (has_bits && host.len > 0 && host.ptr[0] == '[' && rest.len > 0 && rest.ptr[rest.len - 1] == ']') {
        host = str_slice(host, 1, host.len);
        rest = str_slice(rest, 0, rest.len - 1);
    }
    if (net_addr_parse(host, 0, &addr) < 0)
        return err_set(err, ERR_PERMANENT, "bad network address \"" STR_FMT "\"", STR_ARG(text));
    unsigned size = net_addr_family(&addr) == AF_INET ? 4 : 16;
    bits = size * 8;
    if (has_bits && (str_to_u64(rest, &bits) < 0 || bits > size * 8))
        return err_set(err, ERR_PERMANENT, "bad network prefix length in \"" STR_FMT "\"", STR_ARG(text));
    memset(cidr_r, 0, sizeof *cidr_r);
    cidr_r->family = net_addr_family(&addr);
    cidr_r->bits = (unsigned)bits;
    memcpy(cidr_r->addr, address_bytes(&addr), size);
    if (!host_bits_clear(cidr_r, size))
        return err_set(err, ERR_PERMANENT, "non-null host address bits in \"" STR_FMT "\"", STR_ARG(text));
    return 0;
}

bool net_cidr_matches(const struct net_cidr *c, const struct net_addr *a)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (net_addr_family(a) != c->family)
        return false;
    const unsigned char *bytes = address_bytes(a);
    if (memcmp(bytes, c->addr, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ c->addr[whole]) & (0xff00U >> rest) & 0xffU) == 0;
}
