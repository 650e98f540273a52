// SPDX-License-Identifier: ISC
// access_server.c: check_*_a_access, check_*_mx_access, check_*_ns_access: the servers of a domain looked up in a
// table.
// Trust: a domain's servers are what its owner says; they can refuse, never permit. Limits: SERVERS_MAX of a domain.
// Suspends: DNS and table lookups.
#include "lib/access/access_impl.h"
#include "lib/mail/address.h"

#define SERVERS_MAX 100

static struct str domain_asked(struct access_walk *w, unsigned subject, struct access_subject *subject_r)
{
    const struct access_facts *f = w->facts;
    switch (subject) {
    case SERVER_OF_CLIENT:
        *subject_r = access_subject_client(w);
        return f->client_name;
    case SERVER_OF_REVERSE:
        *subject_r = access_subject_reverse(w);
        return f->client_reverse;
    case SERVER_OF_HELO:
        *subject_r = access_subject_helo(w);
        return f->helo;
    case SERVER_OF_SENDER:
        *subject_r = access_subject_sender(w);
        return address_domain(f->sender);
    default:
        *subject_r = access_subject_recipient(w);
        return address_domain(f->recipient);
    }
}

static int server_type(unsigned kind)
{
    return kind == SERVER_MX ? DNS_TYPE_MX : kind == SERVER_NS ? DNS_TYPE_NS : DNS_TYPE_A;
}

static int try_addresses(struct access_lookup *l, struct str host) CO
{
    static const int types[] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    struct access_walk *w = l->walk;
    bool has_any = false;
    int found = 0;
    access_dns_ahead(w, host, DNS_TYPE_A);
    access_dns_ahead(w, host, DNS_TYPE_AAAA);
    for (size_t t = 0; t < 2 && found == 0; t++) {
        const struct access_dns *answer = access_dns(w, host, types[t]);
        for (size_t i = 0; i < answer->count && found == 0; i++) {
            struct buf text = BUF_INIT;
            has_any = true;
            net_addr_add_text(&text, answer->records[i].addr);
            found = access_try_address(l, arena_str(w->arena, buf_str(&text)));
            buf_release(&text);
        }
    }
    if (!has_any)
        log_warn("Unable to look up host " STR_FMT " for " STR_FMT " of " STR_FMT, STR_ARG(host),
                 STR_ARG(w->rule->word), STR_ARG(l->subject.name));
    return found;
}

// The parent's name servers serve a domain that has none of its own.
static const struct access_dns *find_name_servers(struct access_walk *w, struct str domain) CO
{
    const struct access_dns *answer = access_dns(w, domain, DNS_TYPE_NS);
    for (long dot;
         (answer->status == DNS_NOT_FOUND || answer->status == DNS_NO_DATA) && (dot = str_find(domain, '.')) >= 0;) {
        domain = str_slice(domain, (size_t)dot + 1, domain.len);
        answer = access_dns(w, domain, DNS_TYPE_NS);
    }
    return answer;
}

static int try_servers(struct access_lookup *l, struct str domain, unsigned kind) CO
{
    struct access_walk *w = l->walk;
    const struct access_dns *answer =
        kind == SERVER_NS ? find_name_servers(w, domain) : access_dns(w, domain, server_type(kind));
    int found = 0;
    if (answer->status == DNS_TRY_AGAIN || (answer->status != DNS_OK && kind == SERVER_NS)) {
        log_warn("Unable to look up %s host for " STR_FMT ": %s", kind == SERVER_NS ? "NS" : "MX", STR_ARG(domain),
                 dns_status_text(answer->status));
        return 0;
    }
    if (answer->status != DNS_OK) { // without MX records the domain is its own mail host
        found = access_try_domain(l, domain);
        return found != 0 ? found : try_addresses(l, domain);
    }
    for (size_t i = 0; i < answer->count && i < SERVERS_MAX; i++) {
        access_dns_ahead(w, answer->records[i].text, DNS_TYPE_A);
        access_dns_ahead(w, answer->records[i].text, DNS_TYPE_AAAA);
    }
    for (size_t i = 0; i < answer->count && i < SERVERS_MAX && found == 0; i++) {
        struct str host = answer->records[i].text;
        if (host.len == 0)
            continue; // a domain that takes no mail (RFC 7505)
        found = access_try_domain(l, host);
        if (found == 0)
            found = try_addresses(l, host);
    }
    return found;
}

// [1.2.3.4] as a domain is its own server. "": it is none.
static struct str literal_address(struct str domain)
{
    if (!address_domain_is_literal(domain))
        return STR("");
    domain = str_slice(domain, 1, domain.len - 1);
    return str_starts_nocase(domain, STR("IPv6:")) ? str_slice(domain, 5, domain.len) : domain;
}

enum access_word judge_servers(struct access_walk *w, const struct access_rule *r)
{
    unsigned subject = (unsigned)r->keyword->detail & 15u, kind = (unsigned)r->keyword->detail & ~15u;
    struct access_lookup l = {.walk = w, .table = r->table, .word = ACCESS_NEXT};
    struct str domain = domain_asked(w, subject, &l.subject), literal = literal_address(domain);
    int found;
    if (r->table == NULL) {
        log_warn(STR_FMT ": table " STR_FMT " was not open when the server started: use a restriction class",
                 STR_ARG(r->word), STR_ARG(r->argument));
        return access_refuse_config(w);
    }
    if (access_is_unknown(domain) || (domain.ptr[0] == '[' && (literal.len == 0 || kind == SERVER_NS)))
        return ACCESS_NEXT;
    if (literal.len > 0)
        found = access_try_address(&l, literal);
    else if (kind == SERVER_A)
        found = try_addresses(&l, domain);
    else
        found = try_servers(&l, domain, kind);
    return found > 0 ? access_no_permit(&l) : l.word;
}

void ahead_of_servers(struct access_walk *w, const struct access_rule *r)
{
    struct access_subject subject;
    struct str domain = domain_asked(w, (unsigned)r->keyword->detail & 15u, &subject);
    unsigned kind = (unsigned)r->keyword->detail & ~15u;
    if (access_is_unknown(domain) || domain.ptr[0] == '[')
        return;
    access_dns_ahead(w, domain, server_type(kind));
    if (kind == SERVER_A)
        access_dns_ahead(w, domain, DNS_TYPE_AAAA);
}
