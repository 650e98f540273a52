// SPDX-License-Identifier: ISC
// sys.h: processes, privileges, jails, locks and safe files: everything that asks something special of the kernel.
#ifndef DROMOS_SYS_SYS_H
#define DROMOS_SYS_SYS_H

#include <sys/stat.h>
#include <sys/types.h>

#include "lib/base/err.h"

// ---- Identity
struct sys_user {
    uid_t uid;
    gid_t gid;
    char name[64];
    char home[256];
    char shell[256];
};
int sys_user_by_name(struct str name, struct sys_user *user_r,
                     struct err *err); // 1 found, 0 absent, -1 lookup failed (temporary)
int sys_user_by_uid(uid_t uid, struct sys_user *user_r, struct err *err);
int sys_group_by_name(struct str name, gid_t *gid_r, struct err *err); // 1, 0, -1
bool sys_is_rootless(void); // effective user is not root: no identity is ever changed
// Permanently becomes the user with exactly its primary group; verifies that root cannot come back. Rootless: 0 at
// once.
int sys_become(const struct sys_user *user, struct err *err) MUST_CHECK;
// The same with the groups found before (before a chroot hides the group file), for who opens files and sockets by
// group.
#define SYS_GROUPS_MAX 64
struct sys_groups {
    gid_t ids[SYS_GROUPS_MAX];
    int count;
};
int sys_groups_of(const struct sys_user *user, struct sys_groups *groups_r, struct err *err);
int sys_become_with_groups(const struct sys_user *user, const struct sys_groups *groups, struct err *err) MUST_CHECK;
// Temporarily acts as uid/gid (effective ids and groups), for delivery agents with one coroutine; sys_act_as_root
// returns.
int sys_act_as(uid_t uid, gid_t gid, struct err *err) MUST_CHECK;
void sys_act_as_root(void); // die() if impossible

// ---- Jails. Call order: open what is needed, sys_chroot (root only), sys_become, sys_jail.
int sys_chroot(const char *dir, struct err *err) MUST_CHECK;
enum sys_jail_flags {
    JAIL_NETWORK = 1,     // may connect to and accept from the network
    JAIL_WRITE_FILES = 2, // may create, write, rename, unlink below the directories given
    JAIL_EXEC = 4,        // may start programs (never set for what parses network input)
};
// seccomp and Landlock where the kernel has them; silently less where it has not. read_dirs/write_dirs end with NULL
// and are opened before; everything else of the file system becomes unreachable (Landlock), execve is refused
// (seccomp).
int sys_jail(unsigned flags, const char *const *read_dirs, const char *const *write_dirs, struct err *err) MUST_CHECK;
void sys_no_core(void); // no core files, not dumpable

// ---- Processes
// posix_spawn with an explicit descriptor table: fds[i] becomes descriptor first_fd+i; 0,1,2 are /dev/null unless
// inherited.
struct sys_spawn {
    const char *path;
    const char *const *argv; // ends with NULL
    const char *const *envp; // ends with NULL
    const int *fds;
    unsigned fd_count;
    int first_fd;
    bool keeps_stdio;
    bool new_session;
};
int sys_spawn(const struct sys_spawn *how, pid_t *pid_r, struct err *err) MUST_CHECK;
// Runs a program (looked up in PATH) with this process's environment and waits. Its exit status; 1 when it could not
// start or died.
int sys_run(const char *path, const char *const *argv);
unsigned sys_cpu_count(void);              // CPUs this process may use, at least 1
int sys_raise_fd_limit(unsigned *limit_r); // soft limit up to the hard one
int sys_notify(const char *state);         // sd_notify: $NOTIFY_SOCKET, "READY=1"; 0 when there is none

// ---- Locks. flock(2) excludes between open files, also within a process.
enum sys_lock { SYS_LOCK_SHARED, SYS_LOCK_EXCLUSIVE, SYS_LOCK_NONE };
int sys_flock(int fd, enum sys_lock kind, bool waits); // 1 locked, 0 held by another (waits false), -1 errno
int sys_fcntl_lock(int fd, enum sys_lock kind, bool waits);
// A pid lock file as master and postfix use it: creates, locks, writes the pid right-aligned in 32 characters +
// newline.
int sys_pid_lock(const char *path, struct err *err);   // descriptor; -1: err says who holds it
int sys_pid_lock_test(const char *path, pid_t *pid_r); // 1 held (pid), 0 free, -1 error

// ---- Files
// Opens a regular file for somebody else's purposes: no symbolic link at the end (but root-owned ones in root-owned
// directories), no FIFO, no device, one link, owner and mode checked after open by the caller through *st_r.
// flags as open(2) (O_CREAT included), mode for new files; uid/gid (-1: unchanged) own a new file.
struct sys_open {
    const char *path;
    int flags;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};
int sys_safe_open(const struct sys_open *how, struct stat *st_r, struct err *err);
int sys_write_all(int fd, const void *data, size_t len); // regular files and pipes, blocking; 0 or -1 errno
int sys_read_file(const char *path, size_t max, struct buf *content_r,
                  struct err *err); // whole file; larger than max: error
int sys_make_dir(const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err); // exact mode; existing is fine
// fsync of a file on this file system also makes durable its creation and renames before (journaling file systems
// commit them together); else the directory needs an fsync of its own.
bool sys_sync_covers_names(int fd);
// Whether other descriptors of the file are open, here or in any process. 1, 0, -1 unknown here. The file must be this
// process's user's own.
int sys_has_other_openers(int fd);
bool sys_sync_is_instant(int dirfd); // tmpfs and ramfs: fsync has nothing to do, so it need not leave the thread
// ext4 without a journal does not use an inode again for a minute or more after it was freed, and looks at each such
// inode of the directory's block group before it gives a new one: where files come and go fast, creating one takes
// longer than all else. Subdirectories in groups of their own share the burden. Reads /sys: to be asked before a jail.
bool sys_scans_freed_inodes(int fd);
int sys_spread_subdirectories(
    int dirfd); // subdirectories made from now on lie in block groups of their own (ext2, ext3, ext4). 0, or -1 errno

#endif
