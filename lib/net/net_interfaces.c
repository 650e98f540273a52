// SPDX-License-Identifier: ISC
// net_interfaces.c: the addresses of this host's network interfaces.
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "lib/base/mem.h"
#include "lib/net/addr.h"

#define INTERFACES_MAX 10000

static unsigned prefix_of(const struct sockaddr *mask, int family)
{
    const unsigned char *bytes;
    unsigned size = family == AF_INET ? 4 : 16, bits = 0;

    if (mask == NULL)
        return size * 8;
    if (family == AF_INET)
        bytes = (const unsigned char *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr;
    else
        bytes = (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
    while (bits < size * 8 && (bytes[bits / 8] & (0x80U >> (bits % 8))) != 0)
        bits++;
    return bits;
}

int net_interfaces(struct net_interface **list_r, size_t *count_r, struct err *err)
{
    struct ifaddrs *all;
    size_t count = 0, used = 0;

    if (getifaddrs(&all) < 0)
        return err_errno(err, "cannot list the network interfaces");
    for (struct ifaddrs *i = all; i != NULL && count < INTERFACES_MAX; i = i->ifa_next)
        count++;
    struct net_interface *list = mem_alloc(sizeof *list * (count + 1));
    for (struct ifaddrs *i = all; i != NULL && used < count; i = i->ifa_next) {
        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0)
            continue;
        int family = i->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6)
            continue;
        net_addr_from(i->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
                      &list[used].addr);
        list[used].prefix_bits = prefix_of(i->ifa_netmask, family);
        used++;
    }
    freeifaddrs(all);
    *list_r = list;
    *count_r = used;
    return 0;
}
