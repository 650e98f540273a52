// SPDX-License-Identifier: ISC
// net_addr.c: socket addresses: parsing, comparing, printing.
// Trust: text may come from a peer (address literals); lengths are checked before anything is copied.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "lib/net/addr.h"

#define SERVICE_BUFFER 1024

static struct sockaddr_in *as_v4(const struct net_addr *a)
{
    return (struct sockaddr_in *)(void *)&a->sa;
}

static struct sockaddr_in6 *as_v6(const struct net_addr *a)
{
    return (struct sockaddr_in6 *)(void *)&a->sa;
}

int net_addr_parse(struct str text, uint16_t port, struct net_addr *addr_r)
{
    char copy[INET6_ADDRSTRLEN + 1];

    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = str_slice(text, 1, text.len - 1);
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return -1;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    memset(addr_r, 0, sizeof *addr_r);
    if (inet_pton(AF_INET, copy, &as_v4(addr_r)->sin_addr) == 1) {
        addr_r->sa.ss_family = AF_INET;
        addr_r->len = sizeof(struct sockaddr_in);
    } else if (inet_pton(AF_INET6, copy, &as_v6(addr_r)->sin6_addr) == 1) {
        addr_r->sa.ss_family = AF_INET6;
        addr_r->len = sizeof(struct sockaddr_in6);
    } else {
        return -1;
    }
    net_addr_set_port(addr_r, port);
    return 0;
}

int net_addr_unix(struct str path, struct net_addr *addr_r, struct err *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&addr_r->sa;

    memset(addr_r, 0, sizeof *addr_r);
    if (path.len == 0 || path.len >= sizeof un->sun_path || memchr(path.ptr, '\0', path.len) != NULL)
        return err_set(err, ERR_PERMANENT, "socket path \"" STR_FMT "\" is empty or longer than %zu bytes",
                       STR_ARG(path), sizeof un->sun_path - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.ptr, path.len);
    addr_r->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return 0;
}

void net_addr_from(const struct sockaddr *sa, socklen_t len, struct net_addr *addr_r)
{
    memset(addr_r, 0, sizeof *addr_r);
    if (len > sizeof addr_r->sa)
        len = sizeof addr_r->sa;
    memcpy(&addr_r->sa, sa, len);
    addr_r->len = len;
    if (addr_r->sa.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as_v6(addr_r)->sin6_addr)) {
        struct sockaddr_in6 six = *as_v6(addr_r);
        memset(addr_r, 0, sizeof *addr_r);
        addr_r->sa.ss_family = AF_INET;
        addr_r->len = sizeof(struct sockaddr_in);
        memcpy(&as_v4(addr_r)->sin_addr, &six.sin6_addr.s6_addr[12], 4);
        as_v4(addr_r)->sin_port = six.sin6_port;
    }
}

int net_addr_family(const struct net_addr *a)
{
    return a->sa.ss_family;
}

uint16_t net_addr_port(const struct net_addr *a)
{
    if (a->sa.ss_family == AF_INET)
        return ntohs(as_v4(a)->sin_port);
    return a->sa.ss_family == AF_INET6 ? ntohs(as_v6(a)->sin6_port) : 0;
}

void net_addr_set_port(struct net_addr *a, uint16_t port)
{
    if (a->sa.ss_family == AF_INET)
        as_v4(a)->sin_port = htons(port);
    else if (a->sa.ss_family == AF_INET6)
        as_v6(a)->sin6_port = htons(port);
}

bool net_addr_is_same_host(const struct net_addr *a, const struct net_addr *b)
{
    if (a->sa.ss_family != b->sa.ss_family)
        return false;
    if (a->sa.ss_family == AF_INET)
        return as_v4(a)->sin_addr.s_addr == as_v4(b)->sin_addr.s_addr;
    if (a->sa.ss_family == AF_INET6)
        return memcmp(&as_v6(a)->sin6_addr, &as_v6(b)->sin6_addr, 16) == 0;
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    if (a->sa.ss_family == AF_INET)
        return (ntohl(as_v4(a)->sin_addr.s_addr) >> 24) == 127;
    return a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&as_v6(a)->sin6_addr);
}

void net_addr_add_text(struct buf *b, const struct net_addr *a)
{
    char text[INET6_ADDRSTRLEN];
    const void *from = a->sa.ss_family == AF_INET ? (const void *)&as_v4(a)->sin_addr : &as_v6(a)->sin6_addr;

    if ((a->sa.ss_family != AF_INET && a->sa.ss_family != AF_INET6) ||
        inet_ntop(a->sa.ss_family, from, text, sizeof text) == NULL)
        buf_add_cstr(b, "unknown");
    else
        buf_add_cstr(b, text);
}

void net_addr_add_literal(struct buf *b, const struct net_addr *a)
{
    if (a->sa.ss_family == AF_INET6)
        buf_add_cstr(b, "IPv6:");
    net_addr_add_text(b, a);
}

static bool is_port_text(struct str text)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (memchr(":[]/ \t", text.ptr[i], 6) != NULL)
            return false;
    return true;
}

int net_split_host_port(struct str text, struct str default_port, struct str *host_r, struct str *port_r)
{
    struct str host = text, port = default_port;
    long colon;

    if (text.len > 0 && text.ptr[0] == '[') {
        long close = str_find(text, ']');
        if (close < 0)
            return -1;
        host = str_slice(text, 1, (size_t)close);
        text = str_slice(text, (size_t)close + 1, text.len);
        if (text.len > 0) {
            if (text.ptr[0] != ':')
                return -1;
            port = str_slice(text, 1, text.len);
        }
    } else if ((colon = str_rfind(text, ':')) >= 0) {
        host = str_slice(text, 0, (size_t)colon);
        port = str_slice(text, (size_t)colon + 1, text.len);
        if (str_find(host, ':') >= 0)
            return -1; // an IPv6 address without brackets is ambiguous
    } else if (default_port.len == 0) {
        host = STR("");
        port = text;
    }
    if (!is_port_text(port))
        return -1;
    *host_r = host;
    *port_r = port;
    return 0;
}

int net_port_by_name(struct str name, uint16_t *port_r)
{
    char copy[64], buffer[SERVICE_BUFFER];
    struct servent entry, *found = NULL;
    uint64_t number;

    if (str_to_u64(name, &number) == 0) {
        if (number > UINT16_MAX)
            return -1;
        *port_r = (uint16_t)number;
        return 0;
    }
    if (name.len == 0 || name.len >= sizeof copy)
        return -1;
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    if (getservbyname_r(copy, "tcp", &entry, buffer, sizeof buffer, &found) != 0 || found == NULL) {
        if (!str_is(name, STR("smtp"))) // systems without /etc/services
            return -1;
        *port_r = 25;
        return 0;
    }
    *port_r = ntohs((uint16_t)found->s_port);
    return 0;
}
