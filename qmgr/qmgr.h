// SPDX-License-Identifier: ISC
// qmgr.h: the queue manager's structures and the calls between its parts.
//
// One loop owns everything here. Functions without CO never suspend, so what they change together is consistent;
// functions with CO look messages up again (or hold them open) across a suspension.
//
//   qmgr_scan     directories are read: what waits, and until when  qmgr_load      what is due goes to the active queue
//   qmgr_active   a file or notice becomes a message                qmgr_message   messages
//   qmgr_assign   recipients are routed and become entries          qmgr_transport limits and life of transports
//   qmgr_destination  windows, feedback, dead destinations          qmgr_job       whose turn it is at a destination
//   qmgr_schedule which entry goes to which agent                   qmgr_deliver   requests and answers
//   qmgr_finish   deferral, notifications                           qmgr_remove    removal of files
// Pure, with tests of their own: qmgr_feedback, qmgr_slots, qmgr_due.
#ifndef DROMOS_QMGR_QMGR_H
#define DROMOS_QMGR_QMGR_H

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/ipc/arrival.h"
#include "lib/ipc/in_flow.h"
#include "lib/ipc/service.h"
#include "lib/mail/queue_file.h"
#include "lib/route/route.h"
#include "qmgr/qmgr_due.h"
#include "qmgr/qmgr_feedback.h"
#include "qmgr/qmgr_slots.h"

struct qmgr_transport;
struct qmgr_destination;
struct qmgr_agent;

// One directory that is scanned. Messages of incoming/ are taken up as they are seen; those of deferred/ enter the
// index (qmgr->due), from which they are taken up when their time has come.
struct qmgr_scan {
    const char *queue;
    struct co_event wanted;
    bool is_requested;
    bool ignores_times;   // trigger 'A': also what is not due
    bool distrusts_times; // the clock was set back: what seems to wait for long may have been deferred by the wrong
                          // clock
    int64_t next;         // monotonic: the next scan without being asked
    int64_t period;       // seconds
};

enum qmgr_due_mark {
    QMGR_DUE_INCOMING = 1, // the file is in incoming/, not in deferred/
    QMGR_DUE_ASKED = 2,    // whatever the file's time says
};

struct qmgr {
    struct service_context *ctx;
    const struct settings *settings;
    struct queue_layout layout;
    struct route *route, *probe_route; // the same, unless address_verify_* parameters say otherwise
    struct in_flow *in_flow;
    struct map messages;                 // active ones, by id
    struct map transports;               // by name
    size_t recipients;                   // held in memory
    size_t retried;                      // messages in memory that were deferred before
    size_t probes;                       // address verification probes in memory
    size_t dead;                         // destinations whose death is remembered
    struct co_event room;                // the active queue has room again
    bool new_mail_waits, old_mail_waits; // for room
    struct qmgr_scan incoming, deferred;
    struct qmgr_due due;         // all of deferred/, and what waits in incoming/
    struct co_event due_changed; // something is due earlier than what was looked at
    int64_t clock_offset;        // wall clock less monotonic, seconds: changes when the clock is set
    int64_t expires_from;        // monotonic: the clock was set far forward, no message is too old before that
    struct map process_limits;   // maxproc + 1 by the service's name
    struct list clients;         // connections that announce messages
    struct list chores;          // messages that wait for a worker (qmgr_finish.c)
    unsigned workers;
    struct list removals; // finished messages whose files are to be removed (qmgr_remove.c)
    unsigned removers;
    bool removes_at_once; // the queue is in memory: nothing waits for a disk
    unsigned outstanding; // requests at agents
    unsigned cpus;
    struct co_event stirred; // something began that the round each second looks after
    bool is_ready;           // recovery is over: notices are taken
    bool is_retiring;
};

// ---- Messages
struct qmgr_entry {    // recipients of one message for one destination: one request
    struct list link;  // job->entries, or unlinked while an agent has it
    struct list waits; // message->waiting while it is in a job
    struct qmgr_message *message;
    struct qmgr_destination *destination;
    struct qmgr_job *job; // the last one
    struct delivery_recipient *recipients;
    size_t count;
    unsigned batch;    // whose memory this is
    unsigned attempts; // agents that were lost while they had it
};

// What one message (one batch of its recipients) has to send to one destination. Lives with the batch.
struct qmgr_job {
    struct list link; // destination->jobs
    struct list entries;
    size_t left; // entries in the list
    size_t open; // and those that agents have
    struct qmgr_slots slots;
    int64_t since; // monotonic
};

