// SPDX-License-Identifier: ISC
// posttls_finger_probe.c: finding the servers of a destination, and connecting to one of them.
// Trust: DNS is hostile. Suspends: lookups, connections. Limits: HOSTS_MAX addresses.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands/posttls_finger.h"

#define HOSTS_MAX      100
#define LOOKUP_SECONDS 60

struct search {
    struct finger *f;
    struct str nexthop; // the host or domain, without brackets and port
    uint16_t port;
    struct str service; // -R
    bool is_host;
    bool is_mx_secure;
    struct finger_host hosts[HOSTS_MAX];
    size_t count;
    int64_t deadline;
};

// ---- The destination

static void parse_port(struct search *s, struct str port)
{
    if (port.len > 0 && net_port_by_name(port, &s->port) < 0)
        die("unknown service: " STR_FMT, STR_ARG(port));
}

static void parse(struct search *s, struct str text)
{
    struct str port = STR(""), host = text;

    if (str_starts(text, STR("inet:")))
        host = text = str_slice(text, 5, text.len);
    s->is_host = s->f->is_lmtp || str_starts(text, STR("["));
    if (str_starts(text, STR("["))) {
        long end = str_find(text, ']');
        if (end < 0)
            die("bad destination: " STR_FMT, STR_ARG(s->f->destination));
        host = str_slice(text, 1, (size_t)end);
        port = str_slice(text, (size_t)end + 2, text.len);
    } else if (str_find(text, ':') >= 0 && net_split_host_port(text, STR(""), &host, &port) < 0) {
        die("bad destination: " STR_FMT, STR_ARG(s->f->destination));
    }
    if (str_starts_nocase(host, STR("ipv6:")))
        host = str_slice(host, 5, host.len);
    s->nexthop = arena_lower(&s->f->arena, host);
    s->service = port.len > 0 ? port : STR("smtp");
    if (s->is_host || !s->f->uses_srv) // else the records have the port
        parse_port(s, port);
}

// ---- Servers

static void add_host(struct search *s, struct str name, uint16_t port, const struct net_addr *addr)
{
    struct buf text = BUF_INIT;

    if (s->count == HOSTS_MAX)
        return;
    struct finger_host *host = &s->hosts[s->count++];
    host->name = name;
    host->addr = *addr;
    host->canonical = STR("");
    net_addr_set_port(&host->addr, port);
    net_addr_add_text(&text, addr);
    host->place = arena_strf(&s->f->arena, STR_FMT "[%s]:%u", STR_ARG(name), buf_cstr(&text), (unsigned)port);
    buf_release(&text);
}

static enum dns_status add_addresses(struct search *s, struct str name, uint16_t port) CO
{
    const struct dns_host_query query = {name, s->f->family, str_find_str(s->f->host_lookup, STR("native")) >= 0};
    struct dns_addresses found;
    struct net_addr literal;

    if (net_addr_parse(name, 0, &literal) == 0) {
        add_host(s, name, port, &literal);
        return DNS_OK;
    }
    enum dns_status status = dns_lookup_host(&query, &s->f->arena, s->deadline, &found);
    for (size_t i = 0; i < found.count; i++) {
        add_host(s, name, port, &found.items[i]);
        if (s->count > 0) {
            s->hosts[s->count - 1].is_secure = found.is_secure;
            s->hosts[s->count - 1].canonical = found.canonical;
        }
    }
    if (status != DNS_OK)
        finger_say("Host or domain name not found. Name service error for name=" STR_FMT " type=%s: %s", STR_ARG(name),
                   s->f->family == AF_INET6 ? "AAAA" : "A", dns_status_text(status));
    return status;
}

// The more preferred first; of equals that which is asked for more often (RFC 2782 chooses by chance).
static int compare_services(const void *one, const void *other)
{
    const struct dns_record *a = one, *b = other;

    return a->preference != b->preference ? (int)a->preference - (int)b->preference : (int)b->weight - (int)a->weight;
}

