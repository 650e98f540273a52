// SPDX-License-Identifier: ISC
// bounce_client.h: requests to the bounce, defer and trace services. The services append to the per-message logs,
// durable before they answer, and write notifications. Services: "bounce", "defer", "trace" (private/).
//
// Each call is one request and one answer over a kept connection; the request says what and for which message.
#ifndef DROMOS_AGENT_BOUNCE_CLIENT_H
#define DROMOS_AGENT_BOUNCE_CLIENT_H

#include "lib/ipc/delivery.h"

// Appends one recipient's entry to bounce/ID, defer/ID or trace/ID: which = "bounce", "defer", "trace". -1: not
// recorded: the caller must defer instead of bounce, and must not mark the recipient done.
int bounce_client_append(const char *which, struct str queue_id, const struct delivery_recipient *rcpt,
                         const struct delivery_report *report, struct err *err) CO MUST_CHECK;

enum bounce_notice { BOUNCE_NOTICE_FAILURE, BOUNCE_NOTICE_DELAY, BOUNCE_NOTICE_SUCCESS, BOUNCE_NOTICE_VERIFY };
// Asks for the notification about a message (queue manager): read the log, compose, submit through cleanup, remove the
// log when done (failure and trace). 0 done (or nothing to send by the rules), -1 failed: try again later, keep the
// queue file.
struct bounce_flush {
    enum bounce_notice notice;
    struct str queue_name, queue_id, sender, envelope_id, encoding;
    int ret_flags, sendopts;
    int64_t arrival_s;
};
int bounce_client_flush(const struct bounce_flush *f, struct err *err) CO MUST_CHECK;
// Removes the log of that kind (a message was deleted or finished). Absent is fine.
int bounce_client_forget(const char *which, struct str queue_id, struct err *err) CO MUST_CHECK;

#endif
