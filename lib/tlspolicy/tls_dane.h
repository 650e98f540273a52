// SPDX-License-Identifier: ISC
// tls_dane.h: the TLSA records that a server's certificate must fit (RFC 6698, RFC 7671, RFC 7672).
//
// What the resolver did not validate is no record. Records with usages 0 and 1, unknown digests or odd lengths are
// unusable.
#ifndef DROMOS_TLSPOLICY_TLS_DANE_H
#define DROMOS_TLSPOLICY_TLS_DANE_H

#include "lib/net/dns.h"

enum tls_dane_status {
    TLS_DANE_FOUND,
    TLS_DANE_ABSENT,   // no record, or none that is validated
    TLS_DANE_UNUSABLE, // records, but none that we can use: RFC 7672 2.2 asks for encryption all the same
    TLS_DANE_FAILED,   // the lookup failed: an attack may look like that, so nothing is sent
};
struct tls_dane_query {
    struct str host; // as the MX record or the administrator names it
    uint16_t port;
    bool host_is_secure;     // its addresses were validated
    struct str canonical;    // where aliases led to; the same as host, or "", without aliases
    bool asks_insecure_host; // smtp_tls_force_insecure_host_tlsa_lookup
    struct str digests;      // tls_dane_digests: the strongest first
};
struct tls_dane {
    struct str base; // the name that has the records: SNI, and a name that the certificate may have (usage 2)
    struct dns_tlsa *records;
    size_t count;
};
// Everything lives in the arena.
enum tls_dane_status tls_dane_lookup(const struct tls_dane_query *q, struct arena *arena, int64_t deadline,
                                     struct tls_dane *dane_r) CO;
// The usable ones of `list`; of several digests of the same thing, the best of `digests` (RFC 7671 9). Pure.
size_t tls_dane_usable(const struct dns_tlsa *list, size_t count, struct str digests, struct dns_tlsa *usable_r);

#endif