// -R: the destination is a domain and the name of a service.
static void find_services(struct search *s) CO
{
    struct str name = arena_strf(&s->f->arena, "_" STR_FMT "._tcp." STR_FMT, STR_ARG(s->service), STR_ARG(s->nexthop));
    struct dns_answer answer = {.status = DNS_INVALID};
    struct dns_query *query = dns_query_begin(name, DNS_TYPE_SRV);

    if (query != NULL)
        dns_query_end(query, &s->f->arena, s->deadline, &answer);
    s->is_mx_secure = answer.is_secure;
    if (answer.status != DNS_OK)
        finger_say("Host or domain name not found. Name service error for name=" STR_FMT " type=SRV: %s", STR_ARG(name),
                   dns_status_text(answer.status));
    if (answer.count > 0)
        qsort(answer.records, answer.count, sizeof answer.records[0], compare_services);
    for (size_t i = 0; i < answer.count; i++) {
        if (answer.records[i].name.len == 0)
            finger_say("Domain " STR_FMT " does not offer the service " STR_FMT, STR_ARG(s->nexthop),
                       STR_ARG(s->service));
        else
            add_addresses(s, answer.records[i].name, answer.records[i].port);
    }
}

static void find_hosts(struct search *s) CO
{
    struct dns_mx_list mx;

    s->is_mx_secure = true;
    if (s->is_host) {
        add_addresses(s, s->nexthop, s->port);
        return;
    }
    if (s->f->uses_srv) {
        find_services(s);
        return;
    }
    enum dns_status status = dns_lookup_mx_list(s->nexthop, &s->f->arena, s->deadline, &mx);
    s->is_mx_secure = mx.is_secure;
    if (status == DNS_NOT_FOUND || status == DNS_NO_DATA)
        add_addresses(s, s->nexthop, s->port);
    else if (status != DNS_OK)
        finger_say("Host or domain name not found. Name service error for name=" STR_FMT " type=MX: %s",
                   STR_ARG(s->nexthop), dns_status_text(status));
    for (size_t i = 0; i < mx.count; i++) {
        if (mx.items[i].host.len == 0)
            finger_say("Domain " STR_FMT " does not accept mail (nullMX)", STR_ARG(s->nexthop));
        else
            add_addresses(s, mx.items[i].host, s->port);
    }
}

// ---- DANE

// What the level means for this host. False: the host is not to be used.
static bool resolve_level(struct search *s, struct finger_session *session) CO
{
    struct finger *f = s->f;
    const struct finger_host *host = session->host;
    const struct tls_dane_query query = {.host = host->name,
                                         .port = net_addr_port(&host->addr),
                                         .host_is_secure = host->is_secure,
                                         .canonical = host->canonical,
                                         .asks_insecure_host = f->asks_insecure,
                                         .digests = f->settings.tls_dane_digests};

    session->level = f->level;
    if (!tls_level_is_dane(f->level))
        return true;
    if (!s->is_mx_secure && !str_is_nocase(f->insecure_mx, STR("dane"))) {
        session->level = str_is_nocase(f->insecure_mx, STR("encrypt")) ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_MAY;
        return true;
    }
    enum tls_dane_status status = tls_dane_lookup(&query, &f->arena, s->deadline, &session->dane);
    if (status == TLS_DANE_FOUND) {
        finger_say("using DANE RR: %zu record%s of _%u._tcp." STR_FMT, session->dane.count,
                   session->dane.count == 1 ? "" : "s", (unsigned)query.port, STR_ARG(session->dane.base));
        if (!s->is_mx_secure)
            session->level = TLS_LEVEL_HALF_DANE;
        return true;
    }
    if (status == TLS_DANE_FAILED) {
        finger_say("%s: TLSA lookup error", host->place.ptr);
        return false;
    }
    if (status == TLS_DANE_UNUSABLE || f->level == TLS_LEVEL_DANE_ONLY)
        finger_say("no%s TLSA records found, resorting to \"secure\"", status == TLS_DANE_UNUSABLE ? " usable" : "");
    session->level = TLS_LEVEL_SECURE;
    return true;
}

