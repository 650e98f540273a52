// SPDX-License-Identifier: ISC
// mailbox.h: writing a message into a mailbox file or a Maildir, for local and virtual.
//
// Everything here blocks: for processes with one delivery at a time. The caller acts as the recipient (sys_act_as)
// around the calls, but for mailbox_append, which changes rights itself. Results are delivery reports: dsn, status and
// text filled, with texts in the arena; nothing is logged. Trust: the queue file may be garbage; mailboxes lie in
// directories of users.
#ifndef DROMOS_AGENT_MAILBOX_H
#define DROMOS_AGENT_MAILBOX_H

#include "lib/agent/agent.h"

// ---- The message: content is held in memory when it is small, else read again for each writing.
struct mailbox_content {
    int fd;
    int64_t data_offset;
    struct buf text; // all of it, or the first MAILBOX_CONTENT_HELD bytes: at least the header that is looked at
    bool is_whole;
};
#define MAILBOX_CONTENT_HELD (512 * 1024)
int mailbox_content_load(struct mailbox_content *c, int fd, int64_t data_offset,
                         struct err *err) MUST_CHECK; // fd is borrowed
void mailbox_content_release(struct mailbox_content *c);
// Is there a header "Delivered-To: ADDRESS" (case folded)? The first 1000 headers of that name are looked at.
bool mailbox_content_was_delivered_to(const struct mailbox_content *c, struct str address);

struct mailbox_message {
    const struct mailbox_content *content;
    struct str sender;       // internal form
    struct str original_to;  // X-Original-To, "" for none
    struct str delivered_to; // Delivered-To, "" for none
};

// ---- What does not change while the process lives.
enum mailbox_lock { MAILBOX_LOCK_FCNTL = 1, MAILBOX_LOCK_FLOCK = 2, MAILBOX_LOCK_DOTLOCK = 4 };
struct mailbox_writer {
    char host[256]; // as Maildir names want it: gethostname with '/' and ':' written in octal
    unsigned pid;
    unsigned locks;                                     // enum mailbox_lock
    int64_t lock_attempts, lock_delay, stale_lock_time; // seconds
    bool strict_ownership;
    int64_t size_limit; // 0: none
    struct buf out;     // kept between messages
    dev_t synced_dev;   // the file system that was asked last whether fsync covers names
    bool sync_covers_names;
};
int mailbox_writer_init(struct mailbox_writer *w, const struct settings *settings, struct str locks, int64_t size_limit,
                        struct err *err);
void mailbox_writer_release(struct mailbox_writer *w);

// A mailbox file and whose it is.
struct mailbox_file {
    const char *path;
    bool is_spool;    // in a spool directory, not in the owner's home
    const char *user; // for texts
    uid_t uid;
    gid_t gid;
};

// Delivers into the Maildir `path` (with or without the slash at its end), making it when it is missing. The caller
// acts as the owner.
void mailbox_deliver_maildir(struct mailbox_writer *w, const struct mailbox_message *m, const char *path,
                             struct arena *arena, struct delivery_report *report_r);
// Appends to a mailbox file. In a spool directory it is made with the rights that the directory asks for
// (world-writable: the owner; group-writable: the owner with the directory's group; else root, given to the owner);
// elsewhere as the owner. Returns with the rights that the caller had (root, or rootless).
void mailbox_append(struct mailbox_writer *w, const struct mailbox_message *m, const struct mailbox_file *file,
                    struct arena *arena, struct delivery_report *report_r);

// ---- For the two writers.
struct mailbox_out {
    struct mailbox_writer *writer;
    int fd;
    int64_t written; // bytes handed to the kernel
    int64_t limit;   // 0: none
    bool quotes_from;
    bool at_line_start;
};
// Headers and content; 0, or -1 with errno (EFBIG: over the limit; EBADMSG: the queue file is damaged).
int mailbox_write_message(struct mailbox_out *out, const struct mailbox_message *m, bool has_from_line);
// Fills a report from errno: 5.2.2 over quota or limit, 4.x when it may pass, else 5.2.0 as the traditional agents do.
void mailbox_report_errno(struct delivery_report *report_r, int errnum, struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void mailbox_report(struct delivery_report *report_r, enum delivery_status status, const char *dsn, struct str text);

#endif
