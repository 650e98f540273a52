// SPDX-License-Identifier: ISC
// queue_list.h: walking all queues for people: messages, recipients, and why they are still here.
//
// Used by showq, which streams the result to postqueue, and by postqueue itself when the mail system is down.
// Trust: queue files and logs may be garbage: what cannot be read is passed over. Memory: one message at a time; of a
// message with very many recipients LIST_RECIPIENTS_MAX are listed.
#ifndef DROMOS_AGENT_QUEUE_LIST_H
#define DROMOS_AGENT_QUEUE_LIST_H

#include "lib/base/map.h"
#include "lib/ipc/ipc.h"
#include "lib/mail/queue_file.h"

#define LIST_RECIPIENTS_MAX 50000

struct queue_list_message {
    struct str queue, id, sender; // sender "" is the null sender
    int64_t arrival_s, size;
    bool is_forced_to_expire;
};
struct queue_list_recipient {
    struct str original, address; // original may be ""
    struct str reason;            // "" unknown
    struct str reason_kind;       // "delay_reason", "bounce_reason" or ""
    struct str status;            // enhanced status code of the last attempt, or ""
};
// What the walk tells. Each returns 0 to go on, -1 to stop.
struct queue_list_sink {
    void *arg;
    int (*message)(void *arg, const struct queue_list_message *m);
    int (*recipient)(void *arg, const struct queue_list_recipient *r);
};
// maildrop, active, incoming, deferred, hold, in that order. 0; -1: the sink stopped, or a directory cannot be read.
int queue_list_walk(const struct queue_layout *layout, const struct queue_list_sink *sink, struct err *err);
// One queue, without a look at the logs: reasons and statuses stay empty.
int queue_list_envelopes(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue,
                         struct err *err);
// One message alone. 0 (also when it is not there, or damaged), -1 the sink stopped.
int queue_list_file(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue,
                    struct str id);

// ---- The walk in two halves, so that several threads can read files at once.

// The names, in the order of the walk. The queue directory is the working directory.
struct queue_list_names;
struct queue_list_names *queue_list_names_open(void);
int queue_list_names_next(struct queue_list_names *n, struct buf *path,
                          struct err *err); // appends "deferred/8/ID": 1, 0 end, -1
void queue_list_names_close(struct queue_list_names *n);

// What one file tells. A teller is one thread's at a time; `layout` and `sink` are borrowed.
struct queue_list_teller {
    const struct queue_layout *layout;
    const struct queue_list_sink *sink;
    struct arena arena; // reset for each message
    struct buf clean, log;
    // Addresses that a log spoke of: the first, and the others. Most messages have one.
    struct str told_first;
    struct map told;
    bool skips_logs, has_bounce_logs;
};
void queue_list_teller_init(struct queue_list_teller *t, const struct queue_layout *layout,
                            const struct queue_list_sink *sink);
int queue_list_teller_tell(struct queue_list_teller *t,
                           const char *path); // 0 (also when it is gone, or damaged), -1 the sink stopped
void queue_list_teller_release(struct queue_list_teller *t);

// ---- The frames between showq and postqueue: "message" with its first recipients, "more" with further ones, "end".
#define QUEUE_LIST_FRAME (64 * 1024) // a frame is ended when it has grown over this
void queue_list_add_message(struct ipc_msg *m, const struct queue_list_message *message); // begins a frame
void queue_list_add_more(struct ipc_msg *m);                                              // begins a frame
void queue_list_add_recipient(struct ipc_msg *m, const struct queue_list_recipient *r);
// Tells a received frame to the sink. 1 told, 0 "end", -1 malformed or stopped by the sink.
int queue_list_read(const struct ipc_view *view, const struct queue_list_sink *sink, struct err *err);

#endif
