// SPDX-License-Identifier: ISC
// cyrus.h: Cyrus SASL as plain calls. They may block (sasldb, saslauthd, SQL), so they run as jobs; one exchange is
// used by one job at a time, different ones at the same time. Everything that peers send is base64 here.
#ifndef DROMOS_SASL_CYRUS_H
#define DROMOS_SASL_CYRUS_H

#include "lib/sasl/sasl.h"

// Loads plugins and configuration: once, before the jail. `path` lists folders with APP.conf ("": Cyrus's own). 0 or
// -1.
int cyrus_server_init(const char *app, struct str path, struct err *err) MUST_CHECK;
void cyrus_server_end(void);
// Whether mech_list in APP.conf names the mechanism: Cyrus takes a list that is not there for all of them.
bool cyrus_config_lists(const char *app, struct str path, struct str mechanism);

struct cyrus_identity {  // of a server; strings stay the caller's while the exchange begins
    const char *service; // "smtp"
    const char *host;    // myhostname
    const char *realm;   // NULL: none
    const char *local;   // "address;port", NULL: unknown
    const char *remote;
    const char *external; // who the client is by its certificate: turns EXTERNAL on; NULL: nobody
};
struct cyrus_exchange;
struct cyrus_exchange *cyrus_server_new(const struct cyrus_identity *who, unsigned security, struct err *err);
int cyrus_server_mechanisms(struct cyrus_exchange *x, struct buf *list_r, struct err *err); // separated by blanks
// mechanism NULL: a further step. response.ptr NULL: none given.
void cyrus_server_step(struct cyrus_exchange *x, const char *mechanism, struct str response,
                       struct sasl_answer *answer_r);

int cyrus_client_init(struct str path, struct err *err) MUST_CHECK;
void cyrus_client_end(void);
bool cyrus_client_has(const char *mechanism); // is there a plugin for it?
struct cyrus_login {                          // copied
    const char *service, *host;               // "smtp", the server's name
    struct str username, password;
    bool sends_authzid;
};
struct cyrus_exchange *cyrus_client_new(const struct cyrus_login *login, unsigned security, struct err *err);
// The first step chooses one of `mechanisms` (separated by blanks), which is NULL in later ones. 0, or -1 with err: the
// reason. *has_response_r: of the first step, whether there is an initial response ("" may be one).
struct cyrus_move {
    struct buf mechanism, response, log;
    bool has_response;
};
int cyrus_client_step(struct cyrus_exchange *x, const char *mechanisms, struct str challenge, struct cyrus_move *move_r,
                      struct err *err);
void cyrus_exchange_free(struct cyrus_exchange *x); // NULL is fine

#endif
