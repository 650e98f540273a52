// SPDX-License-Identifier: ISC
// qmgr.h: the queue manager's structures and the calls between its parts.
//
// One loop owns everything here. Functions without CO never suspend, so what they change together is consistent;
// functions with CO look messages up again (or hold them open) across a suspension.
//
//   qmgr_scan     files in incoming/ and deferred/ that are due     qmgr_active    a file or notice becomes a message
//   qmgr_message  messages, their recipients, their entries         qmgr_transport agents and their connections
//   qmgr_destination  windows, feedback, dead destinations          qmgr_schedule  which entry goes to which agent
//   qmgr_deliver  requests and answers                              qmgr_finish    removal, deferral, notifications
#ifndef DROMOS_QMGR_QMGR_H
#define DROMOS_QMGR_QMGR_H

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/ipc/arrival.h"
#include "lib/ipc/service.h"
#include "lib/mail/queue_file.h"
#include "lib/route/route.h"
#include "qmgr/qmgr_feedback.h"

struct qmgr_transport;
struct qmgr_destination;
struct qmgr_agent;

// One directory that is scanned.
struct qmgr_scan {
    const char *queue;
    struct co_event wanted;
    bool is_requested;
    bool ignores_times;   // trigger 'A': also what is not due
    int64_t next;         // monotonic: the next scan without being asked
    unsigned period;      // seconds
};

struct qmgr {
    struct service_context *ctx;
    const struct settings *settings;
    struct queue_layout layout;
    struct route *route;
    struct map messages;   // active ones, by id
    struct map transports; // by name
    size_t recipients;     // held in memory
    struct co_event room;  // the active queue has room again
    struct qmgr_scan incoming, deferred;
    struct list clients;   // connections that announce messages
    struct list chores;    // messages that wait for a worker (qmgr_finish.c)
    unsigned workers;
    struct list removals;  // finished messages whose files are to be removed (qmgr_remove.c)
    unsigned removers;
    bool removes_at_once;  // the queue is in memory: nothing waits for a disk
    unsigned outstanding;  // requests at agents
    unsigned cpus;
    struct co_event stirred; // something began that the round each second looks after
    bool is_ready;         // recovery is over: notices are taken
    bool is_retiring;
};

// ---- Messages
struct qmgr_entry { // recipients of one message for one destination: one request
    struct list link; // destination->waiting, or unlinked while an agent has it
    struct qmgr_message *message;
    struct qmgr_destination *destination;
    struct qmgr_entry *sibling; // the message's next entry for the same destination: queued when this one has left
    struct delivery_recipient *recipients;
    size_t count;
    unsigned batch;    // whose memory this is
    unsigned attempts; // agents that were lost while they had it
};

#define QMGR_BATCHES 3
struct qmgr_message {
    struct qmgr *qmgr;
    struct list link; // qmgr->chores
    // The envelope and the first recipients are in batch 0. More recipients are read into one of the others when few are left.
    struct qmgr_batch {
        struct arena arena;
        size_t open; // entries
    } batches[QMGR_BATCHES];
    struct delivery_request request; // without recipients and nexthop
    int64_t warn_time, warn_offset;
    int trace_flags;
    int64_t trace_flags_offset;
    struct str filter, redirect, verp;
    int64_t next_recipient_offset; // more recipients are in the file from here on; 0 none
    size_t open;        // entries that are not settled, plus one while recipients are being added
    size_t recipients;  // in memory
    size_t deferred;    // recipients that must be tried again
    bool is_refilling;  // a worker is about to read more recipients
    bool has_bounced;   // bounce/ holds entries that nobody was told about
    bool has_expired;
    bool has_trace;     // trace/ holds entries
    bool is_forced_to_expire;
};

// What the notice says, or the file. The message is in qmgr->messages from then on. NULL: it is there already.
struct qmgr_message *qmgr_message_from_arrival(struct qmgr *q, const struct ipc_view *notice, struct arrival *arrival_r,
                                               struct err *err);
struct qmgr_message *qmgr_message_new(struct qmgr *q, struct str id);
void qmgr_message_free(struct qmgr_message *m); // takes it out of qmgr->messages
// Fills the message from its file's envelope.
void qmgr_message_set_envelope(struct qmgr_message *m, const struct queue_envelope *e);
struct delivery_recipient *qmgr_message_copy_recipients(struct arena *arena, const struct queue_envelope *e);
// Routes recipients (in the memory of that batch) and queues them at their destinations.
void qmgr_message_assign(struct qmgr_message *m, unsigned batch, struct delivery_recipient *recipients,
                         size_t count) CO;
void qmgr_message_release(struct qmgr_message *m); // one entry less open; few recipients left: the next batch; none: the end
bool qmgr_message_is_expired(const struct qmgr_message *m);
void qmgr_message_log_from(const struct qmgr_message *m, const char *rest); // "QID: from=<...>REST"

