// SPDX-License-Identifier: ISC
// postqueue.h: what the files of postqueue share: options, the listing and its printers, and requests for delivery.
#ifndef DROMOS_COMMANDS_POSTQUEUE_H
#define DROMOS_COMMANDS_POSTQUEUE_H

#include "lib/agent/queue_filter.h"
#include "lib/base/map.h"
#include "lib/conf/settings.h"

enum postqueue_top { POSTQUEUE_TOP_NONE, POSTQUEUE_TOP_DESTINATIONS, POSTQUEUE_TOP_SENDERS, POSTQUEUE_TOP_REASONS };

struct postqueue_options {
    char action; // f i j p s
    const char *argument;
    const char *dir;
    struct queue_filter filter;
    enum postqueue_top top;
    int64_t limit; // rows of --top
    bool counts, is_dry_run;
};

struct postqueue {
    struct arena arena;
    struct settings settings;
    struct postqueue_options options;
    struct err err;
    int result; // of what ran on the loop
};

// Runs a coroutine on a loop of its own; returns what it left in pq->result.
int postqueue_on_loop(void (*fn)(void *arg), struct postqueue *pq, void *arg);

// postqueue_list.c: tells the messages that the options choose, from showq, or from the files when the mail system is
// down. Dies when neither is possible.
void postqueue_list(struct postqueue *pq, const struct queue_list_sink *sink);
void postqueue_show(struct postqueue *pq); // -p, -j, --count, --top

// postqueue_flush.c: asks for delivery attempts; dies when the mail system is down.
void postqueue_flush_all(struct postqueue *pq);
void postqueue_flush_id(struct postqueue *pq);
void postqueue_flush_site(struct postqueue *pq);
void postqueue_flush_chosen(struct postqueue *pq); // -f with criteria

// ---- postqueue_print.c: the two ways of printing a listing
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
int postqueue_printer_end(
    struct postqueue_printer *p); // the last message, and the totals. 0, -1 standard output failed
// To standard output. 0, -1; when the reader is gone (a pipe into head) the process ends silently.
int postqueue_write(struct buf *out);

// ---- postqueue_top.c: who has most of the queue
struct postqueue_summary {
    enum postqueue_top top;
    struct str null_name;
    struct map groups; // struct group by name
    struct arena arena;
    int64_t message_number, arrival_s;
    struct group *sender; // of the message at hand
};
void postqueue_summary_init(struct postqueue_summary *s, enum postqueue_top top, struct str null_name);
struct queue_list_sink postqueue_summary_sink(struct postqueue_summary *s);
void postqueue_summary_print(struct postqueue_summary *s, int64_t limit, bool is_json, struct buf *out);
void postqueue_summary_release(struct postqueue_summary *s);

#endif
