// SPDX-License-Identifier: ISC
// dns.h: DNS through c-ares on our loop; every lookup has a deadline and suspends only its caller.
//
// Trust: answers are hostile; names are checked (RFC 1035 lengths, no control characters), counts bounded
// (DNS_MAX_RECORDS). Servers come from /etc/resolv.conf read at dns_init (before the jail), or from DROMOS_DNS_SERVERS
// ("127.0.0.1:5353,…"). Host lookups honour /etc/hosts (read at dns_init) when `lookups` contains "native" order as in
// smtp_host_lookup.
#ifndef DROMOS_NET_DNS_H
#define DROMOS_NET_DNS_H

#include "lib/base/mem.h"
#include "lib/co/co.h"
#include "lib/net/addr.h"

#define DNS_MAX_RECORDS 100

enum dns_status {
    DNS_OK,
    DNS_NOT_FOUND, // NXDOMAIN
    DNS_NO_DATA,   // the name exists, this type does not
    DNS_TRY_AGAIN, // SERVFAIL, time-out, unreachable, refused
    DNS_INVALID,   // the name cannot be looked up, or the answer is malformed
};

struct dns_mx {
    uint16_t preference;
    struct str host; // lower case, no trailing dot; "" for null MX (RFC 7505)
};

int dns_init(struct err *err); // before the jail
void dns_deinit(void);

// Results live in `arena`. MX sorted by preference,
// equal ones in the order of the answer (the caller shuffles where the administrator wants it).
//
// is_secure is the AD bit: the resolver, which the administrator trusts, has validated the whole answer, aliases
// included. canonical is the name that the records belong to: another than was asked for when aliases (CNAME) led
// there.
struct dns_mx_list {
    struct dns_mx *items;
    size_t count;
    bool is_secure;
    struct str canonical;
};
enum dns_status dns_lookup_mx_list(struct str domain, struct arena *arena, int64_t deadline,
                                   struct dns_mx_list *list_r) CO;
enum dns_status dns_lookup_mx(struct str domain, struct arena *arena, int64_t deadline, struct dns_mx **mx_r,
                              size_t *count_r) CO;
// The addresses of a host. Address literals are not accepted. The hosts file comes first if with_hosts.
struct dns_host_query {
    struct str host;
    int family; // AF_UNSPEC: A and AAAA at once
    bool with_hosts;
};
struct dns_addresses {
    struct net_addr *items;
    size_t count;
    bool is_secure;       // every address; false for those of the hosts file
    struct str canonical; // "": the hosts file answered
};
enum dns_status dns_lookup_host(const struct dns_host_query *query, struct arena *arena, int64_t deadline,
                                struct dns_addresses *addresses_r) CO;
// Is the name an alias whose own record (not what it leads to) is validated? DNS_OK: *is_secure_r.
enum dns_status dns_lookup_alias(struct str name, struct arena *arena, int64_t deadline, bool *is_secure_r) CO;
// TLSA records (RFC 6698) as they are: a usage or digest that nobody knows is for the caller to pass over.
struct dns_tlsa {
    uint8_t usage, selector, matching;
    struct raw data;
};
struct dns_tlsa_list {
    struct dns_tlsa *items;
    size_t count;
    bool is_secure;
};
enum dns_status dns_lookup_tlsa(struct str name, struct arena *arena, int64_t deadline,
                                struct dns_tlsa_list *list_r) CO;
// Texts, the pieces of each record joined.
struct dns_texts {
    struct str *items;
    size_t count;
};
enum dns_status dns_lookup_txt(struct str name, struct arena *arena, int64_t deadline, struct dns_texts *texts_r) CO;
enum dns_status dns_lookup_ptr(const struct net_addr *addr, struct arena *arena, int64_t deadline,
                               struct str *name_r) CO;

// ---- Any type, and several questions at once.
#define DNS_TYPE_A     1
#define DNS_TYPE_NS    2
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_PTR   12
#define DNS_TYPE_MX    15
#define DNS_TYPE_TXT   16
#define DNS_TYPE_AAAA  28
#define DNS_TYPE_SRV   33
#define DNS_TYPE_TLSA  52

struct dns_record {
    uint16_t preference;   // MX; SRV: the priority
    uint16_t weight, port; // SRV
    struct str name;       // MX, SRV, NS, PTR, CNAME: lower case, no trailing dot; "" is the root
    struct net_addr addr;  // A, AAAA
    uint8_t tlsa[3];       // TLSA: usage, selector, matching type
    struct str data;       // TLSA: what is matched; TXT: the text, any bytes
};
struct dns_answer {
    enum dns_status status;
    bool is_secure; // the AD bit
    struct dns_record *records;
    size_t count;
    struct str owner; // of the first record taken, "" when it is no host name
};
// Sends the question and returns at once. NULL: the name cannot be asked for. Each query is ended or abandoned, once.
struct dns_query *dns_query_begin(struct str name, int type);
void dns_query_end(struct dns_query *q, struct arena *arena, int64_t deadline, struct dns_answer *answer_r) CO;
void dns_query_abandon(struct dns_query *q);
void dns_add_reverse(struct buf *b, const struct net_addr *addr); // "4.3.2.1", or the nibbles of an IPv6 address
const char *dns_status_text(enum dns_status status); // "Host not found", "Host not found, try again", "Host found but
                                                     // no data record of requested type", …

#endif
