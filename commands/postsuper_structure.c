// SPDX-License-Identifier: ISC
// postsuper_structure.c: puts queue files where hash_queue_names and hash_queue_depth want them, gives them names that
// match their inodes (after a copy or a restore), and removes stray temporary files. Limits: DEPTH_MAX levels of
// directories.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands/postsuper.h"
#include "lib/base/log.h"

enum { DEPTH_MAX = 12, PURGE_AGE = 7 * 86400, MICROSECOND_DIGITS = 5, LONG_INODE_MIN = 10 };

struct repair {
    struct postsuper *ps;
    const char *queue;
    bool fixes, purges, checks_long_ids;
};

// ---- Names and inodes

static const char base_51[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy";

static void add_base_51(struct buf *b, uint64_t number)
{
    char digits[16];
    unsigned n = 0;
    do {
        digits[n++] = base_51[number % 51];
        number /= 51;
    } while (number > 0 && n < sizeof digits);
    while (n > 0)
        buf_add_char(b, digits[--n]);
}

// The same time of arrival, and the inode that the file has now.
static void add_matching_id(struct buf *b, struct str id, uint64_t inode)
{
    if (queue_id_is_long(id)) {
        buf_add_str(b, str_slice(id, 0, (size_t)str_rfind(id, 'z') + 1));
        add_base_51(b, inode);
    } else {
        buf_add_str(b, str_slice(id, 0, MICROSECOND_DIGITS));
        buf_addf(b, "%llX", (unsigned long long)inode);
    }
}

static bool is_message_queue(const char *queue)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, QUEUE_HOLD};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        if (strcmp(queue, queues[i]) == 0)
            return true;
    return false;
}

// ---- One file

static void move_file(struct repair *r, const char *path, struct str id, const char *queue)
{
    struct buf to = BUF_INIT;
    if (queue_path(&r->ps->layout, queue, id, &to) == 0 && strcmp(path, buf_cstr(&to)) != 0) {
        for (char *slash = strchr(to.ptr, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            (void)!mkdir(to.ptr, 0700); // there already, mostly
            *slash = '/';
        }
        if (renameat2(AT_FDCWD, path, AT_FDCWD, buf_cstr(&to), RENAME_NOREPLACE) < 0)
            log_warn("cannot rename %s to %s: %m", path, buf_cstr(&to));
    }
    buf_release(&to);
}

// The logs follow the message to its new name.
static void rename_message(struct repair *r, const char *path, struct str old_id, struct str new_id)
{
    static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};
    struct buf log_path = BUF_INIT;
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        if (queue_path(&r->ps->layout, logs[i], old_id, &log_path) == 0 && access(buf_cstr(&log_path), F_OK) == 0)
            move_file(r, buf_cstr(&log_path), new_id, logs[i]);
    move_file(r, path, new_id, r->queue);
    r->ps->renamed++;
    buf_release(&log_path);
}

static void purge_stray(struct repair *r, const char *path, const struct stat *st)
{
    if (r->purges && time(NULL) - st->st_mtime > PURGE_AGE && unlink(path) == 0)
        log_info("removed stray file %s", path);
}

static void repair_file(struct repair *r, const char *path, const char *name, const struct stat *st)
{
    struct str id = str_from(name);
    struct buf matching = BUF_INIT;
    bool is_message = is_message_queue(r->queue);
    if (!queue_id_is_valid(id) || id.len <= MICROSECOND_DIGITS) {
        if (str_find(id, '.') < 0) // USEC.PID is a file being created
            log_warn("bogus file name: %s", path);
        purge_stray(r, path, st);
        return;
    }
    if (is_message && (st->st_mode & S_IRWXU) != QUEUE_MODE_READY) {
        purge_stray(r, path, st);
        return;
    }
    if (!r->fixes)
        return;
    add_matching_id(&matching, id, st->st_ino);
    bool must_match = is_message && (!queue_id_is_long(id) || r->checks_long_ids);
    if (must_match && !str_is(buf_str(&matching), id)) {
        log_warn("name/inode mismatch: %s", path);
        rename_message(r, path, id, buf_str(&matching));
    } else {
        move_file(r, path, id, r->queue);
    }
    buf_release(&matching);
}

// ---- Directories

static void repair_directory(struct repair *r, const char *dir_path, unsigned depth);

static void repair_entry(struct repair *r, const char *dir_path, const char *name, unsigned depth)
{
    char path[QUEUE_PATH_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", dir_path, name) >= (int)sizeof path || lstat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode) && strlen(name) == 1 && depth < DEPTH_MAX)
        repair_directory(r, path, depth + 1);
    else if (S_ISREG(st.st_mode))
        repair_file(r, path, name, &st);
    else
        log_warn("bogus file name: %s", path);
}

static void repair_directory(struct repair *r, const char *dir_path, unsigned depth)
{
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        log_warn("cannot read directory %s: %m", dir_path);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            repair_entry(r, dir_path, entry->d_name, depth);
    closedir(dir);
    if (depth > 0 && r->fixes)
        (void)!rmdir(dir_path); // only when nothing is left in it
}

void postsuper_repair(struct postsuper *ps, bool fixes_structure, bool purges, bool checks_long_ids)
{
    static const char *const queues[] = {QUEUE_DEFER,  QUEUE_BOUNCE,   QUEUE_MAILDROP, QUEUE_INCOMING,
                                         QUEUE_ACTIVE, QUEUE_DEFERRED, QUEUE_HOLD};
    struct repair r = {.ps = ps, .fixes = fixes_structure, .purges = purges, .checks_long_ids = checks_long_ids};
    unsigned renamed = ps->renamed;
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        if (postsuper_queue_is_selected(ps, queues[i])) {
            r.queue = queues[i];
            repair_directory(&r, queues[i], 0);
        }
    renamed = ps->renamed - renamed;
    if (renamed > 0)
        log_info("Renamed to match inode number: %u message%s", renamed, renamed == 1 ? "" : "s");
}
