// SPDX-License-Identifier: ISC
// tls_policy.h: how well a delivery must be protected: security levels and the values of smtp_tls_policy_maps. Pure.
#ifndef DROMOS_TLSPOLICY_TLS_POLICY_H
#define DROMOS_TLSPOLICY_TLS_POLICY_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

// In the order of strength.
enum tls_level {
    TLS_LEVEL_NONE,
    TLS_LEVEL_MAY,         // when it works
    TLS_LEVEL_ENCRYPT,     // with anybody
    TLS_LEVEL_FINGERPRINT, // one of the given certificates or keys
    TLS_LEVEL_HALF_DANE,   // TLSA records of a host that an insecure MX record named
    TLS_LEVEL_DANE,        // TLSA records where there are any, else may
    TLS_LEVEL_DANE_ONLY,   // TLSA records
    TLS_LEVEL_VERIFY,      // a trusted authority and a matching name
    TLS_LEVEL_SECURE,      // the same, with names that do not come from DNS
};
int tls_level_parse(struct str name, enum tls_level *level_r); // -1: no such level
const char *tls_level_name(enum tls_level level);
static inline bool tls_level_is_dane(enum tls_level level)
{
    return level >= TLS_LEVEL_HALF_DANE && level <= TLS_LEVEL_DANE_ONLY;
}
// Must the certificate be the right one for the message to be sent?
static inline bool tls_level_must_match(enum tls_level level)
{
    return level >= TLS_LEVEL_FINGERPRINT;
}

struct tls_words {
    struct str *items;
    size_t count;
};
// What a value, or main.cf, says. "" and empty lists: as the parameters say.
struct tls_policy {
    enum tls_level level;
    struct str ciphers, protocols, exclude, server_name, anchor_file;
    struct tls_words match;    // fingerprints; or names, "hostname", "nexthop", "dot-nexthop"
    bool has_reuse, reuse;     // connection_reuse
    bool has_raw_key, raw_key; // enable_rpk
    // Told by a program that knows policies of destinations (MTA-STS).
    struct str type, domain, failure; // policy_type, policy_domain, policy_failure
    struct tls_words mx_patterns;
};
// A value of smtp_tls_policy_maps. 0, or -1: err says what is wrong with it. *ignored_r (may be NULL) is the attribute
// that a value with level none holds for nothing, or "". Strings live in the arena.
int tls_policy_parse(struct str value, struct arena *arena, struct tls_policy *policy_r, struct str *ignored_r,
                     struct err *err);
// Words of a list: names or fingerprints.
void tls_words_add(struct tls_words *words, struct str list, const char *separators, struct arena *arena);

// The older smtp_tls_per_site: NONE, MAY, MUST_NOPEERMATCH, MUST, found by next hop and by host.
enum tls_site {
    TLS_SITE_ABSENT,
    TLS_SITE_MAY,
    TLS_SITE_NONE,
    TLS_SITE_MUST_NOPEERMATCH,
    TLS_SITE_MUST
};                                                           // by precedence
int tls_site_parse(struct str value, enum tls_site *site_r); // -1: no such word
enum tls_level tls_site_level(enum tls_site nexthop, enum tls_site host, enum tls_level global);

// RFC 8461 4.1: a pattern "mx.example.com" or "*.example.com" (one label) and the name of an MX host.
bool tls_mx_pattern_matches(struct str pattern, struct str host);

#endif
