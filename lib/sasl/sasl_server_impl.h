// SPDX-License-Identifier: ISC
// sasl_server_impl.h: what the two ways of checking a client's credentials have in common.
#ifndef DROMOS_SASL_SERVER_IMPL_H
#define DROMOS_SASL_SERVER_IMPL_H

#include "lib/sasl/sasl.h"
#include "lib/table/table.h"

struct sasl_server_ops {
    const char *unknown_mechanism; // the reason for one that is not offered
    void *(*open)(struct sasl_server *server, struct service_context *ctx, struct err *err); // NULL with err
    void (*close)(void *data);
    // All mechanisms that the security options allow.
    int (*mechanisms)(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r, struct err *err);
    // mechanism.ptr NULL: a further step.
    void (*step)(struct sasl_exchange *x, struct str mechanism, struct str response, struct sasl_answer *answer_r);
    void (*end)(struct sasl_exchange *x);
};

struct sasl_server {
    const struct sasl_server_ops *ops;
    const struct settings *settings;
    struct service_context *service;
    unsigned security, security_encrypted;
    struct match_list *filter; // NULL: all
    void *data;
};

struct sasl_exchange {
    struct sasl_server *server;
    const struct sasl_peer *peer; // the caller's
    void *data;                   // the way's own
};

extern const struct sasl_server_ops sasl_server_cyrus, sasl_server_dovecot;

#endif
