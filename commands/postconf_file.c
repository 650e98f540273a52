// SPDX-License-Identifier: ISC
// postconf_file.c: replaces main.cf or master.cf by its edited text.
//
// The work file (FILE.tmp) is locked while it is made, so that editors take turns; the old file stays whole until the
// rename.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postconf.h"
#include "lib/sys/sys.h"

#define FILE_MAX (16 * 1024 * 1024)

// Opens and locks the work file. Another editor may rename it away while we wait: then the name is tried again.
static int open_work_file(const char *path, struct err *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat by_fd, by_name;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_errno(err, "open %s", path);
        if (sys_flock(fd, SYS_LOCK_EXCLUSIVE, true) == 1 && fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 &&
            by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev)
            return fd;
        close(fd);
    }
    return err_set(err, ERR_TEMPORARY, "cannot lock %s: another program holds it", path);
}

static int write_work_file(int fd, const char *path, const struct buf *text, const struct stat *like, struct err *err)
{
    if (ftruncate(fd, 0) != 0 || sys_write_all(fd, text->ptr, text->len) != 0)
        return err_errno(err, "write %s", path);
    if ((geteuid() == 0 && fchown(fd, like->st_uid, like->st_gid) != 0) || fchmod(fd, like->st_mode & 07777) != 0)
        return err_errno(err, "set owner and mode of %s", path);
    if (fsync(fd) != 0)
        return err_errno(err, "write %s", path);
    return 0;
}

static void sync_directory(const char *path)
{
    struct buf dir = BUF_INIT;
    long slash = str_rfind(str_from(path), '/');
    buf_add(&dir, path, slash < 0 ? 0 : (size_t)slash);
    int fd = open(dir.len > 0 ? buf_cstr(&dir) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    buf_release(&dir);
}

static int new_text(const struct postconf_options *o, struct str old, struct buf *text, struct err *err)
{
    if (o->mode == POSTCONF_MAIN)
        return postconf_edit_text(old, o->edit, o->names, text, err);
    return postconf_edit_master_text(old, o, text, err);
}

static int replace_file(const struct postconf_options *o, const char *path, const char *work, struct err *err)
{
    struct buf old = BUF_INIT, text = BUF_INIT;
    struct stat st;
    int status = -1, fd = open_work_file(work, err);
    if (fd < 0)
        return -1;
    if (stat(path, &st) != 0)
        err_errno(err, "open %s", path);
    else if (sys_read_file(path, FILE_MAX, &old, err) == 0 && new_text(o, buf_str(&old), &text, err) == 0)
        status = write_work_file(fd, work, &text, &st, err);
    if (status == 0 && rename(work, path) != 0)
        status = err_errno(err, "rename %s to %s", work, path);
    if (status == 0)
        sync_directory(path);
    else
        (void)unlink(work);
    close(fd);
    buf_release(&old);
    buf_release(&text);
    return status;
}

int postconf_edit(const struct postconf_options *o, struct err *err)
{
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/%s", o->dir, o->mode == POSTCONF_MAIN ? "main.cf" : "master.cf");
    char *target = realpath(buf_cstr(&path), NULL); // a symbolic link stays one
    int status = -1;
    if (target == NULL) {
        err_errno(err, "open %s", buf_cstr(&path));
    } else {
        buf_clear(&path);
        buf_addf(&path, "%s.tmp", target);
        status = replace_file(o, target, buf_cstr(&path), err);
    }
    free(target);
    buf_release(&path);
    return status;
}
