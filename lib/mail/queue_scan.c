// SPDX-License-Identifier: ISC
// queue_scan.c: walking a queue directory, hashed or not, one name at a time.
// Limits: SCAN_DEPTH levels of hash directories, each holding one descriptor.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"

enum { SCAN_DEPTH = 12 };

struct queue_scan {
    DIR *dirs[SCAN_DEPTH];
    unsigned depth; // directories open
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
    s->dirs[s->depth++] = dir;
    return s;
}

// A one-character name is a hash directory: goes into it. Vanished or odd ones are passed over.
static void descend(struct queue_scan *s, const char *name)
{
    if (s->depth == SCAN_DEPTH)
        return;
    DIR *dir = open_dir(dirfd(s->dirs[s->depth - 1]), name);
    if (dir != NULL)
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
    return 0;
}

void queue_scan_close(struct queue_scan *s)
{
    if (s == NULL)
        return;
    while (s->depth > 0)
        closedir(s->dirs[--s->depth]);
    mem_free(s);
}
