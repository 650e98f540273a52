// SPDX-License-Identifier: ISC
// interpose.c: loaded before libc into the daemons of a test instance: counts the system calls that change the queue,
// stops the process at one of them, or writes down what each of them changed. It can also set the wall clock.
//
// The control file is mapped by the test and by all processes. A call counts when its path begins with the name of a
// queue directory, or its descriptor was opened by such a path. When the count reaches stop_at the process kills itself
// in place of the call. With is_recording, calls run one at a time and are appended to the journal once they succeeded.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_BYTES = 64 << 20, FDS = 65536, NOT_OURS = 0, QUEUE_FILE = 1, QUEUE_DIRECTORY = 2 };

struct control {            // the test knows this layout
    _Atomic uint32_t count; // calls so far
    uint32_t stop_at;       // 0: never
    uint32_t is_recording;
    _Atomic uint32_t lock;
    _Atomic uint32_t stopped; // 1 once a process was stopped
    char where[252];          // "cleanup rename incoming/12.34 incoming/ABC"
    _Atomic uint64_t tail;    // bytes of the journal
    _Atomic int64_t clock;    // seconds that the wall clock is ahead
    unsigned char journal[];
};

static struct control *control;
static _Atomic unsigned char kinds[FDS];
static char directories[FDS][24]; // the paths of those that are directories

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DROMOS_TEST_CRASH");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *map = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        control = map == MAP_FAILED ? NULL : map;
        close(fd);
    }
}

#define NEXT(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

// Paths are relative to the queue directory, which all daemons and queue commands work in.
static int kind_of_path(const char *path)
{
    static const char *const queues[] = {"maildrop", "staging", "incoming", "active", "deferred", "hold",
                                         "corrupt",  "bounce",  "defer",    "trace",  "flush"};
    if (control == NULL || path == NULL)
        return NOT_OURS;
    size_t len = strcspn(path, "/");
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        if (strlen(queues[i]) == len && memcmp(path, queues[i], len) == 0)
            return path[len] == '/' ? QUEUE_FILE : QUEUE_DIRECTORY;
    return NOT_OURS;
}

static int kind_of_fd(int fd)
{
    return control != NULL && fd >= 0 && fd < FDS ? kinds[fd] : NOT_OURS;
}

// "incoming/ABC" for a name in a queue directory that is open.
enum { PATH_BYTES = 600 };
static const char *whole(int dirfd, const char *path, char buffer[PATH_BYTES])
{
    if (kind_of_fd(dirfd) != QUEUE_DIRECTORY || path == NULL || path[0] == '/')
        return path;
    snprintf(buffer, PATH_BYTES, "%s/%s", directories[dirfd], path);
    return buffer;
}

static void set_kind(int fd, int kind)
{
    if (fd >= 0 && fd < FDS)
        kinds[fd] = (unsigned char)kind;
}

// ---- Counting and stopping

static void lock(void)
{
    uint32_t open = 0;
    while (control->is_recording && !atomic_compare_exchange_weak(&control->lock, &open, 1)) {
        open = 0;
        usleep(50);
    }
}

static void unlock(void)
{
    if (control->is_recording)
        control->lock = 0;
}