// ---- The active queue
bool qmgr_active_has_room(const struct qmgr *q, bool for_deferred);
void qmgr_active_arrived(struct qmgr *q, const struct ipc_view *notice) CO;
// Moves QUEUE/ID to active/ and reads it.
void qmgr_active_load(struct qmgr *q, const char *queue, struct str id) CO;
void qmgr_active_refill(struct qmgr_message *m) CO; // the next batch of recipients

// ---- Scans
void qmgr_scan_start(struct qmgr *q) CO; // recovery, then both scans as coroutines
void qmgr_scan_request(struct qmgr_scan *s, bool ignores_times);
void qmgr_scan_soon(struct qmgr_scan *s, int64_t seconds); // no later than that

// ---- Transports and agents
struct qmgr_transport {
    struct qmgr *qmgr;
    struct str name;
    struct map destinations;  // by next hop (and recipient, when the recipient limit is 1)
    struct list ready;        // destinations that may send now
    struct list agents;
    struct qmgr_window_rules rules;
    unsigned recipient_limit;
    int64_t rate_delay_ms;    // between deliveries to one destination
    bool is_connecting;
    bool is_deferred;         // defer_transports
    unsigned failures;        // to reach an agent, one after the other
    int64_t dead_until;       // monotonic, 0 alive
    bool is_given_up;         // dead for transport_retry_time: mail for it is deferred
};
struct qmgr_transport *qmgr_transport_find(struct qmgr *q, struct str name); // made when new
void qmgr_transport_run(struct qmgr_transport *t); // hands out what may go now
void qmgr_transport_failed(struct qmgr_transport *t, const char *reason, bool at_once);
void qmgr_transport_defer_all(struct qmgr_transport *t); // what waits for a transport that was given up
bool qmgr_transport_tick(struct qmgr *q); // once a second: idle agents, suspended and dead destinations. False: nothing is left to watch
void qmgr_transport_free_all(struct qmgr *q);
void qmgr_transport_revive(struct qmgr *q); // trigger 'F'
bool qmgr_transport_is_reporter(const struct qmgr_transport *t); // error and retry: they explain the others' failures

struct qmgr_agent {
    struct qmgr_transport *transport;
    struct list link;
    struct ipc_conn *conn;
    struct co *reader;
    struct qmgr_entry **slots; // by request id
    unsigned capacity, busy, next_slot;
    struct ipc_msg out; // requests to be sent
    struct co_event out_filled;
    unsigned references;
    bool is_closed;
    int64_t idle_since;
};
void qmgr_agent_connect(struct qmgr_transport *t); // starts the conversation with one more agent
void qmgr_agent_give(struct qmgr_agent *a, struct qmgr_entry *e); // needs a free slot

// ---- Destinations
struct qmgr_destination {
    struct qmgr_transport *transport;
    struct str key;     // borrowed from the map
    struct str nexthop; // owned
    struct list link;   // transport->ready
    bool is_ready;
    struct list waiting;
    unsigned busy;
    unsigned references; // entries, and recipients being routed
    struct qmgr_window window;
    int64_t dead_until; // monotonic, 0 alive
    int64_t not_before; // rate delay
    struct buf dead_text; // "4.4.1 delivery temporarily suspended: ..."
    struct qmgr_agent *last_agent; // may be gone: compared with the list only
};
struct qmgr_destination *qmgr_destination_find(struct qmgr_transport *t, struct str nexthop, struct str recipient); // referenced
void qmgr_destination_unref(struct qmgr_destination *d);
void qmgr_destination_free(struct qmgr_destination *d); // at the end
void qmgr_destination_queue(struct qmgr_destination *d, struct qmgr_entry *e, bool at_front); // takes the entry
struct qmgr_entry *qmgr_destination_take(struct qmgr_destination *d);
void qmgr_destination_update(struct qmgr_destination *d); // on or off transport->ready
void qmgr_destination_succeeded(struct qmgr_destination *d);
void qmgr_destination_failed(struct qmgr_destination *d, struct str dsn, struct str reason);
void qmgr_destination_tick(struct qmgr_destination *d, int64_t now);
void qmgr_destination_flush_to_retry(struct qmgr_destination *d, struct str text); // all that waits is deferred

// ---- Entries' ends
// statuses as in struct delivery_done; missing ones count as deferred.
void qmgr_entry_settled(struct qmgr_entry *e, struct str statuses);
void qmgr_entry_lost(struct qmgr_entry *e);                     // its agent went away: looks at the marks, tries again
void qmgr_entry_to_retry(struct qmgr_entry *e, struct str text); // "4.3.0 text": deferred by the retry service

// ---- Ends of messages
void qmgr_remove(struct qmgr_message *m); // unlinks active/ID, logs "removed", frees m
void qmgr_finish(struct qmgr_message *m);
void qmgr_chore_add(struct qmgr_message *m); // needs a coroutine: refill or notifications
bool qmgr_is_drained(const struct qmgr *q);
static inline bool qmgr_is_ending(const struct qmgr *q) // nothing new is begun
{
    return q->is_retiring || q->ctx->is_retiring;
}

#endif
