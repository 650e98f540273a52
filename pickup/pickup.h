// SPDX-License-Identifier: ISC
// pickup.h: reading a maildrop file into what is submitted to cleanup.
#ifndef DROMOS_PICKUP_H
#define DROMOS_PICKUP_H

#include <sys/stat.h>

#include "lib/conf/settings.h"
#include "lib/ipc/submit.h"

struct pickup_message {
    struct submit_envelope envelope; // strings and arrays live in the arena
    int64_t data_offset;             // of the first content record
    bool is_requeued;                // by postsuper -r: it has been through cleanup before
};
// Whether postsuper -r put the file there: postdrop's files belong to their senders.
bool pickup_is_requeued(const struct stat *st);
// Reads and checks envelope and extracted records of an open maildrop file. 0, without recipients when it was requeued
// and all of them are done; -1 with err PERMANENT when the file is malformed, TEMPORARY when it could not be read.
int pickup_message_read(int fd, const struct stat *st, struct arena *arena, struct pickup_message *m_r,
                        struct err *err);

#endif
