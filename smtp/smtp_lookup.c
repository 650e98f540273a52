// SPDX-License-Identifier: ISC
// smtp_lookup.c: the hosts of a destination: MX and address lookups, the order to try, loops back to ourselves.
// Trust: DNS answers are hostile; names were checked by lib/net. Limits: HOSTS_MAX addresses, MX_HOSTS_MAX MX hosts,
// LOOKUP_SECONDS for all lookups of one destination.
// Suspends: lookups.
#include <netdb.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/net/dns.h"
#include "smtp/smtp.h"

#define HOSTS_MAX      200
#define MX_HOSTS_MAX   30
#define LOOKUP_SECONDS 60
#define PORT_OF_MAIL   25

struct lookup {
    struct smtp_delivery *sd;
    const struct smtp_destination *dest;
    struct smtp_hosts *hosts;
    int64_t deadline;
};

// ---- Before the jail: which addresses are ours

static void add_own(struct smtp_client *client, const struct net_addr *addr)
{
    client->own = mem_realloc(client->own, sizeof *addr * (client->own_count + 1));
    client->own[client->own_count++] = *addr;
}

static int add_own_name(struct smtp_client *client, struct str name, struct err *err)
{
    struct net_addr addr;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;

    if (net_addr_parse(name, 0, &addr) == 0) {
        add_own(client, &addr);
        return 0;
    }
    char *copy = mem_dup_str(name);
    int status = getaddrinfo(copy, NULL, &hints, &found);
    mem_free(copy);
    if (status != 0)
        return err_set(err, ERR_TEMPORARY, "inet_interfaces or proxy_interfaces: cannot find host " STR_FMT ": %s",
                       STR_ARG(name), gai_strerror(status));
    for (struct addrinfo *i = found; i != NULL; i = i->ai_next) {
        net_addr_from(i->ai_addr, i->ai_addrlen, &addr);
        add_own(client, &addr);
    }
    freeaddrinfo(found);
    return 0;
}

