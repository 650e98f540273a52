// SPDX-License-Identifier: ISC
// access_name.c: restrictions about names: of the client, of HELO, of the domains of addresses.
// Trust: names come from clients, answers from their name servers. Suspends: DNS lookups.
#include "lib/access/access_impl.h"
#include "lib/mail/address.h"

// ---- The client's name

enum access_word judge_client_name(struct access_walk *w, const struct access_rule *r)
{
    const struct access_facts *f = w->facts;
    bool is_reverse = r->keyword->detail == NAME_REVERSE;
    enum access_name_status status = is_reverse ? f->reverse_status : f->name_status;
    struct access_subject subject = access_subject_client(w);
    int64_t code = w->access->settings->unknown_client_reject_code;
    if (!access_is_unknown(is_reverse ? f->client_reverse : f->client_name))
        return ACCESS_NEXT;
    return access_refuse_plain(w, &subject,
                               REPLY(status == ACCESS_NAME_TRY_AGAIN ? 450 : code, is_reverse ? "4.7.1" : "4.7.25"),
                               arena_strf(w->arena, "Client host rejected: cannot find your %shostname, [" STR_FMT "]",
                                          is_reverse ? "reverse " : "", STR_ARG(f->client_address)));
}

// ---- Does a host or domain exist in DNS?

struct existence {
    bool exists, is_temporary, is_malformed, is_null_mx;
};

static bool asks_six(const struct access_walk *w)
{
    struct str protocols = w->access->settings->inet_protocols;
    return str_find_str(protocols, STR("all")) >= 0 || str_find_str(protocols, STR("ipv6")) >= 0;
}

void access_host_ahead(struct access_walk *w, struct str name)
{
    if (name.len == 0 || name.ptr[0] == '[')
        return;
    access_dns_ahead(w, name, DNS_TYPE_MX);
    access_dns_ahead(w, name, DNS_TYPE_A);
    if (asks_six(w))
        access_dns_ahead(w, name, DNS_TYPE_AAAA);
}

static void look_up(struct access_walk *w, struct str name, struct existence *e) CO
{
    static const int types[] = {DNS_TYPE_MX, DNS_TYPE_A, DNS_TYPE_AAAA};
    *e = (struct existence){false};
    access_host_ahead(w, name);
    for (size_t i = 0; i < 3 && !e->exists; i++) {
        if (types[i] == DNS_TYPE_AAAA && !asks_six(w))
            continue;
        const struct access_dns *answer = access_dns(w, name, types[i]);
        e->exists = answer->status == DNS_OK;
        e->is_temporary |= answer->status == DNS_TRY_AGAIN;
        e->is_malformed |= answer->status == DNS_INVALID && address_domain_is_valid(name);
        e->is_null_mx |= types[i] == DNS_TYPE_MX && e->exists && answer->count == 1 && answer->records[0].text.len == 0;
    }
}

// ---- HELO

// [1.2.3.4] or [IPv6:…]. Whatever starts as one must be one.
static bool starts_as_literal(struct str name)
{
    return name.len > 0 && name.ptr[0] == '[';
}

static struct str without_dot(struct str name)
{
    return name.len > 1 && name.ptr[name.len - 1] == '.' ? str_slice(name, 0, name.len - 1) : name;
}

static bool is_address(struct str name)
{
    struct net_addr addr;
    return !starts_as_literal(name) && net_addr_parse(name, 0, &addr) == 0;
}

enum access_word judge_helo_name(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    struct access_subject subject = access_subject_helo(w);
    struct str name = without_dot(w->facts->helo);
    if (name.len == 0)
        return ACCESS_NEXT;
    if (starts_as_literal(name))
        return address_domain_is_literal(name)
                   ? ACCESS_NEXT
                   : access_refuse(w, &subject, REPLY(set->invalid_hostname_reject_code, "5.5.2"),
                                   "invalid ip address");
    if (r->keyword->detail == NAME_INVALID)
        return is_address(name) || address_domain_is_valid(name)
                   ? ACCESS_NEXT
                   : access_refuse(w, &subject, REPLY(set->invalid_hostname_reject_code, "5.5.2"), "Invalid name");
    return address_domain_is_valid(name) && str_find(name, '.') >= 0
               ? ACCESS_NEXT
               : access_refuse(w, &subject, REPLY(set->non_fqdn_reject_code, "5.5.2"), "need fully-qualified hostname");
}

