// SPDX-License-Identifier: ISC
// policy_impl.h: what the files of the policy client share. Private to lib/access.
#ifndef DROMOS_ACCESS_POLICY_IMPL_H
#define DROMOS_ACCESS_POLICY_IMPL_H

#include "lib/access/policy_client.h"
#include "lib/base/map.h"
#include "lib/net/stream.h"

struct policy_pool {
    const struct settings *settings;
    struct map servers; // text -> struct policy_server
};

struct policy_server {
    const struct settings *settings;
    char *name;      // "inet:host:port", or the path
    struct str host; // len 0: `addr` is all there is to know; else looked up for each connection
    uint16_t port;
    struct net_addr addr;
    int64_t timeout, max_idle, max_ttl, retry_delay; // seconds
    int64_t request_limit, try_limit;
    struct str default_action, policy_context;
    struct list kept; // struct policy_connection, the one used last first
    size_t kept_count;
    struct list waiting;    // struct policy_waiter, the oldest first
    struct co_timer *timer; // closes kept connections when their time has come
    struct arena arena;
};

// ---- Connections (policy_pool.c)
struct policy_connection {
    struct list link; // in `kept`
    struct stream *stream;
    int64_t since_ms, used_ms;
    int64_t requests;
};
struct policy_connection *policy_connection_take(struct policy_server *s); // a kept one that seems to work, or NULL
struct policy_connection *policy_connection_open(struct policy_server *s, int64_t deadline, struct err *err) CO;
void policy_connection_give_back(struct policy_server *s, struct policy_connection *c, bool works);
// A question on a new connection, until it is answered. Servers that take only so many connections at once may not see
// it before others are closed: when it has waited for a second, none are kept.
struct policy_waiter {
    struct list link; // initialised
    int64_t since_ms;
};
void policy_waiter_begin(struct policy_server *s, struct policy_waiter *w);
void policy_connections_free(struct policy_server *s);

// ---- Text of the protocol (policy_codec.c): pure.
#define POLICY_LINE_MAX  (64 * 1024) // an action may prepend a header
#define POLICY_LINES_MAX 1000
void policy_request_add(struct buf *out, const struct policy_server *s, const struct policy_question *question);
struct policy_reply {
    struct buf *action;
    bool has_action;
    unsigned lines;
};
// Takes the next line, without its end. 1 the reply is complete, 0 more lines must come, -1 malformed.
int policy_reply_add_line(struct policy_reply *r, struct raw line, struct err *err);

// ---- Configuration (policy_server.c)
struct policy_server *policy_server_parse(const struct settings *settings, struct str text, struct err *err);
void policy_server_free(struct policy_server *s);

#endif
