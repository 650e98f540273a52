// SPDX-License-Identifier: ISC
// route.h: address rewriting and resolution: which class, transport, next hop and recipient an address gets. Library
// calls over tables opened before the jail; the trivial-rewrite service answers the same calls by socket.
#ifndef DROMOS_ROUTE_ROUTE_H
#define DROMOS_ROUTE_ROUTE_H

#include "lib/co/co.h"
#include "lib/conf/settings.h"
#include "lib/net/addr.h"
#include "lib/table/table.h"

struct route;                                                               // tables and settings, one per process
struct route *route_open(const struct settings *settings, struct err *err); // before the jail
void route_close(struct route *r);

enum route_class { ROUTE_LOCAL, ROUTE_VIRTUAL_ALIAS, ROUTE_VIRTUAL_MAILBOX, ROUTE_RELAY, ROUTE_DEFAULT, ROUTE_ERROR };
struct route_result {
    enum route_class class;
    struct str transport;  // "smtp", "local", "error" …
    struct str nexthop;    // "example.com", "[10.0.0.1]:25", error text for the error transport
    struct str recipient;  // final recipient address (internal form)
    bool has_source_route; // %-hack or bang path or @ in the local part: untrusted routing
};
// Classifies and resolves a recipient (and sender, for sender_dependent_* maps). 0; -1: a table failed (temporary).
// Results in `arena`. A malformed address resolves to the error transport with a 5.1.3 text.
int route_resolve(struct route *r, struct str sender, struct str recipient, struct arena *arena,
                  struct route_result *result_r, struct err *err) CO MUST_CHECK;
// Would a recipient of that form resolve to the error transport whatever the tables of its class say? By its domain,
// its local part, or what is left of it when routes through us are followed. An empty local part is none: in a domain
// of ours it is the system's own mailbox (empty_address_recipient). 1/0/-1.
int route_address_is_malformed(struct route *r, struct str address, struct err *err) CO MUST_CHECK;
// Standard form: append @$myorigin to a bare name, .$mydomain to a one-word domain, swap %, drop routes: by the
// parameters and the rewrite context (local or remote; remote uses remote_header_rewrite_domain). Result in arena.
int route_rewrite(struct route *r, bool is_local_context, struct str address, struct arena *arena,
                  struct str *rewritten_r, struct err *err) CO MUST_CHECK;
// Is this domain ours in that class? 1/0/-1.
int route_is_local_domain(struct route *r, struct str domain, struct err *err) CO
    MUST_CHECK; // mydestination, inet_interfaces and proxy_interfaces literals
bool route_is_own_address(const struct route *r, const struct net_addr *addr); // inet_interfaces or proxy_interfaces
int route_class_of_domain(struct route *r, struct str domain, enum route_class *class_r,
                          struct err *err) CO MUST_CHECK; // 0, -1
// Does the address exist, by the mappings, the transport it would take (error:, retry:) and the recipient maps of its
// class? 1 yes or unknowable, 0 no, -1 failed. The null sender exists.
struct route_unknown {
    struct arena *arena; // the caller's, for the texts
    int64_t code;        // of the reply, by the parameters of the class: 550 …
    struct str status;   // "5.1.1"; its first digit may not fit the code
    struct str text;     // "User unknown in local recipient table" …
};
int route_recipient_exists(struct route *r, struct str recipient, struct route_unknown *why_r,
                           struct err *err) CO MUST_CHECK;
int route_sender_exists(struct route *r, struct str sender, struct route_unknown *why_r, struct err *err) CO MUST_CHECK;
// May anyone relay to this recipient (local, virtual or relay class)? 1/0/-1. The net under every restriction list.
int route_is_authorized_destination(struct route *r, struct str recipient, struct err *err) CO MUST_CHECK;

// ---- Address verification probes
// Their routes: where an address_verify_* parameter differs from the one that it stands in for, else *probes_r is
// `normal`.
int route_open_for_probes(const struct settings *settings, struct route *normal, struct route **probes_r,
                          struct err *err);
// Their sender now: address_verify_sender, which changes every address_verify_sender_ttl; "" is the null sender.
struct str route_probe_sender(const struct settings *settings, int64_t wall, struct arena *arena);
// Is that the local part of a sender that changes, of now or shortly before? Mail to it is taken and thrown away.
bool route_is_probe_sender(const struct settings *settings, struct str local);

// Mappings used by cleanup: canonical (recursive 1 level) and virtual alias expansion with nesting and size limits.
// 1 mapped (result in standard form, in `arena`), 0 no entry, -1 failed.
int route_canonical(struct route *r, struct table_list *maps, struct str address, struct arena *arena,
                    struct str *mapped_r, struct err *err) CO MUST_CHECK;

// The raw value of an address's entry in the documented key order. 1/0/-1. *extension_r: what the key left out (with
// delimiter).
int route_lookup_address(struct route *r, struct table_list *maps, struct str address, struct buf *value_r,
                         struct str *extension_r, struct err *err) CO MUST_CHECK;
// One result address of a mapping put into standard form: "@newdomain" takes the old local part, an extension that was
// left out is appended (extension.len 0: none), and the address is rewritten as local ones are.
struct str route_mapped_address(struct route *r, struct str old_address, struct str result, struct str extension,
                                struct arena *arena);
bool route_propagates_extension(const struct route *r,
                                const char *class_name); // propagate_unmatched_extensions holds "virtual" …

#endif
