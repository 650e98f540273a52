// SPDX-License-Identifier: ISC
// queue_file.c: paths, creation, moves and removal of queue files.
// Trust: ids come from other daemons and commands; every path is built from a checked id.
#include "lib/mail/queue_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/queue_id.h"

enum { CREATE_TRIES = 1000, HASH_DEPTH_MAX = 10, DIR_MODE = 0700 };

struct queue_layout queue_layout_of(struct str hash_names, int hash_depth, bool long_ids)
{
    return (struct queue_layout){.hash_names = hash_names, .hash_depth = (unsigned)hash_depth, .long_ids = long_ids};
}

static bool queue_name_is_valid(const char *queue)
{
    struct str name = str_from(queue);
    return name.len > 0 && name.len <= QUEUE_NAME_MAX && queue_id_is_valid(name);
}

static bool is_hashed(const struct queue_layout *layout, const char *queue)
{
    struct str rest = layout->hash_names, name;
    if (layout->hash_depth == 0)
        return false;
    while (str_token(&rest, ", \t\r\n", &name))
        if (str_is(name, str_from(queue)))
            return true;
    return false;
}

int queue_path(const struct queue_layout *layout, const char *queue, struct str id, struct buf *path_r)
{
    char hash[QUEUE_HASH_MAX];
    buf_clear(path_r);
    if (!queue_id_is_valid(id) || !queue_name_is_valid(queue))
        return -1;
    buf_add_cstr(path_r, queue);
    buf_add_char(path_r, '/');
    if (is_hashed(layout, queue)) {
        queue_id_hash(id, hash);
        size_t len = strlen(hash);
        for (unsigned level = 0; level < layout->hash_depth && level < HASH_DEPTH_MAX; level++) {
            buf_add_char(path_r, level < len ? hash[level] : '_');
            buf_add_char(path_r, '/');
        }
    }
    buf_add_str(path_r, id);
    return path_r->len < QUEUE_PATH_MAX ? 0 : -1;
}

static int bad_id(struct err *err, struct str id)
{
    return err_set(err, ERR_PERMANENT, "invalid queue id \"" STR_FMT "\"", STR_ARG(str_slice(id, 0, 100)));
}

