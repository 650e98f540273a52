// SPDX-License-Identifier: ISC
// mbox.c: appending to a mailbox file under the locks that mail readers use.
//
// Trust: the file lies where its owner, or anybody, can put links and special files: it is opened without following and
// checked after opening. On any error it gets its old length back.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/agent/mailbox.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

struct mbox {
    struct mailbox_writer *writer;
    const struct mailbox_file *file;
    const char *dotlock;
    bool is_dotlocked;
    int fd;
    struct stat st;
    struct arena *arena;
    struct delivery_report *report;
};

// Half to one and a half times the configured delay.
static void pause_between_attempts(const struct mailbox_writer *w)
{
    int64_t ms = w->lock_delay * 500 + (int64_t)arc4random_uniform((uint32_t)(w->lock_delay * 1000) + 1);
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void failed(struct mbox *b, int errnum)
{
    mailbox_report_errno(b->report, errnum, b->arena, "cannot update mailbox %s for user %s. ", b->file->path,
                         b->file->user);
}

static void failed_with(struct mbox *b, const char *dsn, const char *detail)
{
    struct str text =
        arena_strf(b->arena, "cannot update mailbox %s for user %s. %s", b->file->path, b->file->user, detail);
    mailbox_report(b->report, dsn[0] == '5' ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, dsn, text);
}

// ---- Locks

static bool dotlock_is_stale(const struct mbox *b)
{
    struct stat st;
    return stat(b->dotlock, &st) == 0 && st.st_ctime + b->writer->stale_lock_time < time(NULL);
}

static int take_dotlock(struct mbox *b)
{
    for (int64_t i = 0;; i++) {
        int fd = open(b->dotlock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
        if (fd >= 0) {
            close(fd);
            b->is_dotlocked = true;
            return 0;
        }
        if (errno != EEXIST)
            return -1;
        if (dotlock_is_stale(b) && unlink(b->dotlock) == 0)
            continue;
        if (i + 1 >= b->writer->lock_attempts)
            break;
        pause_between_attempts(b->writer);
    }
    errno = EAGAIN;
    return -1;
}

static int take_kernel_lock(struct mbox *b, int (*lock)(int, enum sys_lock, bool))
{
    for (int64_t i = 0;; i++) {
        int rc = lock(b->fd, SYS_LOCK_EXCLUSIVE, false);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        if (i + 1 >= b->writer->lock_attempts)
            break;
        pause_between_attempts(b->writer);
    }
    errno = EAGAIN;
    return -1;
}

static int take_locks(struct mbox *b)
{
    unsigned locks = b->writer->locks;

    if ((locks & MAILBOX_LOCK_FCNTL) && take_kernel_lock(b, sys_fcntl_lock) < 0)
        return -1;
    if ((locks & MAILBOX_LOCK_FLOCK) && take_kernel_lock(b, sys_flock) < 0)
        return -1;
    return 0;
}

// ---- Opening

// The rights to open (and lock) with.
static int take_rights(struct mbox *b, struct err *err)
{
    const struct mailbox_file *o = b->file;
    struct stat dir;
    const char *slash = strrchr(b->file->path, '/');
    char *name = mem_dup_str(slash > b->file->path ? str_of(b->file->path, (size_t)(slash - b->file->path)) : STR("/"));
    bool is_known = stat(name, &dir) == 0;

    mem_free(name);
    if (!b->file->is_spool || !is_known || (dir.st_mode & S_IWOTH))
        return sys_act_as(o->uid, o->gid, err);
    if (dir.st_mode & S_IWGRP)
        return sys_act_as(o->uid, dir.st_gid, err);
    return 0; // as root
}

static int check_file(struct mbox *b)
{
    if (b->writer->strict_ownership && b->st.st_uid != b->file->uid) {
        struct str text = arena_strf(b->arena, "destination %s is not owned by recipient", b->file->path);
        mailbox_report(b->report, DELIVERY_DEFERRED, "4.2.0", text);
        return -1;
    }
    return 0;
}

static int open_file(struct mbox *b)
{
    struct sys_open how = {b->file->path, O_WRONLY | O_APPEND | O_CREAT, 0600, (uid_t)-1, (gid_t)-1};
    struct err err = ERR_INIT;

    if (geteuid() == 0) { // a spool directory of root's: what is made is given to the owner
        how.uid = b->file->uid;
        how.gid = b->file->gid;
    }
    b->fd = sys_safe_open(&how, &b->st, &err);
    if (b->fd >= 0) {
        fstat(b->fd, &b->st);
        return 0;
    }
    if (err.errnum != 0)
        failed(b, err.errnum);
    else if (str_ends(str_from(err.text), STR("not a regular file")))
        mailbox_report(b->report, DELIVERY_BOUNCED, "5.2.0",
                       arena_strf(b->arena, "destination %s is not a regular file", b->file->path));
    else
        failed_with(b, "4.2.0", err.text);
    return -1;
}

// ---- Writing

// Signals must not come between a half-written message and its removal.
static int write_and_sync(struct mbox *b, const struct mailbox_message *m)
{
    struct mailbox_out out = {.writer = b->writer, .fd = b->fd, .quotes_from = true};
    off_t old_size;
    int saved;

    old_size = lseek(b->fd, 0, SEEK_END);
    if (old_size < 0)
        return -1;
    if (b->writer->size_limit > 0) {
        out.limit = b->writer->size_limit - old_size;
        if (out.limit <= 0) {
            errno = EFBIG;
            return -1;
        }
    }
    if (mailbox_write_message(&out, m, true) == 0 && fsync(b->fd) == 0)
        return 0;
    saved = errno;
    if (ftruncate(b->fd, old_size) < 0)
        log_warn("cannot restore the length of mailbox %s: %s", b->file->path, strerror(errno));
    errno = saved;
    return -1;
}

static bool covers_names(struct mbox *b)
{
    struct mailbox_writer *w = b->writer;
    if (w->synced_dev != b->st.st_dev) {
        w->synced_dev = b->st.st_dev;
        w->sync_covers_names = sys_sync_covers_names(b->fd);
    }
    return w->sync_covers_names;
}

static int sync_directory(const struct mbox *b)
{
    const char *slash = strrchr(b->file->path, '/');
    char *name = mem_dup_str(slash > b->file->path ? str_of(b->file->path, (size_t)(slash - b->file->path)) : STR("/"));
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    mem_free(name);
    return rc;
}

static void append_locked(struct mbox *b, const struct mailbox_message *m)
{
    struct err err = ERR_INIT;
    bool is_new;

    if (open_file(b) < 0)
        return;
    is_new = b->st.st_size == 0;
    if (take_locks(b) < 0)
        failed_with(b, "4.2.0", "unable to lock for exclusive access");
    else if (check_file(b) == 0) {
        if (sys_act_as(b->file->uid, b->file->gid, &err) < 0)
            failed_with(b, "4.3.0", err.text);
        else if (write_and_sync(b, m) < 0 || (is_new && !covers_names(b) && sync_directory(b) < 0))
            failed(b, errno);
        else
            mailbox_report(b->report, DELIVERY_SENT, "2.0.0", STR("delivered to mailbox"));
    }
    close(b->fd);
}

static void give_back_rights(void)
{
    if (!sys_is_rootless() && geteuid() != 0)
        sys_act_as_root();
}

void mailbox_append(struct mailbox_writer *w, const struct mailbox_message *m, const struct mailbox_file *file,
                    struct arena *arena, struct delivery_report *report_r)
{
    struct mbox b = {.writer = w, .file = file, .fd = -1, .arena = arena, .report = report_r};
    struct err err = ERR_INIT;

    b.dotlock = arena_strf(arena, "%s.lock", file->path).ptr;
    if (take_rights(&b, &err) < 0)
        failed_with(&b, "4.3.0", err.text);
    else if ((w->locks & MAILBOX_LOCK_DOTLOCK) && take_dotlock(&b) < 0)
        failed_with(&b, "4.2.0", errno == EAGAIN ? "unable to create lock file: file exists" : strerror(errno));
    else
        append_locked(&b, m);
    if (b.is_dotlocked) {
        give_back_rights();
        if (take_rights(&b, &err) < 0 || unlink(b.dotlock) < 0)
            log_warn("remove lock file %s: %s", b.dotlock, strerror(errno));
    }
    give_back_rights();
}