#define QMGR_BATCHES 3
struct qmgr_message {
    struct qmgr *qmgr;
    struct list link; // qmgr->chores
    // The envelope and the first recipients are in batch 0. More recipients are read into one of the others when few
    // are left.
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
    int64_t refilled_at;           // monotonic; when recipients were read last
    size_t open;                   // entries that are not settled, plus one while recipients are being added
    struct list waiting;           // entries that no agent has
    size_t waiting_count;
    size_t recipients;                  // in memory
    size_t deferred;                    // recipients that must be tried again
    struct qmgr_transport *transport;   // of the recipients queued last
    struct qmgr_destination *parked_at; // referenced: it leaves the active queue until that one has room
    bool parked_beside_others;          // it has other destinations, which do not move either
    bool is_retried;                    // comes from deferred/
    bool is_probe;                      // counted in qmgr->probes
    bool is_refilling;                  // a worker is about to read more recipients
    bool has_bounced;                   // bounce/ holds entries that nobody was told about
    bool has_expired;
    bool has_trace; // trace/ holds entries
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
void qmgr_message_release(
    struct qmgr_message *m); // one entry less open; few recipients left: the next batch; none: the end
bool qmgr_message_is_expired(const struct qmgr_message *m);
bool qmgr_message_was_warned_about(const struct qmgr_message *m); // the sender was, and confirm_delay_cleared is set
void qmgr_message_log_from(const struct qmgr_message *m, const char *rest); // "QID: from=<...>REST"

// ---- Recipients on their way to destinations
struct qmgr_assignment {
    struct qmgr_message *message;
    unsigned batch; // in whose memory the recipients are
    struct delivery_recipient *recipients;
    size_t count;
    struct qmgr_destination **destinations; // of each recipient, referenced
};
void qmgr_assignment_route(struct qmgr_assignment *a) CO;
// When all destinations hold as much of the active queue as they may (qmgr_destination_is_full): the one that moved
// last, and whether there are several.
struct qmgr_destination *qmgr_assignment_full_at(const struct qmgr_assignment *a,
                                                 bool *several_r); // NULL: there is room
void qmgr_assignment_queue(struct qmgr_assignment *a);             // at the destinations; then it is released
void qmgr_assignment_release(struct qmgr_assignment *a);

// ---- The active queue
bool qmgr_active_has_room(const struct qmgr *q, bool for_deferred);
void qmgr_active_arrived(struct qmgr *q, const struct ipc_view *notice) CO;
// Reads QUEUE/ID and moves it to active/; or it waits until its destinations have room.
void qmgr_active_load(struct qmgr *q, const char *queue, struct str id) CO;
void qmgr_active_refill(struct qmgr_message *m) CO; // the next batch of recipients

bool qmgr_has_file(const struct qmgr *q, const char *queue, struct str id); // QUEUE/ID exists: a message or a log

// QUEUE/ID waits until the destination has room.
void qmgr_active_park(struct qmgr *q, struct str id, const char *queue, struct list *parked);

// ---- Scans and the index
// The turn of a coroutine that goes through many files: so many steps, or a few milliseconds when each of them waits
// for a cold disk.
struct qmgr_turn {
    unsigned steps;
    int64_t ends; // monotonic
};
int qmgr_turn_step(struct qmgr_turn *turn, unsigned steps_max) CO; // after each step: may let others run; -1: cancelled
void qmgr_scan_start(struct qmgr *q) CO; // recovery, then both scans and the loader as coroutines
void qmgr_scan_request(struct qmgr_scan *s, bool ignores_times);
int qmgr_scan_wait_for_room(struct qmgr *q, bool is_deferred) CO; // -1: the end is near
// The clock was set? What was deferred by the old one may seem to wait for ages, and mail older than it is.
void qmgr_watch_clock(struct qmgr *q);
void qmgr_load_main(void *arg); // the loader: takes up what is due
// QUEUE/ID is looked at when the wall clock says so. `is_asked`: whatever the file's time says.
void qmgr_load_at(struct qmgr *q, const char *queue, struct str id, int64_t when, bool is_asked);

// ---- Transports and agents
enum {
    QMGR_FRESH,
    QMGR_RETRIED,
    QMGR_CLASSES
}; // take turns, so that new mail does not wait behind all that is retried

struct qmgr_transport {
    struct qmgr *qmgr;
    struct str name;
    struct map destinations;         // by next hop (and recipient, when the recipient limit is 1)
    struct list ready[QMGR_CLASSES]; // destinations that may send now: with new mail, with others
    unsigned turn;                   // which of them is next
    struct list agents;
    struct qmgr_window_rules rules;
    struct qmgr_slot_rules slot_rules;
    unsigned recipient_limit;                // of one request
    size_t recipients_max, recipients_extra; // in memory
    size_t refill_limit;
    int64_t refill_delay_ms;
    int64_t rate_delay_ms;       // between deliveries to one destination
    int64_t total_rate_delay_ms; // between deliveries
    int64_t not_before;          // that delay, 0 none runs
    size_t recipients;           // in memory
    unsigned busy;               // requests at agents
    unsigned process_limit;      // deliveries that master lets run at once; 0 any number
    bool is_connecting;
    bool is_deferred;   // defer_transports
    unsigned failures;  // to reach an agent, one after the other
    int64_t dead_until; // monotonic, 0 alive
    bool is_given_up;   // dead for transport_retry_time: mail for it is deferred
};
struct qmgr_transport *qmgr_transport_find(struct qmgr *q, struct str name); // made when new
void qmgr_transport_run(struct qmgr_transport *t);                           // hands out what may go now
void qmgr_transport_failed(struct qmgr_transport *t, const char *reason, bool at_once);
void qmgr_transport_defer_all(struct qmgr_transport *t); // what waits for a transport that was given up
// Once a second: idle agents, paused and dead destinations. Milliseconds until something must be looked at.
int64_t qmgr_transport_tick(struct qmgr *q);
void qmgr_transport_delivered(struct qmgr_transport *t); // one request less at its agents
void qmgr_transport_free_all(struct qmgr *q);
void qmgr_transport_revive(struct qmgr *q);                      // trigger 'F'
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
    bool is_leaving; // finishes what it has, and takes no more
    int64_t idle_since;
};
void qmgr_agent_connect(struct qmgr_transport *t);                // starts the conversation with one more agent
void qmgr_agent_give(struct qmgr_agent *a, struct qmgr_entry *e); // needs a free slot