static int add_own_interfaces(struct smtp_client *client, bool loopback_only, struct err *err)
{
    struct net_interface *list;
    size_t count;

    if (net_interfaces(&list, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!loopback_only || net_addr_is_loopback(&list[i].addr))
            add_own(client, &list[i].addr);
    mem_free(list);
    return 0;
}

static int add_own_list(struct smtp_client *client, struct str list, struct err *err)
{
    struct str word;

    while (str_token(&list, ", \t\r\n", &word)) {
        bool is_all = str_is_nocase(word, STR("all")), is_loopback = str_is_nocase(word, STR("loopback-only"));
        if ((is_all || is_loopback ? add_own_interfaces(client, is_loopback, err) : add_own_name(client, word, err)) <
            0)
            return -1;
    }
    return 0;
}

// inet_interfaces with one address of a family that is not loopback: mail leaves from there (unless smtp_bind_address
// says else).
static void default_source(struct smtp_client *client, int family, bool *has_r, struct net_addr *source_r)
{
    size_t matches = 0;

    for (size_t i = 0; i < client->own_count; i++)
        if (net_addr_family(&client->own[i]) == family) {
            *source_r = client->own[i];
            matches++;
        }
    *has_r = matches == 1 && !net_addr_is_loopback(source_r);
}

static int set_source(struct str text, int family, bool *has_r, struct net_addr *source_r, struct err *err)
{
    if (text.len == 0)
        return 0;
    if (net_addr_parse(text, 0, source_r) < 0 || net_addr_family(source_r) != family)
        return err_set(err, ERR_PERMANENT, "bad bind address \"" STR_FMT "\"", STR_ARG(text));
    *has_r = true;
    return 0;
}

int smtp_lookup_init(struct smtp_client *client, struct err *err)
{
    const struct settings *s = client->settings;
    struct str word, protocols = s->inet_protocols;
    bool four = false, six = false;

    while (str_token(&protocols, ", \t\r\n", &word)) {
        bool is_all = str_is_nocase(word, STR("all"));
        four |= is_all || str_is_nocase(word, STR("ipv4"));
        six |= is_all || str_is_nocase(word, STR("ipv6"));
    }
    client->family = four == six ? AF_UNSPEC : four ? AF_INET : AF_INET6;
    if (add_own_list(client, s->inet_interfaces, err) < 0)
        return -1;
    if (!str_is_nocase(str_trim(s->inet_interfaces), STR("all"))) {
        default_source(client, AF_INET, &client->has_source4, &client->source4);
        default_source(client, AF_INET6, &client->has_source6, &client->source6);
    }
    if (add_own_list(client, s->proxy_interfaces, err) < 0)
        return -1;
    if (set_source(client->profile.bind_address, AF_INET, &client->has_source4, &client->source4, err) < 0)
        return -1;
    return set_source(client->profile.bind_address6, AF_INET6, &client->has_source6, &client->source6, err);
}

// ---- Lookups

static struct smtp_host *add_host(struct lookup *l, struct str name, unsigned preference, const struct net_addr *addr)
{
    struct arena *arena = l->sd->arena;
    struct buf text = BUF_INIT;

    if (l->hosts->count == HOSTS_MAX)
        return &l->hosts->items[HOSTS_MAX - 1];
    if (l->hosts->items == NULL)
        l->hosts->items = ARENA_ARRAY(arena, struct smtp_host, HOSTS_MAX);
    struct smtp_host *host = &l->hosts->items[l->hosts->count++];
    host->name = name;
    host->addr = *addr;
    host->preference = preference;
    net_addr_set_port(&host->addr, l->dest->port);
    net_addr_add_text(&text, addr);
    host->place = arena_strf(arena, STR_FMT "[%s]", STR_ARG(name), buf_cstr(&text));
    host->relay = arena_strf(arena, STR_FMT ":%u", STR_ARG(host->place), (unsigned)l->dest->port);
    buf_release(&text);
    return host;
}

static bool uses_dns(const struct smtp_client *client)
{
    if (client->profile.dns_support_level.len == 0)
        return !client->settings->disable_dns_lookups;
    return !str_is_nocase(client->profile.dns_support_level, STR("disabled"));
}

static struct smtp_failure *lookup_failure(struct smtp_delivery *sd, struct str name, const char *type,
                                           enum dns_status status)
{
    bool is_permanent =
        status == DNS_NOT_FOUND || status == DNS_NO_DATA || (status == DNS_INVALID && !address_domain_is_valid(name));
    const char *dsn = is_permanent ? "5.4.4" : "4.4.3";
    struct smtp_failure *f;

    if (uses_dns(sd->client))
        f = smtp_failure_new(sd, is_permanent, dsn,
                             "Host or domain name not found. Name service error for name=" STR_FMT " type=%s: %s",
                             STR_ARG(name), type, dns_status_text(status));
    else
        f = smtp_failure_new(sd, is_permanent, dsn, "unable to look up host " STR_FMT ": %s", STR_ARG(name),
                             dns_status_text(status));
    f->is_destination = !is_permanent;
    return f;
}

// By smtp_host_lookup: dns, native (the hosts file, then DNS), in the order given.
static enum dns_status host_addresses(struct lookup *l, struct str name, struct dns_addresses *addrs_r) CO
{
    struct smtp_delivery *sd = l->sd;
    struct str word, methods = uses_dns(sd->client) ? sd->client->profile.host_lookup : STR("native");
    enum dns_status status = DNS_INVALID;

    while (str_token(&methods, ", \t\r\n", &word)) {
        const struct dns_host_query query = {name, sd->client->family, str_is_nocase(word, STR("native"))};
        status = dns_lookup_host(&query, sd->arena, l->deadline, addrs_r);
        if (status == DNS_OK)
            break;
    }
    return status;
}

// Adds the addresses of one host name or address. NULL, or why there are none.
static struct smtp_failure *add_addresses(struct lookup *l, struct str name, unsigned preference) CO
{
    const char *type = l->sd->client->family == AF_INET ? "A" : "AAAA";
    struct net_addr literal;
    struct dns_addresses addrs;

    if (net_addr_parse(name, 0, &literal) == 0) {
        add_host(l, name, preference, &literal);
        return NULL;
    }
    enum dns_status status = host_addresses(l, name, &addrs);
    if (status != DNS_OK)
        return lookup_failure(l->sd, name, type, status);
    for (size_t i = 0; i < addrs.count && l->hosts->count < HOSTS_MAX; i++) {
        struct smtp_host *host = add_host(l, name, preference, &addrs.items[i]);
        host->is_secure = addrs.is_secure;
        host->canonical = addrs.canonical;
    }
    return NULL;
}

static struct smtp_failure *add_mx_hosts(struct lookup *l, const struct dns_mx *mx, size_t count) CO
{
    const struct smtp_profile *p = &l->sd->client->profile;
    struct smtp_failure *failure = NULL;

    for (size_t i = 0; i < count && i < MX_HOSTS_MAX; i++) {
        bool has_enough = p->mx_address_limit > 0 && l->hosts->count >= (size_t)p->mx_address_limit;
        if (has_enough && mx[i].preference != mx[i - 1].preference)
            break;
        if (mx[i].host.len == 0)
            continue;
        struct smtp_failure *f = add_addresses(l, mx[i].host, mx[i].preference);
        if (f != NULL && (failure == NULL || f->report.status == DELIVERY_DEFERRED))
            failure = f; // one that may pass is kept: the mail stays
    }
    if (l->hosts->count > 0)
        return NULL;
    if (failure == NULL)
        return smtp_failure_new(l->sd, false, "4.4.4", "no usable MX host for " STR_FMT, STR_ARG(l->dest->host));
    if (p->defer_if_no_mx_address_found && failure->report.status == DELIVERY_BOUNCED) {
        failure->report.status = DELIVERY_DEFERRED;
        failure->report.dsn = STR("4.4.4");
    }
    return failure;
}

static struct smtp_failure *look_up_domain(struct lookup *l, struct str domain) CO
{
    struct smtp_delivery *sd = l->sd;
    struct dns_mx_list mx;
    enum dns_status status = dns_lookup_mx_list(domain, sd->arena, l->deadline, &mx);

    l->hosts->is_secure = mx.is_secure;
    if (status == DNS_OK && mx.count == 1 && mx.items[0].host.len == 0)
        return smtp_failure_new(sd, true, "5.1.0", "Domain " STR_FMT " does not accept mail (nullMX)", STR_ARG(domain));
    if (status == DNS_OK)
        return add_mx_hosts(l, mx.items, mx.count);
    bool may_use_address =
        status == DNS_NOT_FOUND || status == DNS_NO_DATA || sd->client->settings->ignore_mx_lookup_error;
    if (!may_use_address)
        return lookup_failure(sd, domain, "MX", status);
    return add_addresses(l, domain, 0);
}

// ---- The order to try

static int family_rank(const struct smtp_client *client, const struct smtp_host *host)
{
    struct str wanted = client->profile.address_preference;
    int family = net_addr_family(&host->addr);

    if (str_is_nocase(wanted, STR("ipv4")))
        return family != AF_INET;
    if (str_is_nocase(wanted, STR("ipv6")))
        return family != AF_INET6;
    return 0;
}

static bool comes_after(const struct smtp_client *client, const struct smtp_host *a, const struct smtp_host *b)
{
    if (a->preference != b->preference)
        return a->preference > b->preference;
    return family_rank(client, a) > family_rank(client, b);
}

static void order_hosts(const struct smtp_client *client, struct smtp_hosts *hosts)
{
    if (client->profile.randomize_addresses)
        for (size_t i = hosts->count; i > 1; i--) {
            size_t other = arc4random_uniform((uint32_t)i);
            struct smtp_host swap = hosts->items[i - 1];
            hosts->items[i - 1] = hosts->items[other];
            hosts->items[other] = swap;
        }
    for (size_t i = 1; i < hosts->count; i++) // few, and stable
        for (size_t j = i; j > 0 && comes_after(client, &hosts->items[j - 1], &hosts->items[j]); j--) {
            struct smtp_host swap = hosts->items[j];
            hosts->items[j] = hosts->items[j - 1];
            hosts->items[j - 1] = swap;
        }
}

// Is this host us: by name on the port that we send to by default, by address on the port of public mail.
static bool is_own(const struct smtp_client *client, const struct smtp_host *host)
{
    uint16_t port = net_addr_port(&host->addr);

    if (port == client->port && str_is_nocase(host->name, client->settings->myhostname))
        return true;
    for (size_t i = 0; port == PORT_OF_MAIL && i < client->own_count; i++)
        if (net_addr_is_same_host(&client->own[i], &host->addr))
            return true;
    return false;
}

// Where this host itself is a mail exchanger, only better ones are tried (RFC 5321 5.1). The list is in order.
static struct smtp_failure *cut_loops(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                      struct smtp_hosts *hosts)
{
    if (sd->client->profile.is_lmtp)
        return NULL;
    for (size_t i = 0; i < hosts->count; i++) {
        if (!is_own(sd->client, &hosts->items[i]))
            continue;
        size_t keep = i;
        while (keep > 0 && hosts->items[keep - 1].preference == hosts->items[i].preference)
            keep--;
        hosts->count = keep;
    }
    if (hosts->count > 0)
        return NULL;
    return smtp_failure_new(sd, true, "5.4.6", "mail for " STR_FMT " loops back to myself", STR_ARG(dest->host));
}

static struct smtp_failure *look_up_path(struct lookup *l)
{
    struct smtp_delivery *sd = l->sd;
    struct smtp_host *host = ARENA_NEW(sd->arena, struct smtp_host);
    struct err err = ERR_INIT;

    if (net_addr_unix(l->dest->path, &host->addr, &err) < 0)
        return smtp_failure_new(sd, false, "4.3.5", "%s", err.text);
    host->name = sd->client->settings->myhostname;
    host->place = arena_strf(sd->arena, STR_FMT "[" STR_FMT "]", STR_ARG(host->name), STR_ARG(l->dest->path));
    host->relay = host->place;
    l->hosts->items = host;
    l->hosts->count = 1;
    return NULL;
}

struct smtp_failure *smtp_lookup(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                 struct smtp_hosts *hosts_r)
{
    struct lookup l = {sd, dest, hosts_r, clock_deadline(LOOKUP_SECONDS)};
    const struct smtp_profile *p = &sd->client->profile;
    struct str name = dest->host;
    struct smtp_failure *failure;

    *hosts_r = (struct smtp_hosts){NULL, 0, true};
    if (dest->path.len > 0)
        return look_up_path(&l);
    if (!str_is_ascii(name) && address_domain_to_ascii(name, sd->arena, &name) < 0)
        return lookup_failure(sd, name, "MX", DNS_INVALID);
    if (dest->is_host || !uses_dns(sd->client))
        failure = add_addresses(&l, name, 0);
    else
        failure = look_up_domain(&l, name);
    if (failure != NULL)
        return failure;
    order_hosts(sd->client, hosts_r);
    failure = cut_loops(sd, dest, hosts_r);
    if (p->mx_address_limit > 0 && hosts_r->count > (size_t)p->mx_address_limit)
        hosts_r->count = (size_t)p->mx_address_limit;
    return failure;
}
