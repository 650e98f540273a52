// SPDX-License-Identifier: ISC
// smtp.h: the SMTP and LMTP delivery agent: what its files share.
//
// A delivery (smtp_deliver.c) goes through the next hops of its request; each is parsed (smtp_nexthop.c), looked up
// (smtp_lookup.c), connected (smtp_session.c, or taken from smtp_connection_cache.c), secured (smtp_tls*.c), and given
// the message for the recipients still open (smtp_transaction.c). What went wrong is a struct smtp_failure
// (smtp_report.c).
#ifndef DROMOS_SMTP_SMTP_H
#define DROMOS_SMTP_SMTP_H

#include "lib/agent/agent.h"
#include "lib/agent/transcript.h"
#include "lib/mail/queue_file.h"
#include "lib/net/stream.h"
#include "lib/table/table.h"
#include "smtp/smtp_profile.h"
#include "smtp/smtp_reply.h"
#include "smtp/smtp_sasl.h"
#include "smtp/smtp_tls.h"

struct smtp_connection_cache;

// The state of the process.
struct smtp_client {
    const struct settings *settings;
    struct smtp_profile profile;
    uint16_t port;                 // smtp_tcp_port or lmtp_tcp_port
    int family;                    // inet_protocols: AF_UNSPEC, AF_INET, AF_INET6
    bool has_source4, has_source6; // smtp_bind_address, smtp_bind_address6
    struct net_addr source4, source6;
    struct net_addr *own; // addresses of this host: inet_interfaces and proxy_interfaces
    size_t own_count;
    struct match_list *cache_destinations;
    struct smtp_sasl *sasl; // NULL when authentication is off
    struct smtp_connection_cache *cache;
    struct smtp_tls tls;
    struct service_context *service;
    struct submit_pool *submit; // for reports to the postmaster; NULL: notify_classes does not ask for them
    struct smtp_requiretls_policy *requiretls;
};

// ---- smtp_nexthop.c: the text of a next hop. Pure.
struct smtp_destination {
    struct str text; // as given, lower case: the key of the connection cache
    struct str host; // domain, host, or address without brackets; "" for UNIX
    struct str path; // UNIX socket, or ""
    uint16_t port;
    bool is_host; // no MX lookup: [host], LMTP
};
struct smtp_nexthop_rules {
    bool is_lmtp;
    uint16_t default_port;
};
// 0, or -1 with a permanent err: malformed. Strings borrow from text or live in the arena.
int smtp_nexthop_parse(struct str text, const struct smtp_nexthop_rules *rules, struct arena *arena,
                       struct smtp_destination *destination_r, struct err *err);

// ---- A message on its way
enum smtp_requiretls {
    SMTP_REQUIRETLS_DISABLE,       // the sender did not ask for it, or we do not care
    SMTP_REQUIRETLS_OPPORTUNISTIC, // asked of servers that offer it
    SMTP_REQUIRETLS_STARTTLS,      // the same, and never in the clear
    SMTP_REQUIRETLS_ENFORCE,       // TLS with a verified server that offers it, or returned to the sender
};
struct smtp_failure {
    bool is_destination;  // the destination as a whole is at fault: feedback to the queue manager
    bool is_final;        // no other server may be tried: the message may have been delivered
    bool asks_others;     // permanent, but another server of the destination may do better
    bool may_retry_plain; // the same server may be tried without TLS
    struct delivery_report report;
};
struct smtp_delivery {
    struct smtp_client *client;
    struct delivery *delivery;
    struct arena *arena;            // the delivery's
    struct smtp_failure **failures; // per recipient, the last one; NULL before anything was tried
    struct str domain;              // of the next hop being tried, for texts
    struct str nexthop;             // its text
    struct str key;                 // who may share its connections
    struct smtp_tls_rule tls_rule;  // of the next hop being tried
    struct smtp_tls_need *tls_need; // of the host being tried; NULL: no TLS
    struct str tls_status;          // tls= of a failure
    int tls_log_level;
    enum smtp_requiretls requiretls; // what this next hop must do for it
    unsigned sessions;               // begun for this next hop
    int64_t connected_us, start_us;  // when the connection and the transmission began
};
static inline bool smtp_is_open(const struct smtp_delivery *sd, size_t i)
{
    return sd->delivery->settled[i] == 0;
}
bool smtp_has_open(const struct smtp_delivery *sd);
void smtp_deliver(struct smtp_client *client, struct delivery *d) CO; // settles every recipient

