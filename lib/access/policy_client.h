// SPDX-License-Identifier: ISC
// policy_client.h: asking policy servers (check_policy_service): the delegation protocol of "name=value" lines.
//
// All sessions of a process share the connections to a server. A question has its connection to itself until it is
// answered, so a slow answer delays nobody else; connections that are not in use are kept, KEPT_MAX of them, within the
// limits of smtpd_policy_service_max_idle, _max_ttl and _request_limit, and as long as no question waits for the server
// to take a new one.
// Trust: the server is hostile: its answer is bounded and checked, the action in it is the caller's to judge. Facts
// from clients go out without control characters. Suspends: policy_ask.
#ifndef DROMOS_ACCESS_POLICY_CLIENT_H
#define DROMOS_ACCESS_POLICY_CLIENT_H

#include "lib/co/co.h"
#include "lib/conf/settings.h"

struct policy_pool;                                                   // one per process
struct policy_pool *policy_pool_new(const struct settings *settings); // which must live longer
void policy_pool_free(struct policy_pool *p);                         // NULL is fine; nobody may be asking

// One server with its limits, made before the jail. `text` is the argument of check_policy_service: "inet:host:port",
// "unix:path" (relative to the queue directory), or "{ endpoint, name=value, { name = value } }" with timeout,
// default_action, policy_context, max_idle, max_ttl, request_limit, try_limit, retry_delay. Equal texts give the same
// server; it belongs to the pool. NULL: malformed.
struct policy_server;
struct policy_server *policy_server_open(struct policy_pool *p, struct str text, struct err *err);
// What logs call it: "inet:127.0.0.1:10023" or "private/policy".
struct str policy_server_name(const struct policy_server *s);

// What is told, in the order of the protocol, between "request" and "policy_context", which are added here. Values of
// any bytes; an absent one is "".
struct policy_attribute {
    const char *name;
    struct str value;
};
struct policy_question {
    const struct policy_attribute *attributes;
    size_t count;
};
// The action as in access(5), appended to *action_r (cleared first). When the server cannot be asked after all tries,
// which is logged, that is its default action, and 0 is returned; 1 when it has answered. -1: cancelled.
int policy_ask(struct policy_server *s, const struct policy_question *question, struct buf *action_r,
               struct err *err) CO MUST_CHECK;

#endif
