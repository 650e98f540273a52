// SPDX-License-Identifier: ISC
// queue_file.h: queue directories, ids, and reading of whole queue files: envelope, content, recipients. Facts:
// docs/queuefile.md.
//
// All paths are relative to the queue directory, which is the working directory of daemons (and "/" in a jail):
// functions take a directory descriptor. Blocking file I/O: small and local; fsync is the caller's affair (a pool job).
#ifndef DROMOS_MAIL_QUEUE_FILE_H
#define DROMOS_MAIL_QUEUE_FILE_H

#include <sys/stat.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_record.h"

#define QUEUE_ID_MAX   255
#define QUEUE_NAME_MAX 100
#define QUEUE_PATH_MAX 512

#define QUEUE_MAILDROP "maildrop"
#define QUEUE_INCOMING "incoming"
#define QUEUE_ACTIVE   "active"
#define QUEUE_DEFERRED "deferred"
#define QUEUE_HOLD     "hold"
#define QUEUE_CORRUPT  "corrupt"
#define QUEUE_BOUNCE   "bounce"
#define QUEUE_DEFER    "defer"
#define QUEUE_TRACE    "trace"

enum { QUEUE_MODE_READY = 0700, QUEUE_MODE_WRITING = 0600, QUEUE_MODE_CORRUPT = 0400 };

// Bits of sendopts, the last number of the size record.
enum queue_sendopt {
    QUEUE_SENDOPT_SMTPUTF8 = 1,
    QUEUE_SENDOPT_TLS_OPTIONAL = 16, // TLS-Required: no (RFC 8689 5)
    QUEUE_SENDOPT_REQUIRETLS = 32,   // MAIL ... REQUIRETLS (RFC 8689 3)
};

// How names become paths: hash_queue_names and hash_queue_depth.
struct queue_layout {
    struct str hash_names; // "deferred, defer"
    unsigned hash_depth;
    bool long_ids;  // enable_long_queue_ids
    bool is_staged; // files are begun below staging/
};
struct queue_layout queue_layout_of(struct str hash_names, int hash_depth, bool long_ids); // not staged

// staging/00 to staging/3f: where files are begun, by their time, on a file system on which one directory for all would
// be slow (sys_scans_freed_inodes). Nobody else need know of them: a file has its final name before anything is written
// to it.
#define QUEUE_STAGING "staging"
enum { QUEUE_STAGING_DIRS = 64 };
bool queue_is_staged(int queue_dirfd);

bool queue_id_is_valid(struct str id);
bool queue_id_is_long(struct str id);
// The id of the same time for a file that has another inode (restored, copied), appended: long when `id` is and may
// stay so.
void queue_id_add_for_inode(struct buf *b, struct str id, uint64_t inode, bool may_be_long);
unsigned char queue_hash_char(struct str id); // names the first hash directory
// "deferred/8/89654A94383" (NUL-terminated in buf_r). 0, or -1 for an invalid id.
int queue_path(const struct queue_layout *layout, const char *queue, struct str id, struct buf *path_r);

struct queue_new {
    const char *queue;
    mode_t mode;
    struct buf *id;     // result: the id; the caller's buffer
    int64_t created_us; // result: the time in it
};
// Creates QUEUE/USEC.PID (or staging/XX/USEC.PID, where that works) exclusively, learns the inode, renames it to its
// id. Returns the descriptor (O_RDWR), or -1.
int queue_file_create(int queue_dirfd, const struct queue_layout *layout, struct queue_new *made, struct err *err);
int queue_file_open(int queue_dirfd, const struct queue_layout *layout, const char *queue, struct str id, int flags,
                    struct err *err);
// Missing hash directories are created on demand. ENOENT of the source: 0 absent, 1 moved, -1 failed.
int queue_file_move(int queue_dirfd, const struct queue_layout *layout, struct str id, const char *from, const char *to,
                    struct err *err);
int queue_file_remove(int queue_dirfd, const struct queue_layout *layout, const char *queue, struct str id,
                      struct err *err); // 1, 0 absent, -1

