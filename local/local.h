// SPDX-License-Identifier: ISC
// local.h: the local delivery agent: aliases, mailboxes, forwarding.
//
// One request has its content loaded once. Each recipient is worked through as a tree of addresses: aliases branch,
// mailboxes and forwarded addresses are the leaves. Every leaf leaves a result; they are put together at the end,
// because the queue file knows one fate for each recipient.
#ifndef DROMOS_LOCAL_LOCAL_H
#define DROMOS_LOCAL_LOCAL_H

#include "lib/agent/agent.h"
#include "lib/agent/mailbox.h"
#include "lib/base/map.h"
#include "lib/ipc/service.h"
#include "lib/ipc/submit.h"
#include "lib/route/route.h"
#include "lib/sys/sys.h"

#define LOCAL_NESTING_MAX 100
#define LOCAL_TARGETS_MAX 50000 // leaves of one recipient

struct local { // the process
    struct service_context *ctx;
    const struct settings *settings;
    struct route *route;
    struct table_list *alias_maps, *mailbox_transport_maps, *fallback_transport_maps, *mailbox_command_maps;
    struct submit_pool *cleanup;
    struct mailbox_writer writer;
    struct sys_user *default_privs; // NULL: the user does not exist
};

struct local_result {
    struct str address;
    struct delivery_report report;
    bool is_passed; // another agent has logged and recorded it
    struct local_result *next;
};

// Addresses that leave in one new message.
struct local_forward {
    struct str sender;
    bool has_owner; // the sender is an alias owner: the original's delivery notices end here
    struct submit_recipient *recipients;
    size_t count, capacity;
    struct local_forward *next;
};

struct local_delivery { // one recipient of a request
    struct local *local;
    struct delivery *delivery;
    size_t recipient;
    struct arena *arena;
    const struct mailbox_content *content;
    struct str delivered_to;
    struct map seen; // addresses and mailboxes that were served
    struct local_result *results, **results_end;
    size_t result_count;
    struct local_forward *forwards;
};

// One address on the way from the recipient to its mailboxes.
struct local_address {
    struct str address;                // user+ext@domain
    struct str local, user, extension; // lower case; extension.ptr NULL without one
    unsigned level;
    const struct local_address *parent; // whose alias named this one
    struct str alias;                   // the name under which this address was found in alias_maps, or ""
    struct str owner;                   // sender for what is forwarded from here; .ptr NULL: the message's own
    bool skips_aliases;                 // written as \user
};

// The kinds of target in an alias value.
enum local_target_kind { LOCAL_TARGET_ADDRESS, LOCAL_TARGET_COMMAND, LOCAL_TARGET_FILE, LOCAL_TARGET_INCLUDE };
struct local_target {
    enum local_target_kind kind;
    struct str text; // internal address, command without |, path
    bool is_final;   // \user
};
struct local_targets { // an alias value being taken apart
    struct str rest;
    struct arena *arena;
    struct str *addresses; // of the item taken last
    size_t address_count;
};
int local_targets_next(struct local_targets *t, struct local_target *target_r,
                       struct err *err); // 1, 0 end, -1 malformed

void local_deliver(struct service_context *ctx, struct delivery *d); // the agent's work

// local_recipient.c
void local_deliver_address(struct local_delivery *l, struct local_address *a) CO;
void local_deliver_target(struct local_delivery *l, const struct local_address *from, struct str text,
                          bool is_final) CO;
// local_alias.c. 1: an alias was found and served; 0 none.
int local_deliver_alias(struct local_delivery *l, struct local_address *a) CO;
// local_mailbox.c
void local_deliver_mailbox(struct local_delivery *l, const struct local_address *a) CO;
void local_deliver_file(struct local_delivery *l, const struct local_address *a, struct str path,
                        const struct sys_user *user);
// local_fallback.c: the user is unknown.
void local_deliver_fallback(struct local_delivery *l, const struct local_address *a) CO;
// local_forward.c
void local_forward_add(struct local_delivery *l, const struct local_address *from, struct str address);
void local_forward_send(struct local_delivery *l) CO;
// local_transport.c: hands the address to another agent ("lmtp:unix:private/x").
void local_pass_to_transport(struct local_delivery *l, const struct local_address *a, struct str transport_nexthop) CO;
// local_result.c
struct delivery_report *local_result_add(struct local_delivery *l, struct str address); // relay and times filled
void local_result_set(struct local_delivery *l, struct str address, enum delivery_status status, const char *dsn,
                      struct str text);
void local_result_set_err(struct local_delivery *l, struct str address, const char *dsn, struct str text,
                          const struct err *err); // deferred; logs why
void local_result_settle(struct local_delivery *l) CO;

bool local_is_probe(const struct local_delivery *l);    // nothing is delivered, leaves say what would be
bool local_list_has(struct str list, const char *word); // "alias, forward"

#endif
