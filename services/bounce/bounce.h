// SPDX-License-Identifier: ISC
// bounce.h: the parts of the service that keeps per-message logs and writes notifications.
#ifndef DROMOS_BOUNCE_BOUNCE_H
#define DROMOS_BOUNCE_BOUNCE_H

#include "lib/agent/bounce_client.h"
#include "lib/agent/bounce_template.h"
#include "lib/ipc/flush_client.h"
#include "lib/ipc/service.h"
#include "lib/ipc/submit.h"
#include "lib/mail/bounce_log.h"
#include "lib/mail/queue_file.h"
#include "lib/table/table.h"

// ---- Logs (bounce_log_file.c)
// Appends one block to WHICH/ID; bounce and trace entries are on stable storage when this returns 0.
int bounce_file_append(const struct queue_layout *layout, const char *which, struct str id, struct str block,
                       struct err *err) CO MUST_CHECK;
// The whole text of WHICH/ID. 1, 0 there is none, -1.
int bounce_file_read(const struct queue_layout *layout, const char *which, struct str id, struct buf *text_r,
                     struct err *err) MUST_CHECK;

// ---- State of the process
struct bounce_state {
    const struct settings *settings;
    struct queue_layout layout;
    struct submit_pool *pool;
    struct bounce_templates templates;
    struct arena arena;
    struct flush_client *flush;
    struct match_list *flush_domains; // fast_flush_domains
    int64_t flush_dead_until;         // clock_ms: the service did not answer
};

// ---- Notifications
// One notification to be written: who gets it is decided (bounce_notice.c), how it looks is bounce_compose.c.
struct bounce_mail {
    const struct bounce_flush *flush;
    const struct bounce_template *text;
    const struct bounce_entry *entries;
    size_t entry_count;
    struct str sender, recipient; // of the notification
    bool is_for_postmaster;
    bool has_whole_message; // else headers only
};
// Composes and submits. 0 and the new queue id, or -1.
int bounce_mail_send(struct bounce_state *state, const struct bounce_mail *mail, struct buf *new_id_r,
                     struct err *err) CO MUST_CHECK;
// The whole request: read the log, decide, send, remove the log.
int bounce_notify(struct bounce_state *state, const struct bounce_flush *flush, struct err *err) CO MUST_CHECK;

// Appends text wrapped at 79 columns, continuation lines indented by 4. For tests.
void bounce_add_wrapped(struct buf *b, struct str text);
// The parts before the returned message, for tests: text part and delivery report.
void bounce_add_report(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                       struct str boundary);

#endif
