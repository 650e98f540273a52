// SPDX-License-Identifier: ISC
// sasl_client.h: our own logins at other servers (RFC 4954): Cyrus SASL's mechanisms, and the two of OAuth bearer
// tokens.
//
// Everything that is sent and received is base64 here, as on the wire. Steps run as jobs: a hostile server may ask for
// long computations. Credentials are copied, and wiped in the end.
#ifndef DROMOS_SASL_CLIENT_H
#define DROMOS_SASL_CLIENT_H

#include "lib/sasl/sasl.h"

int sasl_client_open(const struct settings *set, struct err *err) MUST_CHECK; // before the jail: loads the plugins
void sasl_client_close(void);

struct sasl_login {
    const char *service, *host; // "smtp", the server's name
    unsigned port;
    struct str username, password; // password: or the bearer token
    unsigned security;             // enum sasl_security
    bool sends_authzid;
};
struct sasl_move {        // what to say next
    struct buf mechanism; // of the first one
    struct buf response;
    bool has_response; // of the first one: there is an initial response, which may be empty
    struct buf log;    // what the library had to say, a line each
};
#define SASL_MOVE_INIT ((struct sasl_move){BUF_INIT, BUF_INIT, false, BUF_INIT})
void sasl_move_clear(struct sasl_move *m); // wipes

struct sasl_client_exchange;
// Chooses one of `mechanisms` (separated by blanks). XOAUTH2 and OAUTHBEARER, with the password as the token, are for
// servers of which nothing else is left by filter and security options, unless Cyrus has a plugin for them. NULL with
// err: the reason.
struct sasl_client_exchange *sasl_client_begin(const struct sasl_login *login, struct str mechanisms, int64_t deadline,
                                               struct sasl_move *move_r, struct err *err) CO MUST_CHECK;
int sasl_client_answer(struct sasl_client_exchange *x, struct str challenge, int64_t deadline, struct sasl_move *move_r,
                       struct err *err) CO MUST_CHECK;
void sasl_client_end(struct sasl_client_exchange *x); // NULL is fine

#endif
