// SPDX-License-Identifier: ISC
// dovecot_protocol.h: the lines of Dovecot's authentication protocol, version 1, as its clients see them. Pure: no I/O.
//
// Trust: the server is a hostile peer: its lines are bounded by the reader, fields here. Fields are separated by tabs;
// bytes that cannot stand in one are written as \001 and a letter.
#ifndef DROMOS_SASL_DOVECOT_PROTOCOL_H
#define DROMOS_SASL_DOVECOT_PROTOCOL_H

#include "lib/base/err.h"
#include "lib/sasl/sasl.h"

#define DOVECOT_MECHANISMS_MAX 40
#define DOVECOT_LINE_MAX       (SASL_TOKEN_MAX + 4096)

// What the server offers, from the lines up to DONE.
struct dovecot_mechanism {
    char name[SASL_NAME_MAX + 1];
    unsigned violates; // enum sasl_security: what this mechanism does not do
    bool is_private;   // not to be announced
};
struct dovecot_greeting {
    struct dovecot_mechanism mechanisms[DOVECOT_MECHANISMS_MAX];
    unsigned count;
    bool has_version, has_server_id, is_done;
};
// One line of the greeting. 0, or -1: no server to talk to (wrong version, order, too many mechanisms).
int dovecot_greeting_add(struct dovecot_greeting *g, struct str line, struct err *err);
void dovecot_greeting_list(const struct dovecot_greeting *g, unsigned security,
                           struct buf *list_r); // separated by blanks
bool dovecot_greeting_has(const struct dovecot_greeting *g, unsigned security, struct str mechanism);

// An answer to a request. *id_r says to which; answer_r is filled. 1; 0: a line that is no answer (passed over); -1:
// malformed.
int dovecot_answer_parse(struct str line, uint32_t *id_r, struct sasl_answer *answer_r, struct err *err);

bool dovecot_is_base64(struct str text); // RFC 4648 4, padding included
// "AUTH id mechanism service=…"; response.ptr NULL: none.
struct dovecot_request {
    uint32_t id;
    struct str mechanism, service, response;
    const struct sasl_peer *peer;
};
void dovecot_add_auth(struct buf *b, const struct dovecot_request *r);

#endif
