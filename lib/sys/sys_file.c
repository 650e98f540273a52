// SPDX-License-Identifier: ISC
// sys_file.c: files opened without being led astray, and small helpers around them.
// Trust: paths may lie in directories that others can write to.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/sys/sys.h"

// ---- Safe open

// A symbolic link is followed when root owns it and nobody but root can change its directory.
static bool is_roots_link(const char *path)
{
    struct stat st;
    struct str dir = str_from(path);
    long slash = str_rfind(dir, '/');
    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode) || st.st_uid != 0)
        return false;
    char *parent = slash < 0 ? mem_strdup(".") : mem_dup_str(str_slice(dir, 0, slash == 0 ? 1 : (size_t)slash));
    int rc = stat(parent, &st);
    mem_free(parent);
    return rc == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_existing(const struct sys_open *how)
{
    int flags = (how->flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(how->path, flags | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP) {
        if (is_roots_link(how->path))
            return open(how->path, flags);
        errno = ELOOP;
    }
    return fd;
}

static int open_new(const struct sys_open *how)
{
    int flags = (how->flags & ~O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(how->path, flags, how->mode);
    bool gives_away = how->uid != (uid_t)-1 || how->gid != (gid_t)-1;
    if (fd >= 0 && gives_away && !sys_is_rootless() && fchown(fd, how->uid, how->gid) < 0) {
        int saved = errno;
        unlink(how->path);
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int refuse(int fd, const char *path, const char *why, struct err *err)
{
    close(fd);
    return err_set(err, ERR_PERMANENT, "file %s %s", path, why);
}

int sys_safe_open(const struct sys_open *how, struct stat *st_r, struct err *err)
{
    bool must_create = (how->flags & O_CREAT) && (how->flags & O_EXCL);
    int fd = -1;
    for (int attempt = 0; attempt < 2 && fd < 0; attempt++) { // the file may come or go between the two calls
        if (!must_create)
            fd = open_existing(how);
        if (fd < 0 && (how->flags & O_CREAT) && (must_create || errno == ENOENT))
            fd = open_new(how);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return err_errno(err, "open %s", how->path);
    if (fstat(fd, st_r) < 0) {
        err_errno(err, "stat %s", how->path);
        close(fd);
        return -1;
    }
    if (!S_ISREG(st_r->st_mode))
        return refuse(fd, how->path, "is not a regular file", err);
    if (st_r->st_nlink != 1)
        return refuse(fd, how->path, "has more than one link", err);
    if (!(how->flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if ((how->flags & O_TRUNC) && st_r->st_size > 0 && ftruncate(fd, 0) < 0) {
        err_errno(err, "truncate %s", how->path);
        close(fd);
        return -1;
    }
    return fd;
}

// ---- Helpers

int sys_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            errno = ENOSPC;
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int sys_read_file(const char *path, size_t max, struct buf *content_r, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    struct stat st;
    size_t guess = fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size < max ? (size_t)st.st_size + 1 : 4096;
    int rc = 0;
    for (;;) {
        buf_reserve(content_r, guess);
        ssize_t n = read(fd, content_r->ptr + content_r->len, guess);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(err, "read %s", path);
        if (n <= 0)
            break;
        content_r->len += (size_t)n;
        content_r->ptr[content_r->len] = '\0';
        if (content_r->len > max) {
            rc = err_set(err, ERR_PERMANENT, "file %s is larger than %zu bytes", path, max);
            break;
        }
    }
    close(fd);
    return rc;
}

int sys_make_dir(const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err)
{
    struct stat st;
    if (mkdir(path, 0700) < 0) {
        if (errno != EEXIST)
            return err_errno(err, "create directory %s", path);
        if (stat(path, &st) < 0)
            return err_errno(err, "stat %s", path);
        return S_ISDIR(st.st_mode) ? 0 : err_set(err, ERR_PERMANENT, "%s is not a directory", path);
    }
    bool gives_away = uid != (uid_t)-1 || gid != (gid_t)-1;
    if (gives_away && !sys_is_rootless() && lchown(path, uid, gid) < 0)
        return err_errno(err, "change owner of %s", path);
    if (chmod(path, mode) < 0)
        return err_errno(err, "change mode of %s", path);
    return 0;
}

// A write lease is given to the only opener of a file.
int sys_has_other_openers(int fd)
{
#ifdef F_SETLEASE
    if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
        (void)!fcntl(fd, F_SETLEASE, F_UNLCK);
        return 0;
    }
    return errno == EAGAIN ? 1 : -1;
#else
    return -1;
#endif
}
