// SPDX-License-Identifier: ISC
// bounce_log.h: the per-recipient text blocks of bounce/, defer/ and trace/ files. Pure codec. Facts:
// docs/queuefile.md.
#ifndef DROMOS_MAIL_BOUNCE_LOG_H
#define DROMOS_MAIL_BOUNCE_LOG_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct bounce_entry {
    struct str recipient, original_recipient, dsn_orcpt;
    int64_t offset;
    int notify;
    struct str status, action, diag_type, diag_text, mta_type, mta_name, reason;
};
int bounce_log_add(struct buf *b, const struct bounce_entry *e,
                   bool with_old_line) MUST_CHECK; // -1: control characters
// Parses the next block of a whole file's text; *rest advances. 1, 0 end; malformed lines are skipped; `is_defer`
// chooses defaults.
int bounce_log_next(struct str *rest, bool is_defer, struct arena *arena, struct bounce_entry *entry_r);

#endif