enum access_word judge_helo_exists(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    struct access_subject subject = access_subject_helo(w);
    struct str name = without_dot(w->facts->helo);
    struct existence e;
    if (name.len == 0)
        return ACCESS_NEXT;
    if (starts_as_literal(name))
        return judge_helo_name(w, r);
    look_up(w, name, &e);
    if (e.exists)
        return ACCESS_NEXT;
    if (e.is_temporary)
        return access_refuse_uncertain(w, set->unknown_helo_hostname_tempfail_action, &subject, REPLY(450, "4.7.1"),
                                       STR("Host not found"));
    return access_refuse(w, &subject, REPLY(set->unknown_hostname_reject_code, "4.7.1"), "%s",
                         e.is_malformed ? "Malformed DNS server reply" : "Host not found");
}

// ---- Domains of addresses

static struct str address_asked(struct access_walk *w, bool is_sender)
{
    return is_sender ? w->facts->sender : w->facts->recipient;
}

enum access_word judge_address_name(struct access_walk *w, const struct access_rule *r)
{
    bool is_sender = r->keyword->detail == NAME_SENDER;
    struct str address = address_asked(w, is_sender), domain = without_dot(address_domain(address));
    if (address.len == 0 || (domain.len > 0 && starts_as_literal(domain)))
        return ACCESS_NEXT;
    struct access_subject subject = is_sender ? access_subject_sender(w) : access_subject_recipient(w);
    return domain.len > 0 && str_find(domain, '.') >= 0 && address_domain_is_valid(domain)
               ? ACCESS_NEXT
               : access_refuse(w, &subject, REPLY(w->access->settings->non_fqdn_reject_code, "5.5.2"),
                               "need fully-qualified address");
}

static enum access_word refuse_null_mx(struct access_walk *w, bool is_sender, struct str domain)
{
    struct access_subject subject = is_sender ? access_subject_sender(w) : access_subject_recipient(w);
    return access_refuse(w, &subject, is_sender ? REPLY(550, "5.7.27") : REPLY(556, "5.1.10"),
                         "Domain " STR_FMT " does not accept mail (nullMX)", STR_ARG(domain));
}

// Domains that end here need not be in DNS.
static int is_final(struct access_walk *w, struct str domain, struct err *err) CO
{
    enum route_class class;
    if (route_class_of_domain(w->access->route, domain, &class, err) < 0)
        return -1;
    return class == ROUTE_LOCAL || class == ROUTE_VIRTUAL_ALIAS || class == ROUTE_VIRTUAL_MAILBOX;
}

enum access_word judge_address_exists(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    bool is_sender = r->keyword->detail == NAME_SENDER;
    struct str address = address_asked(w, is_sender), domain = without_dot(address_domain(address));
    struct err err = ERR_INIT;
    struct existence e;
    if (address.len == 0 || domain.len == 0 || starts_as_literal(domain))
        return ACCESS_NEXT;
    int ours = is_final(w, domain, &err);
    struct access_subject subject = is_sender ? access_subject_sender(w) : access_subject_recipient(w);
    if (ours < 0) {
        log_warn(STR_FMT ": %s", STR_ARG(r->word), err.text);
        return access_refuse_lookup(w, subject.name);
    }
    if (ours > 0)
        return ACCESS_NEXT;
    look_up(w, domain, &e);
    if (e.is_null_mx)
        return refuse_null_mx(w, is_sender, domain);
    if (e.exists)
        return ACCESS_NEXT;
    const char *status = is_sender ? "4.1.8" : "4.1.2";
    if (e.is_temporary)
        return access_refuse_uncertain(w, set->unknown_address_tempfail_action, &subject, REPLY(450, status),
                                       STR("Domain not found"));
    return access_refuse(w, &subject, REPLY(set->unknown_address_reject_code, status), "%s",
                         e.is_malformed ? "Malformed DNS server reply" : "Domain not found");
}

void ahead_of_name(struct access_walk *w, const struct access_rule *r)
{
    if (r->keyword->judge == judge_helo_exists)
        access_host_ahead(w, without_dot(w->facts->helo));
    else
        access_host_ahead(w, without_dot(address_domain(address_asked(w, r->keyword->detail == NAME_SENDER))));
}
