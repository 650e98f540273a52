// SPDX-License-Identifier: ISC
// submit.h: giving a message to cleanup: used by smtpd, pickup, bounce and local (forwarding). One connection per
// message under way; idle connections are kept by the pool. A small message (envelope and content under 64 KiB) travels
// in one write and gets one answer.
//
// The receiver answers only when the queue file is durable. Suspends. Trust: cleanup does not trust these fields: it
// checks all.
#ifndef DROMOS_IPC_SUBMIT_H
#define DROMOS_IPC_SUBMIT_H

#include "lib/ipc/ipc.h"

struct submit_pool;                                           // per process
struct submit_pool *submit_pool_new(const char *socket_path); // "public/cleanup" ($cleanup_service_name)
void submit_pool_free(struct submit_pool *p);

struct submit_recipient {
    struct str address;   // internal form
    struct str dsn_orcpt; // "rfc822;..." or ""
    int notify;
};
struct submit_attr {
    const char *name; // as in queue files: "log_client_name", "client_address", "rewrite_context", "encoding" …
    struct str value;
};
enum submit_flags {
    SUBMIT_BOUNCE = 1,    // an internal notification (internal_mail_filter_classes decide on filters)
    SUBMIT_KEEP_TIME = 2, // arrival_us is given (requeued mail)
    SUBMIT_FILTER = 4,    // header and body checks apply
    SUBMIT_MAP = 8,       // canonical, virtual alias, masquerade and bcc maps apply
    SUBMIT_HOLD = 16,
    SUBMIT_DISCARD = 32,
    SUBMIT_EXTRACT = 64,      // also take recipients from the headers (sendmail -t)
    SUBMIT_ADD_MISSING = 128, // add missing Date, From, Message-Id, To (local context, or always_add_missing_headers)
};
struct submit_envelope {
    struct str sender; // internal form, "" null
    const struct submit_recipient *recipients;
    size_t recipient_count;
    const struct submit_attr *attrs;
    size_t attr_count;
    unsigned flags;
    int64_t arrival_us;     // when the client's MAIL came; 0: now
    struct str fullname;    // F record
    struct str envelope_id; // DSN ENVID, decoded
    struct str verp, filter, redirect;
    int ret_flags, trace_flags, sendopts;
    // The Received: header around the queue id, without final newline: before + QID + after. Both "" for none.
    struct str received_before, received_after;
    const struct str *prepended; // header lines above it
    size_t prepended_count;
    // A line that must stand in the log before cleanup's own: "TAG[PID]: QID: TEXT" is written by cleanup, who alone
    // knows the id in time (but see submit_open): "postfix/smtpd[123]", "client=host[addr]".
    struct str log_tag, log_text;
};
struct submit_result {
    int code;         // 250, or the SMTP reply code of the refusal: 451, 452, 552, 554, 550
    char status[12];  // "2.0.0", "4.3.1"
    char reason[512]; // refusal text: "Error: queue file write error"
    char queue_id[256];
};

struct submit; // one message under way
// `deadline` tells how long each wait for cleanup may take, counted anew from each call: a slow client does not use it
// up.
struct submit *submit_begin(struct submit_pool *p, const struct submit_envelope *e, int64_t deadline,
                            struct err *err) CO MUST_CHECK;
// Has cleanup make the queue file now, before its end is known, because its id is wanted: a round trip more, so only
// where somebody asks. 1: *queue_id_r borrows from s, and the submitter itself logs log_text with it; 0: cleanup
// refuses the message, as submit_finish will tell; -1: cleanup could not be reached: all that is left is submit_abort.
int submit_open(struct submit *s, struct str *queue_id_r, struct err *err) CO MUST_CHECK;
// After submit_open, before any text: recipients, prepended lines and the Received: header, which submit_begin was not
// given. -1: one of them is too long.
int submit_extend(struct submit *s, const struct submit_envelope *e, struct err *err) MUST_CHECK;
// LF-separated text, any chunking; long lines are fine. Buffered; waits when cleanup is slow.
int submit_write(struct submit *s, struct str text, struct err *err) CO MUST_CHECK;
// What was decided about the message since it was begun; sent with its end. At most once. Borrows until submit_finish.
struct submit_orders {
    unsigned flags;              // SUBMIT_HOLD, SUBMIT_DISCARD
    struct str filter, redirect; // in place of those of the envelope; "": none
    const struct str *bcc;       // blind copies, of which nobody is told (NOTIFY=NEVER)
    size_t bcc_count;
};
void submit_order(struct submit *s, const struct submit_orders *orders);
// Ends the message and waits for the verdict. 0: *result_r says what happened (code 250 or a refusal). -1: cleanup
// could not be reached or died: temporary, nothing is known to be stored. Frees s in any case.
int submit_finish(struct submit *s, struct submit_result *result_r, struct err *err) CO MUST_CHECK;
void submit_abort(struct submit *s); // the client went away: cleanup removes the file; frees s

#endif
