// SPDX-License-Identifier: ISC
// sys_filesystem.c: what a file system promises of fsync, and how ext4 places files.
// Trust: asks the kernel only.
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/sys/sys.h"

enum { DEVICE_PATH_MAX = 512 };

static unsigned long filesystem_type(int fd) // 0: unknown
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 ? (unsigned long)fs.f_type & 0xffffffffUL : 0;
}

bool sys_sync_is_instant(int dirfd)
{
    unsigned long type = filesystem_type(dirfd);
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

bool sys_sync_covers_names(int fd)
{
    switch (filesystem_type(fd)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC & 0xffffffffUL:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return true;
    default:
        return false;
    }
}

// The last part of the device's name, as /sys/fs/ext4 has it; NULL when it cannot be told.
static const char *device_name(int fd, char target[DEVICE_PATH_MAX])
{
    char link[64];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return NULL;
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    ssize_t len = readlink(link, target, DEVICE_PATH_MAX - 1);
    if (len <= 0)
        return NULL;
    target[len] = '\0';
    const char *slash = strrchr(target, '/');
    return slash != NULL ? slash + 1 : target;
}

bool sys_scans_freed_inodes(int fd)
{
    char device[DEVICE_PATH_MAX], path[DEVICE_PATH_MAX + 40], task[32];
    const char *name = filesystem_type(fd) == EXT4_SUPER_MAGIC ? device_name(fd, device) : NULL;
    if (name == NULL)
        return false;
    snprintf(path, sizeof path, "/sys/fs/ext4/%s/journal_task", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t len = read(file, task, sizeof task - 1);
    close(file);
    return len > 0 && task[0] == '<'; // "<none>": no process writes a journal
}

int sys_spread_subdirectories(int dirfd)
{
    int flags;
    if (ioctl(dirfd, FS_IOC_GETFLAGS, &flags) < 0)
        return -1;
    if (flags & FS_TOPDIR_FL)
        return 0;
    flags |= FS_TOPDIR_FL;
    return ioctl(dirfd, FS_IOC_SETFLAGS, &flags);
}
