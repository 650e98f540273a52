// SPDX-License-Identifier: ISC
// postqueue.h: the two ways of printing a queue listing.
#ifndef DROMOS_COMMANDS_POSTQUEUE_H
#define DROMOS_COMMANDS_POSTQUEUE_H

#include "lib/agent/queue_list.h"

struct postqueue_printer {
    bool is_json;
    bool has_long_ids;
    struct str null_name; // what the null sender is called
    struct buf out;
    struct buf last_reason;
    bool is_in_message, has_recipients;
    int64_t messages, bytes;
};
void postqueue_printer_init(struct postqueue_printer *p, bool is_json, bool has_long_ids, struct str null_name);
void postqueue_printer_release(struct postqueue_printer *p);
struct queue_list_sink postqueue_printer_sink(struct postqueue_printer *p);
int postqueue_printer_end(struct postqueue_printer *p); // the last message, and the totals. 0, -1 standard output failed

#endif
