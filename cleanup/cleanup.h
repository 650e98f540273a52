// SPDX-License-Identifier: ISC
// cleanup.h: the daemon that turns a submitted message into a queue file.
//
// One struct cleanup_message lives as long as its connection and is cleared between messages. The file is composed in
// `out`: a small message is written at once when it is complete; a large one is written piece by piece, its size record
// last.
#ifndef DROMOS_CLEANUP_H
#define DROMOS_CLEANUP_H

#include "lib/base/map.h"
#include "lib/ipc/arrival.h"
#include "lib/ipc/in_flow.h"
#include "lib/ipc/service.h"
#include "lib/ipc/submit.h"
#include "lib/mail/header.h"
#include "lib/mail/queue_file.h"
#include "lib/route/route.h"

struct cleanup_notices { // a connection that several messages share
    struct ipc_conn *conn;
    unsigned users; // the daemon's own reference counts
};

struct cleanup { // the daemon
    struct service_context *ctx;
    const struct settings *settings;
    struct route *route;
    struct table_list *canonical, *sender_canonical, *recipient_canonical, *virtual_alias, *sender_bcc, *recipient_bcc;
    struct match_list *masquerade_exceptions; // NULL: none
    struct queue_layout layout;
    int queue_dirfd;
    int incoming_dirfd; // synced too where a file's fsync does not commit its name
    bool syncs_directory;
    bool sync_is_instant; // fsync has nothing to do: no need for another thread
    struct in_flow *in_flow;
    struct cleanup_notices *notices; // the kept connection to the queue manager, or NULL
    struct buf queue_manager_path;
    int64_t next_warning; // clock_ms: about a queue manager that cannot be reached
};

enum cleanup_header_flags { // which headers were seen
    SEEN_DATE = 1,
    SEEN_FROM = 2,
    SEEN_MESSAGE_ID = 4,
    SEEN_TO = 8, // To, Cc or Bcc
    SEEN_RESENT = 16,
    SEEN_RESENT_DATE = 32,
    SEEN_RESENT_FROM = 64,
    SEEN_RESENT_MESSAGE_ID = 128,
    SEEN_RESENT_TO = 256,
    SEEN_REQUIRE_TLS = 512,
};

struct cleanup_recipients { // growing, in the message's arena
    struct submit_recipient *items;
    size_t count, room;
};

struct cleanup_message {
    struct cleanup *daemon;
    struct arena arena;
    struct submit_result result; // code 0 while all is well; the first failure stays

    // As submitted; texts live in the arena.
    struct str sender, fullname, envelope_id, verp, filter, late_filter, redirect, received_before, received_after,
        log_tag, log_text;
    struct queue_attr *attrs;
    size_t attr_count;
    struct str *prepended; // header lines above Received:
    size_t prepended_count;
    unsigned flags;
    int64_t arrival_us;
    int ret_flags, trace_flags, sendopts;
    bool is_local; // rewrite_context
    bool has_logged;

    // The file.
    int fd; // -1: none
    const char *queue;
    struct buf id;
    struct buf out;
    int64_t written; // bytes of `out` that went to the file and out of `out`
    int64_t created_us, warn_time, warn_offset, trace_offset, data_offset, content_end;

    // Recipients that were written; the first ARRIVAL_RECIPIENTS_MAX are remembered for the queue manager.
    struct delivery_recipient *recipients;
    size_t recipient_count;
    struct map seen_recipients;
    bool has_trace; // trace/ holds reports on aliases
    int notify_seen;
    struct cleanup_recipients bcc;             // found on the way, written behind the content
    bool adds_bcc;                             // a blind copy has no blind copies
    struct cleanup_recipients from_headers[2]; // plain, resent

    // Content.
    bool has_content, in_body, in_line, is_first_line, skips_line;
    struct header_scan scan;
    struct buf line; // begun in an earlier piece of text
    struct buf scratch;
    unsigned headers_seen;
    unsigned hop_count;
    int64_t content_bytes;
    struct str message_id, resent_message_id, encoding;
};

