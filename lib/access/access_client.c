// SPDX-License-Identifier: ISC
// access_client.c: the names of a client: what its address is said to be called, and whether that name leads back.
// Trust: names come from the client's name servers. Suspends: DNS lookups, bounded by CLIENT_NAME_SECONDS.
#include "lib/access/access_client.h"

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/net/dns.h"

#define CLIENT_NAME_SECONDS 30

static void warn_of_name(struct str name, const struct net_addr *addr, enum dns_status status)
{
    struct buf text = BUF_INIT;
    net_addr_add_text(&text, addr);
    log_warn("hostname " STR_FMT " does not resolve to address %s%s%s", STR_ARG(name), buf_cstr(&text),
             status == DNS_OK ? "" : ": ", status == DNS_OK ? "" : dns_status_text(status));
    buf_release(&text);
}

static enum access_name_status confirm_name(struct str name, const struct net_addr *addr, struct arena *arena,
                                            int64_t deadline) CO
{
    const struct dns_host_query query = {name, net_addr_family(addr), true};
    struct dns_addresses addrs;
    enum dns_status status = dns_lookup_host(&query, arena, deadline, &addrs);
    for (size_t i = 0; status == DNS_OK && i < addrs.count; i++)
        if (net_addr_is_same_host(&addrs.items[i], addr))
            return ACCESS_NAME_OK;
    warn_of_name(name, addr, status);
    return status == DNS_TRY_AGAIN ? ACCESS_NAME_TRY_AGAIN : ACCESS_NAME_FORGED;
}

void access_client_look_up(const struct net_addr *addr, struct arena *arena, struct access_client *client_r)
{
    struct str name;
    int64_t deadline = clock_deadline(CLIENT_NAME_SECONDS);
    enum dns_status status = dns_lookup_ptr(addr, arena, deadline, &name);
    *client_r = (struct access_client){STR("unknown"), STR("unknown"), ACCESS_NAME_UNKNOWN, ACCESS_NAME_UNKNOWN};
    if (status == DNS_TRY_AGAIN)
        client_r->name_status = client_r->reverse_status = ACCESS_NAME_TRY_AGAIN;
    if (status != DNS_OK || !address_domain_is_valid(name))
        return;
    client_r->reverse = name;
    client_r->reverse_status = ACCESS_NAME_OK;
    client_r->name_status = confirm_name(name, addr, arena, deadline);
    if (client_r->name_status == ACCESS_NAME_OK)
        client_r->name = name;
}
