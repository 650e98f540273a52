// SPDX-License-Identifier: ISC
// route.c: opens every table that addresses are classified, resolved and validated by.
#include <netdb.h>
#include <stdio.h>

#include "lib/route/route_impl.h"
#include "lib/sys/sys.h"

#define OWN_ADDRS_MAX 10000
#define ORIGIN_MAX    1024

static bool list_has_word(struct str list, struct str word)
{
    struct str token;
    while (str_token(&list, ", \t\r\n", &token))
        if (str_is_nocase(token, word))
            return true;
    return false;
}

bool route_propagates_extension(const struct route *r, const char *class_name)
{
    return list_has_word(r->settings->propagate_unmatched_extensions, str_from(class_name));
}

static void add_own(struct route *r, const struct net_addr *addr)
{
    if (r->own_addr_count >= OWN_ADDRS_MAX)
        return;
    r->own_addrs = mem_realloc(r->own_addrs, (r->own_addr_count + 1) * sizeof(struct net_addr));
    r->own_addrs[r->own_addr_count++] = *addr;
}

// Names in inet_interfaces are looked up once, at start-up.
static void add_own_by_name(struct route *r, struct str name)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char *host = mem_dup_str(name);

    if (getaddrinfo(host, NULL, &hints, &list) == 0)
        for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
            struct net_addr addr;
            net_addr_from(a->ai_addr, a->ai_addrlen, &addr);
            add_own(r, &addr);
        }
    if (list != NULL)
        freeaddrinfo(list);
    mem_free(host);
}

static int add_all_interfaces(struct route *r, bool only_loopback, struct err *err)
{
    struct net_interface *list = NULL;
    size_t count = 0;

    if (net_interfaces(&list, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!only_loopback || net_addr_is_loopback(&list[i].addr))
            add_own(r, &list[i].addr);
    mem_free(list);
    return 0;
}

static int add_interfaces(struct route *r, struct str list, struct err *err)
{
    struct str token;

    while (str_token(&list, ", \t\r\n", &token)) {
        struct net_addr addr;
        if (str_is_nocase(token, STR("all")) || str_is_nocase(token, STR("loopback-only"))) {
            if (add_all_interfaces(r, token.len > 3, err) < 0)
                return -1;
        } else if (net_addr_parse(token, 0, &addr) == 0) {
            add_own(r, &addr);
        } else {
            add_own_by_name(r, token);
        }
    }
    return 0;
}

int route_open_interfaces(struct route *r, struct err *err)
{
    if (add_interfaces(r, r->settings->inet_interfaces, err) < 0)
        return -1;
    return add_interfaces(r, r->settings->proxy_interfaces, err);
}

static struct match_list *open_domains(struct route *r, const char *name, struct str list, struct err *err)
{
    bool parents = list_has_word(r->settings->parent_domain_matches_subdomains, str_from(name));
    struct match_list *m = match_list_open(list, parents ? MATCH_PARENTS : 0, err);

    if (m == NULL)
        err_prefix(err, "%s", name);
    return m;
}

// myorigin may name a file whose first line is the domain.
static int read_origin(struct route *r, struct err *err)
{
    struct str origin = r->settings->myorigin, line;
    struct buf content = BUF_INIT;
    char *path;
    int rc;

    r->myorigin = origin;
    if (!str_starts(origin, STR("/")))
        return 0;
    path = mem_dup_str(origin);
    rc = sys_read_file(path, ORIGIN_MAX, &content, err);
    mem_free(path);
    if (rc == 0) {
        struct str rest = buf_str(&content);
        str_cut(&rest, '\n', &line);
        r->myorigin = arena_str(&r->arena, str_trim(line));
    }
    buf_release(&content);
    return rc;
}

static void open_tables(struct route *r)
{
    const struct settings *set = r->settings;

    table_set_proxy_services(set->proxymap_service_name, set->proxywrite_service_name);
    r->transport_maps = table_list_open(set->transport_maps, TABLE_NO_SUBSTITUTION);
    r->relayhost_maps = table_list_open(set->sender_dependent_relayhost_maps, TABLE_NO_SUBSTITUTION);
    r->default_transport_maps = table_list_open(set->sender_dependent_default_transport_maps, TABLE_NO_SUBSTITUTION);
    r->relocated_maps = table_list_open(set->relocated_maps, 0);
    r->local_recipient_maps = table_list_open(set->local_recipient_maps, 0);
    r->virtual_alias_maps = table_list_open(set->virtual_alias_maps, 0);
    r->virtual_mailbox_maps = table_list_open(set->virtual_mailbox_maps, 0);
    r->relay_recipient_maps = table_list_open(set->relay_recipient_maps, 0);
    r->canonical_maps = table_list_open(set->canonical_maps, 0);
    r->recipient_canonical_maps = table_list_open(set->recipient_canonical_maps, 0);
    r->sender_canonical_maps = table_list_open(set->sender_canonical_maps, 0);
}

struct route *route_open(const struct settings *settings, struct err *err)
{
    struct route *r = MEM_NEW(struct route);

    r->settings = settings;
    r->arena = ARENA_INIT;
    open_tables(r);
    r->local_transport = route_transport_parse(settings->local_transport);
    r->virtual_transport = route_transport_parse(settings->virtual_transport);
    r->relay_transport = route_transport_parse(settings->relay_transport);
    r->default_transport = route_transport_parse(settings->default_transport);
    r->transport_parents_bare = list_has_word(settings->parent_domain_matches_subdomains, STR("transport_maps"));
    r->mydestination = open_domains(r, "mydestination", settings->mydestination, err);
    if (r->mydestination != NULL)
        r->virtual_alias_domains = open_domains(r, "virtual_alias_domains", settings->virtual_alias_domains, err);
    if (r->virtual_alias_domains != NULL)
        r->virtual_mailbox_domains = open_domains(r, "virtual_mailbox_domains", settings->virtual_mailbox_domains, err);
    if (r->virtual_mailbox_domains != NULL)
        r->relay_domains = open_domains(r, "relay_domains", settings->relay_domains, err);
    if (r->relay_domains != NULL && read_origin(r, err) == 0 && route_open_interfaces(r, err) == 0)
        return r;
    route_close(r);
    return NULL;
}

void route_close(struct route *r)
{
    if (r == NULL)
        return;
    match_list_close(r->mydestination);
    match_list_close(r->virtual_alias_domains);
    match_list_close(r->virtual_mailbox_domains);
    match_list_close(r->relay_domains);
    table_list_close(r->transport_maps);
    table_list_close(r->relayhost_maps);
    table_list_close(r->default_transport_maps);
    table_list_close(r->relocated_maps);
    table_list_close(r->local_recipient_maps);
    table_list_close(r->virtual_alias_maps);
    table_list_close(r->virtual_mailbox_maps);
    table_list_close(r->relay_recipient_maps);
    table_list_close(r->canonical_maps);
    table_list_close(r->recipient_canonical_maps);
    table_list_close(r->sender_canonical_maps);
    mem_free(r->own_addrs);
    mem_free(r->own_settings);
    arena_release(&r->arena);
    mem_free(r);
}
