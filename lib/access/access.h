// SPDX-License-Identifier: ISC
// access.h: the SMTP server's decisions: restriction lists and access(5) tables, asked by smtpd, postsim and the lint.
//
// The lists are compiled and their tables opened once, before the jail. The caller fills a struct access_facts with
// what is known so far and asks once for each protocol stage; the verdict says what to do and what decided it. Nothing
// is done here but looking up: what a table asks for besides yes or no (HOLD, FILTER, a line in the log …) comes back
// as effects.
// Trust: facts come from clients; values come from the administrator's tables. Suspends: table and DNS lookups.
#ifndef DROMOS_ACCESS_ACCESS_H
#define DROMOS_ACCESS_ACCESS_H

#include "lib/net/addr.h"
#include "lib/route/route.h"

struct access; // compiled lists and open tables, one per process
// -1 of the lists' own (no restriction that stops relaying, a class without a value) is NULL with err. All must live
// longer.
struct access *access_open(const struct conf *conf, const struct settings *settings, struct route *route,
                           struct err *err);
void access_close(struct access *a); // NULL is fine

// ---- Facts. Texts borrow from the caller for one call; an absent text has .ptr NULL or .len 0.
enum access_name_status {
    ACCESS_NAME_OK,
    ACCESS_NAME_UNKNOWN,   // there is none
    ACCESS_NAME_TRY_AGAIN, // the lookup failed
    ACCESS_NAME_FORGED,    // the name does not lead back to the address
};
struct access_tls {
    bool is_on;
    struct str protocol, cipher; // "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    int cipher_bits;             // in use
    struct str server_name;      // SNI
    bool has_certificate;        // the client presented one
    bool is_trusted;             // and its chain was verified
    struct str subject, issuer;  // common names
    struct str certificate_fingerprint, public_key_fingerprint;
};
struct access_sasl {
    struct str method, username, sender; // method.len 0: not authenticated
};
struct access_facts {
    const char *state;    // "CONNECT", "HELO", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN"
    const char *protocol; // "SMTP" or "ESMTP"
    struct str client;    // "name[address]" as in logs
    struct str client_name, client_reverse; // verified and unverified name, or "unknown"
    enum access_name_status name_status, reverse_status;
    struct str client_address, client_port, server_address, server_port;
    const struct net_addr *client_addr;
    bool is_mynetworks;
    bool has_pipelined;       // sent commands ahead of our reply without permission
    struct str helo;          // len 0: none yet
    struct str sender;        // ptr NULL: none yet; len 0: the null sender
    struct str recipient;     // ptr NULL: none
    unsigned recipient_count; // accepted so far
    int64_t size;             // of the message, or what MAIL announced
    struct str etrn_domain;
    // Asked for policy servers only; NULL: there is none. queue_id may suspend.
    struct str (*instance)(const struct access_facts *f);
    struct str (*queue_id)(const struct access_facts *f);
    void *owner;                     // for these two
    const struct settings *settings; // of a time of stress; NULL: those of access_open
    struct access_tls tls;
    struct access_sasl sasl;
};

// ---- Verdicts
enum access_stage {
    ACCESS_CONNECT,
    ACCESS_HELO,
    ACCESS_MAIL,
    ACCESS_RCPT,
    ACCESS_DATA,
    ACCESS_END_OF_DATA,
    ACCESS_ETRN
};
struct access_reason {
    const char *parameter;  // the list, or the setting that stands for itself; NULL: nothing decided
    unsigned position;      // of the restriction in the list, from 1; 0: not in a list
    struct str restriction; // "check_client_access hash:/etc/postfix/access"
    struct str table, key;  // of the entry that decided, if one did
};
enum access_effect_kind {
    ACCESS_LOG, // only the line in the log: info, warn, permit, reject_warning
    ACCESS_HOLD,
    ACCESS_DROP,     // DISCARD: accept and forget
    ACCESS_FILTER,   // value: "transport:nexthop"
    ACCESS_REDIRECT, // value: an address
    ACCESS_BCC,      // value: an address
    ACCESS_PREPEND,  // value: a header line; not logged
};
struct access_effect {
    enum access_effect_kind kind;
    const char *verb; // of the log line: "hold", "info" …; NULL: not logged
    struct str text;  // of the log line
    struct str value;
    struct access_reason reason;
};
enum access_outcome { ACCESS_PASS, ACCESS_REFUSE, ACCESS_HANGUP };
struct access_verdict {
    enum access_outcome outcome;
    int code;
    char status[12]; // "5.7.1"; its first digit is that of the code
    char text[512];  // of the reply after the codes; of HANGUP: of the log line
    struct access_reason reason;
    struct access_effect *effects; // in the order in which they came
    size_t effect_count, effect_cap;
};

// ---- Sessions: what is remembered of one client between its commands.
struct access_session;
struct access_session *access_session_new(struct access *a);
void access_session_free(struct access_session *as);            // NULL is fine
void access_session_end_transaction(struct access_session *as); // forgets MAIL and what followed it
// Runs the lists of a stage as smtpd_delay_reject wants them. The verdict and its texts live in `arena`.
void access_decide(struct access_session *as, enum access_stage stage, const struct access_facts *facts,
                   struct arena *arena, struct access_verdict *verdict_r) CO;
// Can no mail go to that address, whatever the tables say, so that it is refused as bad syntax? A failed lookup says
// no: the restrictions meet the same failure.
bool access_is_malformed(struct access_session *as, struct str address) CO;
// Are message headers from this client rewritten as local ones (local_header_rewrite_clients)? A failed lookup says no.
bool access_rewrites_headers(struct access_session *as, const struct access_facts *facts) CO;
void access_reason_add(struct buf *b,
                       const struct access_reason *reason); // "smtpd_relay_restrictions[3] reject_unauth_destination"

// ---- What happened step by step, for postsim.
struct access_step {
    const char *parameter;
    unsigned depth, position; // depth counts restriction classes and lists from tables
    struct str restriction, table, key, value;
    const char *result; // "permit", "reject", "defer", "next", "warn", "skipped" …
    struct str text;    // the reply or the reason, or ""
};
struct access_trace {
    struct access_step *steps;
    size_t count, capacity;
    bool asks_policy;   // else policy servers and address probes are skipped
    bool skips_network; // so are the name server, and tables that others answer
};
void access_session_trace(struct access_session *as, struct access_trace *trace); // every decision is written to *trace

#endif
