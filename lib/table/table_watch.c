// SPDX-License-Identifier: ISC
// table_watch.c: notices that a file was changed or replaced, also from inside a jail.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

#define CHECK_INTERVAL_MS 1000

// Of the process: the first source that changed out of reach, and the files that match lists were read from.
static struct {
    char *changed_name;
    struct table_watch *files;
    size_t file_count;
    int64_t next_check;
} process;

void table_watch_init(struct table_watch *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str dir = slash == NULL ? STR(".") : slash == path ? STR("/") : str_of(path, (size_t)(slash - path));
    char *dir_path = mem_dup_str(dir);

    *w = (struct table_watch){.path = mem_strdup(path), .base = mem_strdup(slash ? slash + 1 : path)};
    w->dirfd = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    mem_free(dir_path);
}

void table_watch_release(struct table_watch *w)
{
    if (w->dirfd >= 0)
        close(w->dirfd);
    mem_free(w->path);
    mem_free(w->base);
    *w = (struct table_watch){.dirfd = -1};
}

static bool watch_stat(const struct table_watch *w, struct table_watch *now_r)
{
    struct stat st;

    *now_r = *w;
    now_r->exists = fstatat(w->dirfd, w->base, &st, 0) == 0;
    if (!now_r->exists)
        return errno == ENOENT;
    now_r->dev = st.st_dev;
    now_r->ino = st.st_ino;
    now_r->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    now_r->size = st.st_size;
    now_r->uid = st.st_uid;
    return true;
}

void table_watch_take(struct table_watch *w)
{
    struct table_watch now;
    watch_stat(w, &now);
    *w = now;
}

bool table_watch_has_changed(const struct table_watch *w)
{
    struct table_watch now;
    if (!watch_stat(w, &now))
        return false; // a jail that hides the directory: what was read stays
    if (now.exists != w->exists)
        return true;
    return now.exists && (now.dev != w->dev || now.ino != w->ino || now.mtime_ns != w->mtime_ns || now.size != w->size);
}

int table_watch_open(const struct table_watch *w)
{
    int at = w->dirfd < 0 ? AT_FDCWD : w->dirfd; // without a directory the path says why
    int fd = openat(at, w->dirfd < 0 ? w->path : w->base, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        errno = EISDIR;
        return -1;
    }
    return fd;
}

void table_note_change(const char *name)
{
    if (process.changed_name == NULL)
        process.changed_name = mem_strdup(name);
}

void table_watch_list_file(const char *path)
{
    for (size_t i = 0; i < process.file_count; i++)
        if (strcmp(process.files[i].path, path) == 0)
            return;
    process.files = mem_realloc(process.files, (process.file_count + 1) * sizeof(*process.files));
    table_watch_init(&process.files[process.file_count], path);
    table_watch_take(&process.files[process.file_count]);
    process.file_count++;
}

bool table_needs_restart(void)
{
    if (process.changed_name != NULL)
        return true;
    if (process.file_count == 0 || clock_ms() < process.next_check)
        return false;
    process.next_check = clock_ms() + CHECK_INTERVAL_MS;
    for (size_t i = 0; i < process.file_count; i++)
        if (table_watch_has_changed(&process.files[i])) {
            table_note_change(process.files[i].path);
            return true;
        }
    return false;
}

const char *table_outdated(void)
{
    return table_needs_restart() ? process.changed_name : NULL;
}