// ---- smtp_lookup.c
struct smtp_host {
    struct str name;
    struct str place; // "name[1.2.3.4]"
    struct str relay; // "name[1.2.3.4]:25"
    struct net_addr addr;
    unsigned preference;
    bool is_secure;       // its addresses were validated
    struct str canonical; // where aliases led to
};
struct smtp_hosts {
    struct smtp_host *items;
    size_t count;
    bool is_secure; // the names were validated, or are those of the next hop
};
int smtp_lookup_init(struct smtp_client *client, struct err *err); // before the jail: own addresses
// The hosts of a destination in the order to try. NULL, or why there is none.
struct smtp_failure *smtp_lookup(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                 struct smtp_hosts *hosts_r) CO;

// ---- smtp_session.c: one connection to a server.
struct smtp_session {
    struct list link; // in the cache, while idle
    const struct smtp_client *client;
    struct stream *stream;
    struct smtp_reply reply; // the last one
    char *key;               // as sd->key
    char *name;              // of the host
    char *place;             // "name[addr]"
    char *relay;             // "name[addr]:port"
    unsigned features;       // enum smtp_feature
    char *mechanisms;        // after AUTH
    int64_t size_limit;
    unsigned uses;              // deliveries, this one included
    int64_t retire_ms;          // not used for a new delivery after that (smtp_connection_reuse_time_limit)
    int64_t expires_ms;         // idle until then
    bool must_close;            // lost, told 421, or QUIT was sent: nothing more is said
    char *tls_status;           // tls= of a delivery
    struct str delivery_status; // the same for the delivery under way, when it says more; in its arena
    bool is_tls_matched;        // the server is the one that it should be
    char *tls_session;          // the name under which its TLS session may be kept for resumption; NULL: not, or it was
    struct smtp_transcript *transcript; // NULL: nobody will want it
    bool needs_reset;                   // a transaction was begun and not completed: RSET before the next one
};
enum smtp_step {
    SMTP_STEP_GREETING,
    SMTP_STEP_EHLO,
    SMTP_STEP_HELO,
    SMTP_STEP_LHLO,
    SMTP_STEP_STARTTLS,
    SMTP_STEP_XFORWARD_NAME,
    SMTP_STEP_XFORWARD_PROTO,
    SMTP_STEP_MAIL,
    SMTP_STEP_RCPT,
    SMTP_STEP_DATA,
    SMTP_STEP_BODY,
    SMTP_STEP_END,
    SMTP_STEP_RSET,
    SMTP_STEP_QUIT,
};
// Connects, says hello and starts TLS as sd->tls_need says. NULL with *failure_r.
struct smtp_session *smtp_session_open(struct smtp_delivery *sd, const struct smtp_host *host,
                                       struct smtp_failure **failure_r) CO;
// A session on a connected stream, before the greeting (tests bring their own stream).
struct smtp_session *smtp_session_new(const struct smtp_client *client, struct stream *stream, struct str key,
                                      const struct smtp_host *host);
struct smtp_failure *smtp_session_hello(struct smtp_delivery *sd, struct smtp_session *s) CO; // NULL: done
// Sends what is buffered and/or reads one reply into s->reply, each within `seconds`. 0 or -1.
int smtp_session_flush(struct smtp_session *s, int64_t seconds, struct err *err) CO MUST_CHECK;
int smtp_session_reply(struct smtp_session *s, int64_t seconds, struct err *err) CO MUST_CHECK;
int smtp_session_command(struct smtp_session *s, int64_t seconds, struct err *err) CO MUST_CHECK; // both
void smtp_session_quit(struct smtp_session *s) CO; // QUIT unless must_close; frees
void smtp_session_drop(struct smtp_session *s);    // QUIT without waiting unless must_close; frees

// ---- smtp_transcript.c: the session for the postmaster, when the server breaks the protocol.
struct smtp_transcript {
    struct transcript said;
    bool has_trouble;
    bool is_private; // what is sent now is content or a secret
};
void smtp_transcript_init(struct smtp_client *client, struct service_context *service);
struct smtp_transcript *smtp_transcript_new(const struct smtp_client *client); // NULL: not wanted
// The rest takes NULL for "not wanted".
void smtp_transcript_sent(struct smtp_transcript *t, struct str output); // command lines about to be sent
void smtp_transcript_heard(struct smtp_transcript *t, struct raw line);
void smtp_transcript_private(struct smtp_transcript *t, bool is_private);
void smtp_transcript_trouble(struct smtp_transcript *t);
void smtp_transcript_end(struct smtp_transcript *t, const struct smtp_client *client,
                         const char *relay); // sends it if there was; frees

