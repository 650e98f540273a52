// SPDX-License-Identifier: ISC
// sys_lock.c: advisory locks and the pid lock files of master.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/sys/sys.h"

int sys_flock(int fd, enum sys_lock kind, bool waits)
{
    static const int operations[] = {
        [SYS_LOCK_SHARED] = LOCK_SH, [SYS_LOCK_EXCLUSIVE] = LOCK_EX, [SYS_LOCK_NONE] = LOCK_UN};
    while (flock(fd, operations[kind] | (waits ? 0 : LOCK_NB)) < 0) {
        if (errno == EWOULDBLOCK)
            return 0;
        if (errno != EINTR)
            return -1;
    }
    return 1;
}

int sys_fcntl_lock(int fd, enum sys_lock kind, bool waits)
{
    static const short types[] = {
        [SYS_LOCK_SHARED] = F_RDLCK, [SYS_LOCK_EXCLUSIVE] = F_WRLCK, [SYS_LOCK_NONE] = F_UNLCK};
    struct flock lock = {.l_type = types[kind], .l_whence = SEEK_SET};
    while (fcntl(fd, waits ? F_SETLKW : F_SETLK, &lock) < 0) {
        if (errno == EACCES || errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
    return 1;
}

static pid_t read_pid(int fd)
{
    char text[40];
    int64_t pid;
    ssize_t n = pread(fd, text, sizeof text, 0);
    if (n <= 0 || str_to_i64(str_trim(str_of(text, (size_t)n)), &pid) < 0 || pid < 1 || pid > INT32_MAX)
        return 0;
    return (pid_t)pid;
}

int sys_pid_lock(const char *path, struct err *err)
{
    struct stat st;
    struct sys_open how = {path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, (uid_t)-1, (gid_t)-1};
    int fd = sys_safe_open(&how, &st, err);
    if (fd < 0) {
        err_prefix(err, "open lock file %s", path);
        return -1;
    }
    int rc = sys_flock(fd, SYS_LOCK_EXCLUSIVE, false);
    if (rc != 1) {
        int saved = errno;
        pid_t holder = read_pid(fd);
        close(fd);
        return err_set(err, ERR_TEMPORARY, "open lock file %s: unable to set exclusive lock: %s (process %d holds it)",
                       path, strerror(rc == 0 ? EAGAIN : saved), (int)holder);
    }
    char text[40];
    int len = snprintf(text, sizeof text, "%32d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        err_errno(err, "write lock file %s", path);
        close(fd);
        return -1;
    }
    return fd;
}

int sys_pid_lock_test(const char *path, pid_t *pid_r)
{
    *pid_r = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int rc = sys_flock(fd, SYS_LOCK_EXCLUSIVE, false);
    if (rc == 0)
        *pid_r = read_pid(fd);
    close(fd);
    return rc < 0 ? -1 : !rc;
}
