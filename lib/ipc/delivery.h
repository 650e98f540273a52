// SPDX-License-Identifier: ISC
// delivery.h: the conversation between the queue manager and a delivery agent: the request, the report, their frames.
//
// On connecting, an agent sends "hello" with capacity=N: how many requests it takes at once on this connection (1 for
// agents that become the recipient, many for smtp). The queue manager sends "deliver" requests, each with its own id,
// and the agent answers each with "done": one status per recipient. The agent opens the file in active/, holds a shared
// flock on it while it works, writes 'D' over each recipient that needs no further attempt (delivered, or bounced and
// recorded in bounce/) before it answers, and appends deferred ones to defer/ (lib/agent does that for all agents). The
// queue manager deletes the file when no recipient is left. An agent that ends while deliveries are under way says
// "bye": the queue manager closes its side for writing and waits for their answers.
// Trust: both sides check every field.
#ifndef DROMOS_IPC_DELIVERY_H
#define DROMOS_IPC_DELIVERY_H

#include "lib/ipc/ipc.h"

#define DELIVERY_RECIPIENTS_MAX 5000 // per request

struct delivery_recipient {
    struct str address, original, dsn_orcpt;
    int notify;
    int64_t offset;
};
enum delivery_flags {
    DELIVERY_BOUNCE_ALL = 1,        // expired: bounce what cannot be delivered now
    DELIVERY_PROBE_MTA = 2,         // address verification probe: do not deliver
    DELIVERY_PROBE_USER = 4,        // sendmail -bv
    DELIVERY_RECORD = 8,            // sendmail -v: record and deliver
    DELIVERY_CACHE_CONNECTION = 16, // more mail for this destination waits: keep the connection
    DELIVERY_DEFER_ONLY = 32,
    DELIVERY_AFTER_WARNING =
        64, // the sender was warned of a delay and wants to know when it ends (confirm_delay_cleared)
};
struct delivery_request {
    unsigned flags;
    struct str queue_name, queue_id, nexthop, encoding, sender, envelope_id;
    int64_t data_offset, message_size;
    int ret_flags, sendopts;
    int64_t arrival_us; // message arrival: field A of delays= starts here
    int64_t active_us;  // entered the active queue
    int64_t request_us; // handed to the agent
    struct str client_name, client_address, client_port, protocol_name, helo_name, sasl_method, sasl_username,
        sasl_sender, log_ident, rewrite_context;
    const struct delivery_recipient *recipients;
    size_t recipient_count;
};
void delivery_request_add(struct ipc_msg *m, uint32_t id,
                          const struct delivery_request *r); // whole frame, but ipc_end is called too
int delivery_request_read(const struct ipc_view *v, struct arena *arena, struct delivery_request *r_r,
                          struct err *err); // copies into arena

enum delivery_status { DELIVERY_SENT, DELIVERY_DEFERRED, DELIVERY_BOUNCED };
// What an agent knows about one recipient's fate.
struct delivery_report {
    enum delivery_status status;
    struct str dsn;                  // "2.0.0"
    struct str text;                 // reason as in the log, without parentheses
    struct str relay;                // "host[addr]:25", "local", "none"
    struct str diag_type, diag_text; // "smtp", "550 5.1.1 …"
    struct str mta_name;             // remote MTA host, or ""
    int64_t connected_us, start_us;  // when connection set-up and transmission began (delays= C and D); 0: not reached
    unsigned connection_uses;        // conn_use= when above 1
    struct str tls;                  // tls=, or ""
    bool relays_dsn;                 // the next server took over NOTIFY
    const char *trace_text;          // what a report to the sender says instead of text; NULL: text
    const char *action;              // "delivered", "relayed", "expanded"; NULL: by status
};

// The "done" answer: per recipient, in the request's order, one status letter: 's' sent, 'd' deferred, 'b' bounced, 'e'
// bounced because the message has expired (deferred under DELIVERY_BOUNCE_ALL); and, when the destination as a whole
// failed, its enhanced status and reason (the queue manager's negative feedback).
#define DELIVERY_TEXT_MAX 1024
struct delivery_done {
    struct str statuses; // one letter per recipient
    struct str dead_dsn; // "" when the destination works
    struct str dead_reason;
};
void delivery_done_add(struct ipc_msg *m, uint32_t id, const struct delivery_done *done);        // whole frame
int delivery_done_read(const struct ipc_view *v, struct delivery_done *done_r, struct err *err); // borrows from v

#endif
