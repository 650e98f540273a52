// SPDX-License-Identifier: ISC
// arrival.h: cleanup tells the queue manager about a message that it has just committed to incoming/, so that the
// queue manager need not read the file. One way, no answer: a lost notice costs only time (the queue manager scans
// incoming/ at start, on trigger 'I' and at queue_run_delay), never mail. Sent after the file is durable, on a kept
// connection to public/qmgr.
#ifndef DROMOS_IPC_ARRIVAL_H
#define DROMOS_IPC_ARRIVAL_H

#include "lib/ipc/delivery.h"

#define ARRIVAL_RECIPIENTS_MAX 100 // messages with more recipients are announced without them and read from the file

struct arrival {
    // queue_name is "incoming" (or "hold": then no notice is sent). `request` carries everything about the message that
    // a delivery request needs but nexthop and times of handing over; recipients with their offsets, or none (read the
    // file).
    struct delivery_request request;
    int64_t warn_time, warn_offset, create_time;
    int trace_flags;
    int64_t trace_flags_offset;
    struct str filter, redirect, verp;
    bool has_trace; // trace/ holds what cleanup has to report: aliases that were expanded
    bool has_all_recipients;
};
void arrival_add(struct ipc_msg *m, const struct arrival *a); // whole frame, verb "arrived"
int arrival_read(const struct ipc_view *v, struct arena *arena, struct arrival *a_r,
                 struct err *err); // copies into arena

#endif
