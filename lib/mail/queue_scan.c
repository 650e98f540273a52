// SPDX-License-Identifier: ISC
// queue_scan.c: walking a queue directory, hashed or not, one name at a time.
// Limits: SCAN_DEPTH levels of hash directories, each holding one descriptor.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"
#include "lib/mail/queue_id.h"

enum { SCAN_DEPTH = 12 };

struct queue_scan {
    int queue_dirfd;
    char queue[QUEUE_NAME_MAX + 1];
    char hash[SCAN_DEPTH]; // the names of the directories below the first
    DIR *dirs[SCAN_DEPTH];
    unsigned depth;     // directories open
    struct err trouble; // with a directory that could not be entered: told at the end
};

static DIR *open_dir(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        close(fd);
    return dir;
}

struct queue_scan *queue_scan_open(int queue_dirfd, const char *queue, struct err *err)
{
    DIR *dir = open_dir(queue_dirfd, queue);
    if (dir == NULL) {
        err_errno(err, "open directory %s", queue);
        return NULL;
    }
    struct queue_scan *s = MEM_NEW(struct queue_scan);
    s->queue_dirfd = queue_dirfd;
    snprintf(s->queue, sizeof s->queue, "%s", queue);
    s->dirs[s->depth++] = dir;
    return s;
}

// A one-character name is a hash directory: goes into it. What has vanished or is no directory is passed over.
static void descend(struct queue_scan *s, const char *name)
{
    if (s->depth == SCAN_DEPTH)
        return;
    DIR *dir = open_dir(dirfd(s->dirs[s->depth - 1]), name);
    if (dir == NULL) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && s->trouble.kind == ERR_NONE)
            (void)err_errno(&s->trouble, "open directory %s/.../%s", s->queue, name);
        return;
    }
    s->hash[s->depth] = name[0];
    s->dirs[s->depth++] = dir;
}

int queue_scan_next(struct queue_scan *s, struct str *id_r, struct err *err)
{
    while (s->depth > 0) {
        errno = 0;
        struct dirent *entry = readdir(s->dirs[s->depth - 1]);
        if (entry == NULL) {
            if (errno != 0)
                return err_errno(err, "read queue directory");
            closedir(s->dirs[--s->depth]);
            continue;
        }
        struct str name = str_from(entry->d_name);
        if (!queue_id_is_valid(name))
            continue;
        if (name.len == 1) {
            descend(s, entry->d_name);
            continue;
        }
        *id_r = name;
        return 1;
    }
    if (s->trouble.kind == ERR_NONE)
        return 0;
    *err = s->trouble;
    return -1;
}

void queue_scan_add_path(const struct queue_scan *s, struct str id, struct buf *path)
{
    buf_addf(path, "%s/", s->queue);
    for (unsigned level = 1; level < s->depth; level++)
        buf_addf(path, "%c/", s->hash[level]);
    buf_add_str(path, id);
}

int queue_scan_settle(struct queue_scan *s, const struct queue_layout *layout, struct str id, struct err *err)
{
    struct buf should = BUF_INIT, is = BUF_INIT;
    int rc = 0;
    queue_scan_add_path(s, id, &is);
    if (queue_path(layout, s->queue, id, &should) < 0 || str_is(buf_str(&should), buf_str(&is)))
        rc = 0;
    else if (faccessat(s->queue_dirfd, buf_cstr(&should), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = err_set(err, ERR_PERMANENT, "%s is in the way of %s", buf_cstr(&should), buf_cstr(&is));
    else
        rc = queue_rename(s->queue_dirfd, buf_cstr(&is), buf_cstr(&should), err);
    buf_release(&should);
    buf_release(&is);
    return rc;
}

int queue_scan_dirfd(const struct queue_scan *s)
{
    return dirfd(s->dirs[s->depth - 1]);
}

bool queue_is_empty(int queue_dirfd, const char *queue)
{
    struct str id;
    struct queue_scan *s = queue_scan_open(queue_dirfd, queue, NULL);
    bool is_empty = s == NULL || queue_scan_next(s, &id, NULL) != 1;
    queue_scan_close(s);
    return is_empty;
}

void queue_scan_close(struct queue_scan *s)
{
    if (s == NULL)
        return;
    while (s->depth > 0)
        closedir(s->dirs[--s->depth]);
    mem_free(s);
}