static void point(const char *call, const char *path, const char *other)
{
    uint32_t number = ++control->count;
    if (number != control->stop_at)
        return;
    snprintf(control->where, sizeof control->where, "%s %s %s %s", program_invocation_short_name, call, path, other);
    control->stopped = 1;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

// ---- The journal

struct entry { // followed by path, other, data; the test knows this layout
    uint32_t size;
    uint32_t mode;
    uint64_t inode;
    int64_t offset;
    uint32_t data_len;
    uint16_t path_len, other_len;
    char call[16];
};

static void record(const char *call, const struct entry *given, const char *path, const char *other, const void *data)
{
    struct entry e = *given;
    if (!control->is_recording)
        return;
    e.path_len = (uint16_t)strlen(path);
    e.other_len = (uint16_t)strlen(other);
    e.size = (uint32_t)(sizeof e + e.path_len + e.other_len + e.data_len);
    snprintf(e.call, sizeof e.call, "%s", call);
    uint64_t at = control->tail;
    if (at + e.size > CONTROL_BYTES - sizeof *control)
        abort();
    unsigned char *out = control->journal + at;
    memcpy(out, &e, sizeof e);
    memcpy(out += sizeof e, path, e.path_len);
    memcpy(out += e.path_len, other, e.other_len);
    if (e.data_len)
        memcpy(out + e.other_len, data, e.data_len);
    control->tail = at + e.size;
}

static struct entry of_fd(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (struct entry){.inode = st.st_ino, .mode = st.st_mode} : (struct entry){0};
}

// ---- The clock

int clock_gettime(clockid_t id, struct timespec *now)
{
    int rc = NEXT(clock_gettime)(id, now);
    if (rc == 0 && control != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock;
    return rc;
}

// ---- Calls with paths

static int opened(int fd, int kind, int flags, const char *path)
{
    struct stat st;
    if (fd < 0 || kind == NOT_OURS)
        return fd;
    bool is_directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    set_kind(fd, is_directory ? QUEUE_DIRECTORY : QUEUE_FILE);
    if (is_directory && fd < FDS)
        snprintf(directories[fd], sizeof directories[fd], "%s", path);
    struct entry e = of_fd(fd);
    if ((flags & O_CREAT) && !is_directory)
        record("create", &e, path, "", NULL);
    return fd;
}

#define OPEN(path, flags, CALL)                                                                                        \
    int kind = kind_of_path(path);                                                                                     \
    bool counts = kind == QUEUE_FILE && (flags & O_CREAT);                                                             \
    if (counts) {                                                                                                      \
        lock();                                                                                                        \
        point("create", path, "");                                                                                     \
    }                                                                                                                  \
    int fd = opened(CALL, kind, flags, path), errnum = errno;                                                          \
    if (counts)                                                                                                        \
        unlock();                                                                                                      \
    errno = errnum;                                                                                                    \
    return fd

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    OPEN(path, flags, NEXT(open)(path, flags, mode));
}

int openat(int dirfd, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    char buffer[PATH_BYTES];
    const char *full = whole(dirfd, path, buffer);
    OPEN(full, flags, NEXT(openat)(dirfd, path, flags, mode));
}

int close(int fd)
{
    set_kind(fd, NOT_OURS);
    return NEXT(close)(fd);
}

// A call that changes a name: counted, made, and written down when it succeeded.
#define NAMED(name, path, other, mode_, offset_, CALL)                                                                 \
    if (kind_of_path(path) != QUEUE_FILE)                                                                              \
        return CALL;                                                                                                   \
    lock();                                                                                                            \
    point(name, path, other);                                                                                          \
    int rc = CALL, errnum = errno;                                                                                     \
    if (rc == 0)                                                                                                       \
        record(name, &(struct entry){.mode = (mode_), .offset = (offset_)}, path, other, NULL);                        \
    unlock();                                                                                                          \
    errno = errnum;                                                                                                    \
    return rc

int rename(const char *from, const char *to)
{
    NAMED("rename", from, to, 0, 0, NEXT(rename)(from, to));
}
int renameat(int dirfd, const char *from, int other, const char *to)
{
    char buffer[PATH_BYTES], more[PATH_BYTES];
    const char *old = whole(dirfd, from, buffer), *new = whole(other, to, more);
    NAMED("rename", old, new, 0, 0, NEXT(renameat)(dirfd, from, other, to));
}
int unlink(const char *path)
{
    NAMED("unlink", path, "", 0, 0, NEXT(unlink)(path));
}
int unlinkat(int dirfd, const char *path, int flags)
{
    char buffer[PATH_BYTES];
    const char *full = whole(dirfd, path, buffer);
    NAMED("unlink", full, "", 0, 0, NEXT(unlinkat)(dirfd, path, flags));
}
int mkdirat(int dirfd, const char *path, mode_t mode)
{
    NAMED("mkdir", path, "", mode, 0, NEXT(mkdirat)(dirfd, path, mode));
}
int chmod(const char *path, mode_t mode)
{
    NAMED("chmod", path, "", mode, 0, NEXT(chmod)(path, mode));
}
int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    char buffer[PATH_BYTES];
    const char *full = whole(dirfd, path, buffer);
    NAMED("chmod", full, "", mode, 0, NEXT(fchmodat)(dirfd, path, mode, flags));
}
int linkat(int dirfd, const char *from, int other, const char *to, int flags)
{
    NAMED("link", from, to, 0, 0, NEXT(linkat)(dirfd, from, other, to, flags));
}
int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    char buffer[PATH_BYTES];
    const char *full = whole(dirfd, path, buffer);
    NAMED("utimes", full, "", 0, times ? times[1].tv_sec : 0, NEXT(utimensat)(dirfd, path, times, flags));
}

// ---- Calls with descriptors

#define ON_FD(call, fd, CALL, RECORD)                                                                                  \
    if (kind_of_fd(fd) != QUEUE_FILE)                                                                                  \
        return CALL;                                                                                                   \
    lock();                                                                                                            \
    point(call, "", "");                                                                                               \
    __typeof__(CALL) rc = CALL;                                                                                        \
    int errnum = errno;                                                                                                \
    struct entry e = of_fd(fd);                                                                                        \
    if (rc >= 0) {                                                                                                     \
        RECORD;                                                                                                        \
    }                                                                                                                  \
    unlock();                                                                                                          \
    errno = errnum;                                                                                                    \
    return rc

ssize_t write(int fd, const void *data, size_t size)
{
    ON_FD("write", fd, NEXT(write)(fd, data, size), {
        e.offset = lseek(fd, 0, SEEK_CUR) - rc;
        e.data_len = (uint32_t)rc;
        record("write", &e, "", "", data);
    });
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ON_FD("pwrite", fd, NEXT(pwrite)(fd, data, size, offset), {
        e.offset = offset;
        e.data_len = (uint32_t)rc;
        record("write", &e, "", "", data);
    });
}
int ftruncate(int fd, off_t size)
{
    ON_FD("truncate", fd, NEXT(ftruncate)(fd, size), {
        e.offset = size;
        record("truncate", &e, "", "", NULL);
    });
}
int fchmod(int fd, mode_t mode)
{
    ON_FD("fchmod", fd, NEXT(fchmod)(fd, mode), record("fchmod", &e, "", "", NULL));
}
int fchown(int fd, uid_t uid, gid_t gid)
{
    ON_FD("fchown", fd, NEXT(fchown)(fd, uid, gid), (void)e);
}
int futimes(int fd, const struct timeval times[2])
{
    ON_FD("futimes", fd, NEXT(futimes)(fd, times), (void)e);
}
int fsync(int fd)
{
    int kind = kind_of_fd(fd);
    if (kind == NOT_OURS)
        return NEXT(fsync)(fd);
    point(kind == QUEUE_FILE ? "fsync" : "fsync-dir", "", "");
    int rc = NEXT(fsync)(fd);
    if (rc == 0) {
        lock();
        struct entry e = of_fd(fd);
        if (kind == QUEUE_FILE)
            record("fsync", &e, "", "", NULL);
        else
            record("fsync-dir", &e, directories[fd], "", NULL);
        unlock();
    }
    return rc;
}
