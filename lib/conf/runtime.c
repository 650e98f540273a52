// SPDX-License-Identifier: ISC
// runtime.c: defaults that are found out, not written down: host and domain names, own networks, process id and name.
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include "lib/conf/conf_private.h"

enum runtime_item { RUNTIME_HOSTNAME, RUNTIME_DOMAIN, RUNTIME_NETWORKS, RUNTIME_PID, RUNTIME_PROGRAM, RUNTIME_COUNT };

static const char *const runtime_names[RUNTIME_COUNT] = {"myhostname", "mydomain", "mynetworks", "process_id",
                                                         "process_name"};

struct conf_runtime {
    struct arena arena; // outlives a forget: callers hold the strings
    struct str values[RUNTIME_COUNT];
    bool is_known[RUNTIME_COUNT];
    bool is_busy[RUNTIME_COUNT]; // being computed: a definition in a circle is empty
};

static void add_set_value(const struct conf *c, const char *name, struct buf *out)
{
    struct str raw;
    buf_clear(out);
    if (conf_raw(c, str_from(name), &raw) && conf_expand(c, raw, out, NULL) != 0)
        buf_clear(out);
}

// gethostname, completed with mydomain when it has no dot.
static void compute_hostname(const struct conf *c, struct buf *out)
{
    char name[HOST_NAME_MAX + 1] = "";
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        strcpy(name, "localhost");
    buf_add_cstr(out, name);
    if (strchr(name, '.') != NULL)
        return;
    struct buf domain = BUF_INIT;
    if (conf_is_set(c, STR("mydomain")))
        add_set_value(c, "mydomain", &domain);
    buf_addf(out, ".%s", domain.len > 0 ? buf_cstr(&domain) : "localdomain");
    buf_release(&domain);
}

static void compute_domain(const struct conf *c, struct buf *out)
{
    struct buf host = BUF_INIT;
    struct str rest, label;
    add_set_value(c, "myhostname", &host);
    rest = buf_str(&host);
    if (str_cut(&rest, '.', &label) && rest.len > 0)
        buf_add_str(out, rest);
    else
        buf_add_cstr(out, "localdomain");
    buf_release(&host);
}

static unsigned mask_bits(const unsigned char *mask, size_t len)
{
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++)
        for (int bit = 7; bit >= 0 && (mask[i] & (1u << bit)); bit--)
            bits++;
    return bits;
}

static unsigned class_bits(const unsigned char *address)
{
    if (address[0] < 128)
        return 8;
    return address[0] < 192 ? 16 : address[0] < 224 ? 24 : 32;
}

struct interface_address {
    int family;
    size_t len;
    unsigned char bytes[16];
    unsigned bits; // of the interface's own network
};

static bool read_interface(const struct ifaddrs *i, struct interface_address *a_r)
{
    const void *address, *mask;
    if (i->ifa_addr == NULL || i->ifa_netmask == NULL)
        return false;
    a_r->family = i->ifa_addr->sa_family;
    if (a_r->family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
        mask = &((const struct sockaddr_in *)(const void *)i->ifa_netmask)->sin_addr;
        a_r->len = 4;
    } else if (a_r->family == AF_INET6) {
        address = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
        mask = &((const struct sockaddr_in6 *)(const void *)i->ifa_netmask)->sin6_addr;
        a_r->len = 16;
    } else {
        return false;
    }
    memcpy(a_r->bytes, address, a_r->len);
    a_r->bits = mask_bits(mask, a_r->len);
    return true;
}

static void add_network(struct buf *out, struct interface_address a, unsigned bits)
{
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < a.len; i++) {
        unsigned first = (unsigned)i * 8;
        if (bits < first + 8)
            a.bytes[i] &= bits <= first ? 0 : (unsigned char)(0xff << (first + 8 - bits));
    }
    if (inet_ntop(a.family, a.bytes, text, sizeof(text)) == NULL)
        return;
    struct buf item = BUF_INIT;
    buf_addf(&item, a.family == AF_INET ? "%s/%u" : "[%s]/%u", text, bits);
    if (str_find_str(buf_str(out), buf_str(&item)) < 0)
        buf_addf(out, out->len > 0 ? " %s" : "%s", buf_cstr(&item));
    buf_release(&item);
}

static bool is_loopback(const struct interface_address *a)
{
    static const unsigned char loopback6[16] = {[15] = 1};
    return a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, loopback6, sizeof(loopback6)) == 0;
}

static bool is_same_address(const struct interface_address *a, const struct addrinfo *other)
{
    if (a->family != other->ai_family)
        return false;
    const void *bytes = a->family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)(const void *)other->ai_addr)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)(const void *)other->ai_addr)->sin6_addr;
    return memcmp(a->bytes, bytes, a->len) == 0;
}