// Creates the hash directories of `path` ("deferred/8/…"); the queue directory itself must exist.
static int make_hash_dirs(int dirfd, const char *path)
{
    char dir[QUEUE_PATH_MAX];
    const char *slash = strchr(path, '/');
    while (slash != NULL && (slash = strchr(slash + 1, '/')) != NULL) {
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
        if (mkdirat(dirfd, dir, DIR_MODE) < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

// renameat that creates missing hash directories of the target. errno as renameat.
static int rename_making_dirs(int dirfd, const char *from, const char *to)
{
    if (renameat(dirfd, from, dirfd, to) == 0)
        return 0;
    const char *slash = strchr(to, '/');
    if (errno != ENOENT || slash == NULL || strchr(slash + 1, '/') == NULL)
        return -1;
    if (make_hash_dirs(dirfd, to) < 0)
        return -1;
    return renameat(dirfd, from, dirfd, to);
}

// ---- Creation

bool queue_is_staged(int queue_dirfd)
{
    struct stat st;
    return fstatat(queue_dirfd, QUEUE_STAGING "/00", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

// Exclusively, as DIR/USEC.PID; the name goes to path_r.
static int create_in(int dirfd, const char *dir, long micros, mode_t mode, char path_r[QUEUE_PATH_MAX])
{
    snprintf(path_r, QUEUE_PATH_MAX, "%s/%ld.%d", dir, micros, log_pid());
    return openat(dirfd, path_r, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
}

static int create_temporary(int dirfd, const struct queue_layout *layout, const struct queue_new *made,
                            char path_r[QUEUE_PATH_MAX])
{
    char staging[sizeof QUEUE_STAGING + 4];
    int fd = -1;
    for (int64_t attempt = 0; attempt < CREATE_TRIES; attempt++) {
        // The attempt is added so that a clock that stands still cannot give the same name twice.
        long micros = (long)((clock_wall_us() + attempt) % 1000000);
        snprintf(staging, sizeof staging, QUEUE_STAGING "/%02x", (unsigned)(micros % QUEUE_STAGING_DIRS));
        if (layout->is_staged)
            fd = create_in(dirfd, staging, micros, made->mode, path_r);
        // Of staging/ a part may be missing, or be somebody else's, after a copy or a restore.
        if (!layout->is_staged || (fd < 0 && (errno == ENOENT || errno == EACCES)))
            fd = create_in(dirfd, made->queue, micros, made->mode, path_r);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int queue_file_create(int queue_dirfd, const struct queue_layout *layout, struct queue_new *made, struct err *err)
{
    char temporary[QUEUE_PATH_MAX];
    struct buf path = BUF_INIT;
    struct stat st;
    if (!queue_name_is_valid(made->queue))
        return err_set(err, ERR_BUG, "invalid queue name");
    int fd = create_temporary(queue_dirfd, layout, made, temporary);
    if (fd < 0)
        return err_errno(err, "create file %s", temporary);
    buf_clear(made->id);
    int rc = fstat(fd, &st);
    if (rc == 0) {
        made->created_us = clock_wall_us();
        queue_id_add(made->id, layout->long_ids, made->created_us, (uint64_t)st.st_ino);
        rc = queue_path(layout, made->queue, buf_str(made->id), &path);
    }
    if (rc == 0)
        rc = rename_making_dirs(queue_dirfd, temporary, buf_cstr(&path));
    if (rc < 0) {
        err_errno(err, "name file %s", temporary);
        (void)unlinkat(queue_dirfd, temporary, 0);
        close(fd);
        fd = -1;
    }
    buf_release(&path);
    return fd;
}

int queue_file_open(int queue_dirfd, const struct queue_layout *layout, const char *queue, struct str id, int flags,
                    struct err *err)
{
    struct buf path = BUF_INIT;
    if (queue_path(layout, queue, id, &path) < 0) {
        buf_release(&path);
        return bad_id(err, id);
    }
    int fd = openat(queue_dirfd, buf_cstr(&path), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 && errno == ENOENT && (flags & O_CREAT) && make_hash_dirs(queue_dirfd, buf_cstr(&path)) == 0)
        fd = openat(queue_dirfd, buf_cstr(&path), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        err_errno(err, "open %s", buf_cstr(&path));
    buf_release(&path);
    return fd;
}

// ---- Moves and removal

int queue_rename(int queue_dirfd, const char *from, const char *to, struct err *err)
{
    if (rename_making_dirs(queue_dirfd, from, to) == 0)
        return 1;
    return errno == ENOENT ? 0 : err_errno(err, "rename %s to %s", from, to);
}

int queue_file_move(int queue_dirfd, const struct queue_layout *layout, struct str id, const char *from, const char *to,
                    struct err *err)
{
    struct buf old = BUF_INIT, new = BUF_INIT;
    int rc;
    if (queue_path(layout, from, id, &old) < 0 || queue_path(layout, to, id, &new) < 0)
        rc = bad_id(err, id);
    else
        rc = queue_rename(queue_dirfd, buf_cstr(&old), buf_cstr(&new), err);
    buf_release(&old);
    buf_release(&new);
    return rc;
}

int queue_file_remove(int queue_dirfd, const struct queue_layout *layout, const char *queue, struct str id,
                      struct err *err)
{
    struct buf path = BUF_INIT;
    int rc;
    if (queue_path(layout, queue, id, &path) < 0)
        rc = bad_id(err, id);
    else if (unlinkat(queue_dirfd, buf_cstr(&path), 0) == 0)
        rc = 1;
    else if (errno == ENOENT)
        rc = 0;
    else
        rc = err_errno(err, "remove %s", buf_cstr(&path));
    buf_release(&path);
    return rc;
}
