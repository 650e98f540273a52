// SPDX-License-Identifier: ISC
// maildir.c: delivery into a Maildir: write under tmp/, rename into new/, then make both durable with one fsync.
//
// A journaling file system commits the rename together with the file. Elsewhere the directory is synced as well.
// Nothing is asked about the directories before they turn out to be missing.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/agent/mailbox.h"
#include "lib/sys/sys.h"

struct maildir {
    struct mailbox_writer *writer;
    struct arena *arena;
    const char *dir;       // without slash at the end
    const char *temporary; // path below tmp/
    int fd;
};

// Makes the directory and its parents as the owner. 0, -1 errno.
static int make_path(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST && errno != EACCES && errno != EROFS) {
            *slash = '/';
            return -1;
        }
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int make_directories(const struct maildir *d)
{
    static const char *const names[] = {"tmp", "new", "cur"};

    for (size_t i = 0; i < 3; i++) {
        struct str path = arena_strf(d->arena, "%s/%s", d->dir, names[i]);
        if (make_path((char *)(uintptr_t)path.ptr) < 0)
            return -1;
    }
    return 0;
}

static int open_temporary(struct maildir *d, int64_t seconds)
{
    d->temporary =
        arena_strf(d->arena, "%s/tmp/%lld.P%u.%s", d->dir, (long long)seconds, d->writer->pid, d->writer->host).ptr;
    d->fd = open(d->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return d->fd < 0 ? -1 : 0;
}

static int sync_new(const struct maildir *d)
{
    int fd = open(arena_strf(d->arena, "%s/new", d->dir).ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

static bool fsync_covers_names(struct mailbox_writer *w, int fd, dev_t dev)
{
    if (w->synced_dev != dev || dev == 0) {
        w->synced_dev = dev;
        w->sync_covers_names = sys_sync_covers_names(fd);
    }
    return w->sync_covers_names;
}

// tmp/x becomes new/y, durable. 0; -1 errno, with neither left behind.
static int publish(struct maildir *d, int64_t now_us)
{
    struct stat st;
    const char *final;
    int saved;

    if (fstat(d->fd, &st) < 0)
        return -1;
    final = arena_strf(d->arena, "%s/new/%lld.V%llxI%llxM%lld.%s", d->dir, (long long)(now_us / 1000000),
                       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)(now_us % 1000000),
                       d->writer->host)
                .ptr;
    if (rename(d->temporary, final) < 0 &&
        (errno != ENOENT || make_directories(d) < 0 || rename(d->temporary, final) < 0))
        return -1;
    if (fsync(d->fd) == 0 && (fsync_covers_names(d->writer, d->fd, st.st_dev) || sync_new(d) == 0))
        return 0;
    saved = errno;
    unlink(final);
    errno = saved;
    return -1;
}

static int deliver(struct maildir *d, const struct mailbox_message *m)
{
    struct mailbox_out out = {.writer = d->writer, .limit = d->writer->size_limit};
    int64_t now_us = clock_wall_us();
    int rc, saved;

    if (open_temporary(d, now_us / 1000000) < 0 &&
        (errno != ENOENT || make_directories(d) < 0 || open_temporary(d, now_us / 1000000) < 0))
        return -1;
    out.fd = d->fd;
    rc = mailbox_write_message(&out, m, false);
    if (rc == 0)
        rc = publish(d, now_us);
    saved = errno;
    close(d->fd);
    if (rc < 0)
        unlink(d->temporary);
    errno = saved;
    return rc;
}

void mailbox_deliver_maildir(struct mailbox_writer *w, const struct mailbox_message *m, const char *path,
                             struct arena *arena, struct delivery_report *report_r)
{
    struct str dir = str_from(path);
    struct maildir d = {.writer = w, .arena = arena, .fd = -1};

    while (dir.len > 1 && dir.ptr[dir.len - 1] == '/')
        dir.len--;
    d.dir = arena_cstr(arena, dir);
    if (deliver(&d, m) == 0)
        mailbox_report(report_r, DELIVERY_SENT, "2.0.0", STR("delivered to maildir"));
    else
        mailbox_report_errno(report_r, errno, arena, "maildir delivery failed: ");
}