// One item of inet_interfaces: an address, [address], or a host name (looked up as the system does, mostly in the hosts
// file).
static bool names_address(struct str item, const struct interface_address *a)
{
    if (str_starts(item, STR("[")) && str_ends(item, STR("]")))
        item = str_slice(item, 1, item.len - 1);
    struct buf host = BUF_INIT;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    bool found = false;
    buf_add_str(&host, item);
    if (getaddrinfo(buf_cstr(&host), NULL, &hints, &list) == 0)
        for (const struct addrinfo *i = list; i != NULL && !found; i = i->ai_next)
            found = is_same_address(a, i);
    if (list != NULL)
        freeaddrinfo(list);
    buf_release(&host);
    return found;
}

static bool is_own_interface(struct str interfaces, const struct interface_address *a)
{
    struct str item;
    while (str_token(&interfaces, ", \t\r\n", &item))
        if (str_is_nocase(item, STR("all")) || (str_is_nocase(item, STR("loopback-only")) && is_loopback(a)) ||
            (!str_is_nocase(item, STR("loopback-only")) && names_address(item, a)))
            return true;
    return false;
}

// mynetworks from the interfaces that mail is received on, as wide as mynetworks_style says.
static void compute_networks(const struct conf *c, struct buf *out)
{
    struct buf style = BUF_INIT, protocols = BUF_INIT, interfaces = BUF_INIT;
    struct ifaddrs *all = NULL;
    struct interface_address a;
    add_set_value(c, "mynetworks_style", &style);
    add_set_value(c, "inet_protocols", &protocols);
    add_set_value(c, "inet_interfaces", &interfaces);
    bool is_host = str_is(buf_str(&style), STR("host")), is_class = str_is(buf_str(&style), STR("class"));
    bool any = str_find_str(buf_str(&protocols), STR("all")) >= 0 || protocols.len == 0;
    bool with_4 = any || str_find_str(buf_str(&protocols), STR("ipv4")) >= 0;
    bool with_6 = any || str_find_str(buf_str(&protocols), STR("ipv6")) >= 0;
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (!read_interface(i, &a) || !(a.family == AF_INET ? with_4 : with_6) ||
            !is_own_interface(buf_str(&interfaces), &a))
            continue;
        unsigned whole = (unsigned)a.len * 8;
        bool by_class = is_class && a.family == AF_INET;
        add_network(out, a, is_host ? whole : by_class ? class_bits(a.bytes) : a.bits);
    }
    if (all != NULL)
        freeifaddrs(all);
    buf_release(&style);
    buf_release(&protocols);
    buf_release(&interfaces);
}

static void compute(const struct conf *c, enum runtime_item item, struct buf *out)
{
    switch (item) {
    case RUNTIME_HOSTNAME:
        compute_hostname(c, out);
        break;
    case RUNTIME_DOMAIN:
        compute_domain(c, out);
        break;
    case RUNTIME_NETWORKS:
        compute_networks(c, out);
        break;
    case RUNTIME_PID:
        buf_addf(out, "%ld", (long)getpid());
        break;
    case RUNTIME_PROGRAM:
        buf_add_cstr(out, program_invocation_short_name);
        break;
    case RUNTIME_COUNT:
        break;
    }
}

static int find_item(struct str name)
{
    for (int i = 0; i < RUNTIME_COUNT; i++)
        if (str_is(name, str_from(runtime_names[i])))
            return i;
    return -1;
}

bool conf_runtime_default(const struct conf *c, struct str name, struct str *value_r)
{
    if (name.len == 0 || (name.ptr[0] != 'm' && name.ptr[0] != 'p')) // most questions: no need to compare
        return false;
    int item = find_item(name);
    if (item < 0)
        return false;
    struct conf_runtime *r = c->runtime;
    if (!r->is_known[item] && !r->is_busy[item]) {
        struct buf out = BUF_INIT;
        r->is_busy[item] = true;
        compute(c, (enum runtime_item)item, &out);
        r->is_busy[item] = false;
        r->values[item] = arena_str(&r->arena, buf_str(&out));
        r->is_known[item] = true;
        buf_release(&out);
    }
    *value_r = r->is_known[item] ? r->values[item] : STR("");
    return true;
}

void conf_runtime_init(struct conf *c)
{
    c->runtime = MEM_NEW(struct conf_runtime);
    c->runtime->arena = ARENA_INIT;
}

void conf_runtime_forget(struct conf *c)
{
    for (int i = 0; i < RUNTIME_COUNT; i++)
        c->runtime->is_known[i] = false;
}

void conf_runtime_free(struct conf *c)
{
    arena_release(&c->runtime->arena);
    mem_free(c->runtime);
}
