// SPDX-License-Identifier: ISC
// flush.h: the parts of the flush service: its files and its requests to the queue manager.
#ifndef DROMOS_SERVICES_FLUSH_FLUSH_H
#define DROMOS_SERVICES_FLUSH_FLUSH_H

#include "lib/ipc/flush_client.h"
#include "lib/ipc/service.h"
#include "lib/mail/queue_file.h"
#include "lib/table/table.h"

struct flush_state {
    const struct settings *settings;
    struct queue_layout layout;
    struct match_list *domains; // fast_flush_domains
    char *qmgr_path;
    bool is_refreshing;
};

// ---- flush_file.c: one file for each site: flush/SITE holds a line for each message that was deferred; characters of
// the site that are no letter or digit stand as '_'. Files are locked while they are read or changed. Limits:
// FLUSH_FILE_MAX bytes are read.
#define FLUSH_FILE_MAX (16 * 1024 * 1024)
void flush_file_name(struct str site, struct buf *name_r);
// The id is in the file when this returns 0; once only.
int flush_file_add(const struct flush_state *st, struct str name, struct str id, struct err *err) MUST_CHECK;
// Takes all lines out. 1, 0 there is no such file, -1.
int flush_file_take(const struct flush_state *st, struct str name, struct buf *ids_r, struct err *err) MUST_CHECK;
// Has nothing been added (an empty file: been asked for) for so many seconds?
bool flush_file_is_idle(const struct flush_state *st, struct str name, int64_t seconds, bool *is_empty_r);
void flush_file_remove(const struct flush_state *st, struct str name);

#endif