// ---- smtp_tls.c
int smtp_tls_read_file(struct str path, struct buf *text_r, struct err *err);
// A TLS session to resume: with the same server, under the same policy, verified by the same authorities or records.
bool smtp_tls_find_session(struct smtp_session *s, const struct tls_client_start *start, struct buf *data_r) CO;
void smtp_tls_refresh_chains(struct smtp_client *client) CO;

// ---- smtp_requiretls.c
struct smtp_requiretls_policy *smtp_requiretls_open(struct str list, struct err *err); // NULL: malformed
void smtp_requiretls_close(struct smtp_requiretls_policy *policy);
void smtp_requiretls_find(struct smtp_delivery *sd) CO; // sets sd->requiretls for sd->domain
// SMTP_HAS_REQUIRETLS if the next hop is not to hear of it, else 0.
unsigned smtp_requiretls_unwanted(const struct smtp_delivery *sd);
// May the message go to this server? NULL, or why not.
struct smtp_failure *smtp_requiretls_check(struct smtp_delivery *sd, struct smtp_session *s);

// ---- smtp_connection_cache.c: idle sessions by destination, within this process.
struct smtp_connection_cache *smtp_connection_cache_new(const struct smtp_client *client);
void smtp_connection_cache_free(struct smtp_connection_cache *c);
struct smtp_session *smtp_connection_cache_take(struct smtp_connection_cache *c, struct str key); // a live one, or NULL
void smtp_connection_cache_put(struct smtp_connection_cache *c, struct smtp_session *s);          // takes s
// May a connection to this destination be kept after the delivery? Also notes the use of the destination.
bool smtp_connection_cache_wants(struct smtp_connection_cache *c, const struct smtp_destination *dest,
                                 bool more_waits) CO;

// ---- smtp_command.c: command lines with their parameters. Pure.
bool smtp_address_is_sendable(struct str internal);         // no control characters
bool smtp_needs_smtputf8(const struct delivery_request *r); // RFC 6531: header or addresses are not ASCII
void smtp_command_mail(struct buf *b, const struct delivery_request *r, unsigned features, bool quotes);
void smtp_command_rcpt(struct buf *b, const struct delivery_recipient *rcpt, unsigned features, bool quotes);
// The two XFORWARD lines; false when there is nothing to send in that one.
bool smtp_command_xforward_name(struct buf *b, const struct delivery_request *r, unsigned features);
bool smtp_command_xforward_proto(struct buf *b, const struct delivery_request *r, unsigned features);

// ---- smtp_transaction.c
enum smtp_outcome {
    SMTP_OUTCOME_DONE,  // every open recipient has a result or a failure
    SMTP_OUTCOME_STALE, // a kept connection turned out dead before anything was answered: try again on a fresh one
};
// Sends the message to the open recipients. keep: the session will be used again (else QUIT goes with the final dot).
enum smtp_outcome smtp_transaction(struct smtp_delivery *sd, struct smtp_session *s, bool keep) CO;

// ---- smtp_report.c: failures and reports, allocated in the delivery's arena.
struct smtp_failure *smtp_failure_new(struct smtp_delivery *sd, bool is_permanent, const char *dsn, const char *format,
                                      ...) __attribute__((format(printf, 4, 5)));
// The server refused: "host H[A] said: REPLY (in reply to STEP)", or "refused to talk to me" for greeting and hello.
struct smtp_failure *smtp_failure_said(struct smtp_delivery *sd, const struct smtp_session *s, enum smtp_step step);
// The connection failed: lost, timed out, malformed reply.
struct smtp_failure *smtp_failure_lost(struct smtp_delivery *sd, struct smtp_session *s, enum smtp_step step,
                                       const struct err *err);
struct smtp_failure *smtp_failure_with_session(struct smtp_failure *f, struct smtp_delivery *sd,
                                               const struct smtp_session *s);
void smtp_failure_apply(struct smtp_delivery *sd, struct smtp_failure *f); // to every open recipient
// Recipient i was taken by the server, in s->reply.
void smtp_report_sent(struct smtp_delivery *sd, const struct smtp_session *s, size_t i) CO;
// Settles the open recipients whose last failure no other server can change (all of them if `all`), and tells the queue
// manager of a dead destination.
void smtp_report_failures(struct smtp_delivery *sd, bool all) CO;

#endif
