// SPDX-License-Identifier: ISC
// agent.h: what every delivery agent shares: serving the queue manager, opening and locking the queue file, recording
// each recipient's fate once: status line, bounce/defer/trace entry, done mark.
//
// Trust: the queue manager's fields are checked by lib/ipc/delivery; the queue file may be garbage.
#ifndef DROMOS_AGENT_AGENT_H
#define DROMOS_AGENT_AGENT_H

#include "lib/conf/settings.h"
#include "lib/ipc/delivery.h"

// One request in an agent. delivery_begin opens and locks the file; delivery_settle logs the status line, records
// bounce/defer/trace entries and writes the mark for one recipient; delivery_end closes and answers.
struct delivery {
    struct delivery_request request;
    int fd; // the queue file, O_RDWR
    const struct settings *settings;
    struct arena *arena;
    unsigned char *settled; // per recipient: 0 open, else 1 + enum delivery_status
    struct str dead_reason; // set by delivery_destination_failed
    char dead_dsn[12];
    bool destination_failed; // the whole destination is unreachable: the queue manager's feedback
};
int delivery_begin(struct delivery *d, const struct settings *settings,
                   struct err *err) CO MUST_CHECK; // d->request, d->arena set by the caller
void delivery_settle(struct delivery *d, size_t recipient, const struct delivery_report *report) CO;
// All recipients that are still open get this report (connection failures and the like).
void delivery_settle_all(struct delivery *d, const struct delivery_report *report) CO;
// Records in trace/ what a recipient, or an address that it stands for, is to be reported as, if a report is wanted.
// -1: it is and could not be; logged.
int delivery_trace(struct delivery *d, const struct delivery_recipient *rcpt, const struct delivery_report *report) CO;
void delivery_destination_failed(struct delivery *d, struct str dsn,
                                 struct str reason); // "connect to …: refused": throttles the destination
void delivery_end(struct delivery *d, struct ipc_msg *answer,
                  uint32_t id); // fills the "done" frame (ends it); closes the file
// "to=<a>, orig_to=<b>, relay=…, delay=…, delays=a/b/c/d, dsn=…, status=sent (…)" without "QID: ".
void delivery_add_status_line(struct buf *b, const struct delivery *d, size_t recipient,
                              const struct delivery_report *report);

// The agent's loop: reads "deliver" requests from one queue-manager connection and runs each in a coroutine of its own
// (capacity > 1) or one after the other (capacity 1). fn settles every recipient; what it leaves open is deferred
// with 4.3.0 "unknown mail system error".
struct service_context;
struct service_client;
void delivery_serve(struct service_context *ctx, struct service_client *client, unsigned capacity,
                    void (*fn)(struct service_context *ctx, struct delivery *d)) CO;

#endif