// Scans a queue directory, hashed or not, without holding it in memory. Names that are no valid ids are skipped.
struct queue_scan;
struct queue_scan *queue_scan_open(int queue_dirfd, const char *queue, struct err *err);
// 1, 0 end, -1 (also at the end, when a hash directory could not be entered).
int queue_scan_next(struct queue_scan *s, struct str *id_r, struct err *err);
void queue_scan_add_path(const struct queue_scan *s, struct str id,
                         struct buf *path); // appends where the name just told lies: "deferred/8/ID"
// Moves the file of the last name to where the layout says, when it lies in another hash directory (hash_queue_depth
// was changed, a file was put there by hand). 1 moved, 0 in place or gone, -1.
int queue_scan_settle(struct queue_scan *s, const struct queue_layout *layout, struct str id, struct err *err);
int queue_scan_dirfd(
    const struct queue_scan *s); // the directory that holds the name just told, for calls without a long path
void queue_scan_close(struct queue_scan *s);
bool queue_is_empty(int queue_dirfd, const char *queue); // no file: also when it cannot be read

// ---- Reading
struct queue_recipient {
    struct str address;
    struct str original;  // O record, or ""
    struct str dsn_orcpt; // "rfc822;x@y" or ""
    int notify;           // 0 unspecified, 1 never, 2 success, 4 failure, 8 delay (sum)
    int64_t offset;       // of the R record: written 'D' when done
};
struct queue_attr {
    struct str name, value;
};
struct queue_envelope {
    struct str sender;
    int64_t arrival_s, arrival_us; // T record
    int64_t create_time;
    int64_t message_size, data_offset, content_length, recipient_count, qmgr_flags, sendopts; // C record
    int64_t warn_time, warn_offset; // W record: 0 none; offset of its payload
    struct str filter, redirect, verp, fullname, encoding, envelope_id;
    int ret_flags; // 0, 1 full, 2 headers
    int trace_flags;
    int64_t trace_flags_offset; // of the A record, 0 when none
    struct queue_attr
        *attrs; // the others, in order (log_client_name, client_address, sasl_username, rewrite_context …)
    size_t attr_count;
    struct queue_recipient *recipients; // not done ones only
    size_t recipient_count_read;
    int64_t next_recipient_offset; // where to go on when recipient_limit was reached; 0 when all were read
};
struct str queue_envelope_attr(const struct queue_envelope *e, const char *name); // "" when absent

// Reads envelope and extracted segments (pointer records followed, loops refused), skipping the content. Recipients
// beyond recipient_limit (0: all) are left for a later call with from_offset. 0; -1 with err PERMANENT when the file is
// corrupt (truncated, unknown types, no sender), TEMPORARY when it could not be read.
int queue_envelope_read(int fd, struct arena *arena, size_t recipient_limit, int64_t from_offset,
                        struct queue_envelope *envelope_r, struct err *err);
int queue_recipient_mark_done(int fd, int64_t offset, struct err *err); // overwrites R by D

// Content as lines. Bounded buffer; pointer records followed.
struct queue_reader;
struct queue_reader *queue_reader_open(int fd, int64_t data_offset, struct err *err); // borrows fd
// Next piece of content: *text_r borrows; *line_ended_r is false for a part of a long line (L). 1, 0 end of content, -1
// corrupt.
int queue_reader_next(struct queue_reader *r, struct str *text_r, bool *line_ended_r, struct err *err);
void queue_reader_close(struct queue_reader *r);

// Raw walk over every record in file order or following pointers (postcat, postsuper, pickup).
struct record_walk;
struct record_walk *record_walk_open(int fd, int64_t offset, bool follows_pointers, struct err *err);
int record_walk_next(struct record_walk *w, struct record *record_r,
                     struct err *err);                        // 1, 0 clean end of file, -1 malformed
void record_walk_seek(struct record_walk *w, int64_t offset); // the next record is the one at `offset`
int64_t record_walk_tell(const struct record_walk *w);
void record_walk_close(struct record_walk *w);

#endif