// cleanup_message.c: life of a message
void cleanup_message_init(struct cleanup_message *m, struct cleanup *daemon);
void cleanup_drop_file(struct cleanup_message *m);     // a file that is not to be committed goes
void cleanup_message_clear(struct cleanup_message *m); // removes a file that was not committed
void cleanup_message_release(struct cleanup_message *m);
// Refuses the message; the first refusal stays. `reason` is the reply text.
void cleanup_refuse(struct cleanup_message *m, int code, const char *status, const char *reason);
void cleanup_refuse_write(struct cleanup_message *m, const char *what); // by errno; logs a warning
// warning: QID: TEXT, after the submitter's own line.
void cleanup_warn(struct cleanup_message *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool cleanup_is_good(const struct cleanup_message *m)
{
    return m->result.code == 0;
}
static inline bool cleanup_is_probe(const struct cleanup_message *m)
{
    return (m->trace_flags & 256) != 0; // of the verify service
}
int64_t cleanup_offset(const struct cleanup_message *m);     // in the file, of what is added to `out` next
void cleanup_flush(struct cleanup_message *m, size_t above); // writes `out` when it holds more than that

// cleanup_envelope.c: from the first frame to the envelope records
void cleanup_take_envelope(struct cleanup_message *m, const struct ipc_view *v) CO; // creates the file
void cleanup_take_more(struct cleanup_message *m,
                       const struct ipc_view *v) CO; // of a later frame: lines above the content, recipients
void cleanup_take_orders(struct cleanup_message *m, const struct ipc_view *v); // of the last frame

// cleanup_map.c
// Rewrites, maps and expands a recipient, and writes what comes of it.
void cleanup_add_recipient(struct cleanup_message *m, const struct submit_recipient *r) CO;
void cleanup_add_bcc(struct cleanup_message *m, struct str addresses); // a blind copy to each
void cleanup_find_bcc(struct cleanup_message *m) CO;                   // always_bcc and sender_bcc_maps
void cleanup_add_collected(struct cleanup_message *m) CO;              // the recipients of bcc and from_headers
struct str cleanup_map_sender(struct cleanup_message *m, struct str sender) CO;
// An address in a header after rewriting and canonical mapping; the address itself when nothing applies.
struct str cleanup_map_header_address(struct cleanup_message *m, struct str address, bool is_recipient) CO;
void cleanup_remember(struct cleanup_message *m, struct cleanup_recipients *list, const struct submit_recipient *r);

// cleanup_masquerade.c: masquerade_domains; the address itself when nothing applies
struct str cleanup_masquerade(struct cleanup_message *m, struct str address) CO;

// cleanup_body.c and cleanup_headers.c
void cleanup_begin_content(struct cleanup_message *m) CO;
void cleanup_take_text(struct cleanup_message *m, struct str text) CO;
void cleanup_end_content(struct cleanup_message *m) CO;
void cleanup_header(struct cleanup_message *m, struct str header) CO; // one logical header, folded lines joined by LF
void cleanup_header_end(struct cleanup_message *m) CO;                // adds what is missing
void cleanup_put_lines(struct cleanup_message *m, struct str lines);  // content: whole lines, without the last LF

// cleanup_commit.c: finishes, writes and syncs the file; m->result says what became of it
void cleanup_commit(struct cleanup_message *m) CO;

// cleanup_probe.c: reports the outcome of a probe of an alias for several addresses
void cleanup_end_probe(struct cleanup_message *m) CO;

// cleanup_arrival.c: tells the queue manager
void cleanup_announce(struct cleanup_message *m) CO;
void cleanup_notices_close(struct cleanup *d);

// cleanup_session.c: one client connection
void cleanup_serve(struct service_context *ctx, struct service_client *client);

#endif