// ---- Destinations
struct qmgr_destination {
    struct qmgr_transport *transport;
    struct str key;     // borrowed from the map
    struct str nexthop; // owned
    struct list link;   // transport->ready
    int ready_as;       // the class in whose list it is, or -1
    struct list jobs[QMGR_CLASSES];
    unsigned turn; // the class that is next when both wait
    unsigned busy;
    unsigned references;     // entries, and recipients being routed
    size_t held, recipients; // jobs and recipients that it holds in memory, waiting or at agents
    // Members of qmgr->due: messages that are not read into memory while this one is full: those that have only this
    // one to go to, and those that may go on elsewhere when this one does not move.
    struct list parked[2];
    int64_t moved_at; // monotonic: its last success, or when it was made
    struct qmgr_window window;
    int64_t dead_until;            // monotonic, 0 alive
    int64_t not_before;            // rate delay
    int64_t warned_at;             // monotonic: of filling the active queue
    struct buf dead_text;          // "4.4.1 delivery temporarily suspended: ..."
    struct qmgr_agent *last_agent; // may be gone: compared with the list only
};
struct qmgr_destination *qmgr_destination_find(struct qmgr_transport *t, struct str nexthop,
                                               struct str recipient); // referenced
void qmgr_destination_unref(struct qmgr_destination *d);
void qmgr_destination_free(struct qmgr_destination *d); // at the end
void qmgr_destination_queue(struct qmgr_destination *d,
                            struct qmgr_job *job); // takes the job and its entries' references
struct qmgr_entry *qmgr_destination_take(struct qmgr_destination *d);
void qmgr_destination_left(struct qmgr_entry *e);            // the entry has no more to do with it; unreferenced
void qmgr_destination_delivered(struct qmgr_destination *d); // one request less at agents
void qmgr_destination_update(struct qmgr_destination *d);    // on or off transport->ready
void qmgr_destination_succeeded(struct qmgr_destination *d);
void qmgr_destination_failed(struct qmgr_destination *d, struct str dsn, struct str reason);
void qmgr_destination_tick(struct qmgr_destination *d, int64_t now);
void qmgr_destination_revive(struct qmgr_destination *d);
void qmgr_destination_flush_to_retry(struct qmgr_destination *d, struct str text); // all that waits is deferred
// It holds as many messages or recipients as are still free for all others: more of the active queue is not for it. So
// one destination takes half of the active queue at most, two take a third each, and room is left for others always.
bool qmgr_destination_is_full(const struct qmgr_destination *d);
bool qmgr_destination_has_waiting(const struct qmgr_destination *d);
bool qmgr_destination_is_moving(const struct qmgr_destination *d); // deliveries have succeeded lately, or it is new

// ---- Jobs
struct qmgr_job *qmgr_job_new(struct qmgr_message *m, unsigned batch);
void qmgr_job_add(struct qmgr_job *job, struct qmgr_entry *e);
struct qmgr_entry *qmgr_job_take(struct qmgr_job *job); // the next entry; the job leaves its list with the last
void qmgr_job_take_back(struct qmgr_job *job, struct qmgr_entry *e, struct list *jobs); // its turn is at once
void qmgr_job_drop(struct qmgr_entry *e);                                               // takes a waiting entry out
struct qmgr_job *qmgr_job_next(struct list *jobs,
                               const struct qmgr_slot_rules *rules); // whose turn it is; not for an empty list

// ---- Entries' ends
// statuses as in struct delivery_done; missing ones count as deferred.
void qmgr_entry_settled(struct qmgr_entry *e, struct str statuses);
void qmgr_entry_lost(struct qmgr_entry *e);                    // its agent went away: looks at the marks, tries again
void qmgr_job_to_retry(struct qmgr_job *job, struct str text); // "4.3.0 text": all deferred by the retry service
void qmgr_entry_close(struct qmgr_entry *e); // leaves destination and message; the message may end with it

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
