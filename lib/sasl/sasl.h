// SPDX-License-Identifier: ISC
// sasl.h: authentication (RFC 4422, 4954): of clients by our server. What checks passwords is another process:
// saslserver with Cyrus SASL, or a server that speaks Dovecot's protocol. This process sees what clients send and the
// verdict, nothing else.
//
// Everything that clients send and are sent is base64 here, as on the wire. Reasons come from those servers: they are
// made printable and are bounded. Buffers with credentials are wiped.
#ifndef DROMOS_SASL_SASL_H
#define DROMOS_SASL_SASL_H

#include "lib/ipc/service.h"

#define SASL_NAME_MAX   64   // of a mechanism: RFC 4422 says 20
#define SASL_USER_MAX   1024 // of a user name
#define SASL_REASON_MAX 200
#define SASL_TOKEN_MAX  (64 * 1024) // base64 of one step, either way

// ---- What a mechanism must or must not be: smtpd_sasl_security_options and the like.
enum sasl_security {
    SASL_NO_PLAINTEXT = 1,
    SASL_NO_ACTIVE = 2, // not subject to active attack
    SASL_NO_DICTIONARY = 4,
    SASL_NO_ANONYMOUS = 8,
    SASL_FORWARD_SECRECY = 16,
    SASL_MUTUAL_AUTH = 32,
};
// 0, or -1: an unknown word, or what needs this in `kind` (NULL: all words).
int sasl_security_parse(struct str options, unsigned *flags_r, struct err *err);

// Where Cyrus SASL finds APP.conf: cyrus_sasl_config_path, else where Debian and Cyrus have it.
void sasl_config_path(const struct settings *set, struct buf *path_r);

enum sasl_outcome { SASL_ANSWER_CONTINUE, SASL_ANSWER_ACCEPTED, SASL_ANSWER_REFUSED, SASL_ANSWER_TEMPORARY };
struct sasl_answer {
    enum sasl_outcome outcome;
    struct buf challenge; // base64, when it goes on
    struct buf username;  // who it is, or who it claims to be; "" unknown
    struct buf reason;    // why not
    struct buf log;       // what the library had to say, a line each
};
#define SASL_ANSWER_INIT ((struct sasl_answer){SASL_ANSWER_TEMPORARY, BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT})
void sasl_answer_clear(struct sasl_answer *a); // wipes; the struct may be used again
void sasl_answer_fail(struct sasl_answer *a, enum sasl_outcome outcome, struct str reason);

// ---- Server: one for the process, opened by init() before the jail.
struct sasl_server;
struct sasl_server *sasl_server_open(struct service_context *ctx, struct err *err); // by smtpd_sasl_*; NULL with err
void sasl_server_close(struct sasl_server *server);                                 // NULL is fine

struct sasl_peer { // of one session
    struct str client_address, client_port, server_address, server_port;
    bool is_encrypted;
    bool has_valid_certificate;  // its own, which a trusted authority signed
    struct str certificate_name; // the common name in that certificate; "" none
};
// Who the client is by its certificate, for Cyrus's EXTERNAL; "": nobody. User names are ASCII here: another one would
// be altered.
static inline struct str sasl_peer_external(const struct sasl_peer *peer)
{
    return peer->has_valid_certificate && str_is_printable(peer->certificate_name) ? peer->certificate_name : STR("");
}
// The mechanisms on offer, "PLAIN LOGIN", by security options and filter. 1, 0 none, -1 they cannot be had now.
int sasl_server_mechanisms(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r,
                           struct err *err) CO MUST_CHECK;

// One attempt. The first step names the mechanism; response.ptr NULL: the client gave no initial response.
struct sasl_exchange;
struct sasl_exchange *sasl_exchange_new(struct sasl_server *server, const struct sasl_peer *peer);
void sasl_exchange_start(struct sasl_exchange *x, struct str mechanism, struct str response,
                         struct sasl_answer *answer_r) CO;
void sasl_exchange_step(struct sasl_exchange *x, struct str response, struct sasl_answer *answer_r) CO;
void sasl_exchange_free(struct sasl_exchange *x); // at any time: an unfinished one is given up; NULL is fine

#endif
