// SPDX-License-Identifier: ISC
// sys_jail.c: chroot, seccomp and Landlock: what a process that reads hostile input can still ask of the kernel.
//
// The seccomp part is a list of refusals, not of permissions: libraries differ too much for the latter, and a process
// without root that cannot start a program, trace, mount or load anything has little left. Landlock closes the file
// system.
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "lib/sys/sys_internal.h"

int sys_chroot(const char *dir, struct err *err)
{
    if (sys_is_rootless())
        return 0;
    if (chroot(dir) < 0 || chdir("/") < 0)
        return err_errno(err, "chroot to %s", dir);
    return 0;
}

// ---- Landlock

enum {
    FS_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    FS_WRITE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
               LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
               LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
               LANDLOCK_ACCESS_FS_MAKE_SYM,
    FS_REFER = 1 << 13,    // ABI 2
    FS_TRUNCATE = 1 << 14, // ABI 3
    NET_BIND_TCP = 1 << 0, // ABI 4
};
// The kernel's struct as of ABI 4; shorter ones are told by size.
struct ruleset {
    uint64_t fs, net;
};

static int allow(int ruleset, const char *path, uint64_t rights, struct err *err)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : err_errno(err, "open %s", path);
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rights &=
            LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc < 0 ? err_errno(err, "landlock rule for %s", path) : 0;
}

static int restrict_files(unsigned flags, const char *const *read_dirs, const char *const *write_dirs, struct err *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (SYS_SANITIZED || abi < 1 ||
        (abi < 2 && (flags & JAIL_WRITE_FILES))) // ABI 1 forbids renaming between directories
        return 0;
    struct ruleset all = {.fs = FS_READ | FS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE};
    all.fs |= (abi >= 2 ? (uint64_t)FS_REFER : 0) | (abi >= 3 ? (uint64_t)FS_TRUNCATE : 0);
    if (abi >= 4 && !(flags & JAIL_NETWORK))
        all.net = NET_BIND_TCP;
    uint64_t reading = FS_READ | (flags & JAIL_EXEC ? (uint64_t)LANDLOCK_ACCESS_FS_EXECUTE : 0);
    size_t size = abi >= 4 ? sizeof all : sizeof all.fs;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0)
        return 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && read_dirs != NULL && read_dirs[i] != NULL; i++)
        rc = allow(ruleset, read_dirs[i], reading, err);
    for (size_t i = 0; rc == 0 && write_dirs != NULL && write_dirs[i] != NULL; i++)
        rc = allow(ruleset, write_dirs[i], reading | (all.fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE), err);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        rc = err_errno(err, "landlock");
    close(ruleset);
    return rc;
}

// ---- seccomp

/* long: table */
static const int refused[] = {
    SCMP_SYS(ptrace), // first: see SYS_SANITIZED
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(reboot),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(personality),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(syslog),
    SCMP_SYS(vhangup),
    SCMP_SYS(fanotify_init),
};

// Left are AF_UNIX 1, AF_INET 2, AF_INET6 10 and AF_NETLINK 16.
static int refuse_family(scmp_filter_ctx filter, enum scmp_compare how, unsigned family)
{
    struct scmp_arg_cmp test = {.arg = 0, .op = how, .datum_a = family, .datum_b = 0};
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &test);
}

static int add_refusals(scmp_filter_ctx filter, unsigned flags)
{
    uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
    for (size_t i = SYS_SANITIZED; i < sizeof refused / sizeof refused[0]; i++)
        seccomp_rule_add(filter, eperm, refused[i], 0); // fails for calls that this architecture has not
    if (!(flags & JAIL_EXEC) && (seccomp_rule_add(filter, eperm, SCMP_SYS(execve), 0) < 0 ||
                                 seccomp_rule_add(filter, eperm, SCMP_SYS(execveat), 0) < 0))
        return -1;
    int rc = refuse_family(filter, SCMP_CMP_GT, AF_NETLINK) | refuse_family(filter, SCMP_CMP_EQ, AF_UNSPEC);
    for (unsigned family = AF_INET + 1; family < AF_NETLINK; family++)
        if (family != AF_INET6)
            rc |= refuse_family(filter, SCMP_CMP_EQ, family);
    return rc < 0 ? -1 : 0;
}

static int restrict_calls(unsigned flags, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL)
        return err_set(err, ERR_TEMPORARY, "cannot make a seccomp filter");
    int rc = add_refusals(filter, flags);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    // A kernel or container without seccomp: less protection, but mail flows.
    if (rc == -EINVAL || rc == -ENOSYS || rc == -ECANCELED || rc == -EOPNOTSUPP)
        return 0;
    return rc < 0 ? err_set(err, ERR_TEMPORARY, "seccomp: %s", strerror(-rc)) : 0;
}

int sys_jail(unsigned flags, const char *const *read_dirs, const char *const *write_dirs, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, "no_new_privs");
    if (restrict_files(flags, read_dirs, write_dirs, err) < 0)
        return -1;
    return restrict_calls(flags, err);
}