// ---- Connecting

static void say_failure(struct search *s, const struct finger_host *host, const char *why)
{
    finger_say("Failed to establish session to " STR_FMT " via " STR_FMT ": %s", STR_ARG(s->f->destination),
               STR_ARG(host->name), why);
}

static struct stream *connect_to(struct search *s, const struct finger_host *host) CO
{
    struct err err = ERR_INIT;
    struct stream *stream = stream_connect(&host->addr, NULL, clock_deadline(s->f->connect_timeout), &err);
    struct buf why = BUF_INIT;

    if (stream != NULL)
        return stream;
    buf_addf(&why, "connect to %s: %s", host->place.ptr,
             err.kind == ERR_TIMEOUT ? strerror(ETIMEDOUT)
             : err.errnum != 0       ? strerror(err.errnum)
                                     : err.text);
    say_failure(s, host, buf_cstr(&why));
    buf_release(&why);
    return NULL;
}

// Again and again until the server takes up a session of before: servers behind one address that share no cache are
// told apart so.
static void reconnect(struct search *s, struct finger_session *session) CO
{
    session->is_again = true;
    s->f->log = FINGER_LOG_SUMMARY | FINGER_LOG_CACHE;
    for (int64_t i = 0; i < s->f->reconnects; i++) {
        if (session->session.len == 0) {
            finger_say("The server gave no session to resume");
            return;
        }
        finger_say("Reconnecting after %lld seconds", (long long)s->f->reconnect_wait);
        co_sleep_until(clock_ms() + s->f->reconnect_wait * 1000);
        struct stream *stream = connect_to(s, session->host);
        if (stream != NULL && finger_converse(session, stream)) {
            finger_say("Found a previously used server.  Done reconnecting.");
            return;
        }
    }
    finger_say("Max reconnect count reached.  Done reconnecting.");
}

static bool try_host(struct search *s, const struct finger_host *host) CO
{
    struct finger_session session = {.f = s->f, .host = host, .nexthop = s->nexthop, .is_mx_secure = s->is_mx_secure};

    if (!resolve_level(s, &session))
        return false;
    struct stream *stream = connect_to(s, host);
    if (stream == NULL)
        return false;
    if (!s->f->says_nothing)
        finger_say("Connected to %s", host->place.ptr);
    (void)finger_converse(&session, stream);
    if (s->f->reconnect_wait > 0)
        reconnect(s, &session);
    buf_wipe(&session.session);
    return true;
}

static void probe_path(struct finger *f) CO
{
    struct search *s = ARENA_NEW(&f->arena, struct search);
    struct finger_host *host = &s->hosts[0];
    struct err err = ERR_INIT;

    s->f = f;
    s->is_mx_secure = true;
    s->nexthop = f->settings.myhostname;
    if (net_addr_unix(str_slice(f->destination, 5, f->destination.len), &host->addr, &err) < 0)
        die("%s", err.text);
    host->name = s->nexthop;
    host->place = arena_strf(&f->arena, STR_FMT "[" STR_FMT "]", STR_ARG(host->name),
                             STR_ARG(str_slice(f->destination, 5, f->destination.len)));
    host->canonical = STR("");
    try_host(s, host);
}

void finger_probe(struct finger *f)
{
    struct search *s = ARENA_NEW(&f->arena, struct search);

    if (str_starts(f->destination, STR("unix:"))) {
        if (!f->is_lmtp)
            die("a path is for LMTP: -S");
        probe_path(f);
        return;
    }
    s->f = f;
    s->port = f->is_lmtp ? 24 : 25;
    s->deadline = clock_deadline(LOOKUP_SECONDS);
    if (f->host_lookup.len == 0)
        f->host_lookup = STR("dns");
    parse(s, f->destination);
    find_hosts(s);
    for (size_t i = 0; i < s->count; i++)
        if (try_host(s, &s->hosts[i]))
            return;
}
