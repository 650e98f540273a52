// SPDX-License-Identifier: ISC
// queue_id.h: inside lib/mail: making queue ids and the directories they hash to.
#ifndef DROMOS_MAIL_QUEUE_ID_H
#define DROMOS_MAIL_QUEUE_ID_H

#include "lib/mail/queue_file.h"

// The id of the file with this inode at this time, appended.
void queue_id_add(struct buf *b, bool is_long, int64_t wall_us, uint64_t inode);
// The characters that name the hash directories: the id itself, or five hexadecimal digits of microseconds
// (NUL-terminated in hash_r).
#define QUEUE_HASH_MAX 16
void queue_id_hash(struct str id, char hash_r[QUEUE_HASH_MAX]);

// renameat that creates missing hash directories of the target. 1 moved, 0 absent, -1.
int queue_rename(int queue_dirfd, const char *from, const char *to, struct err *err);

#endif
