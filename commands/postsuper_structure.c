// SPDX-License-Identifier: ISC
// postsuper_structure.c: puts queue files where hash_queue_names and hash_queue_depth want them, gives them names that
// match their inodes (after a copy or a restore, or when long ids were switched off), and removes stray temporary
// files.
//
// A directory entry tells the inode, so a queue that is in order costs no look at its files. Stopped anywhere, the next
// run goes on: logs get their message's new name first.
// Limits: DEPTH_MAX levels of directories.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands/postsuper.h"
#include "lib/base/log.h"

enum { DEPTH_MAX = 12, PURGE_AGE = 7 * 86400, NAME_LENGTH_MIN = 6 };

struct repair {
    struct postsuper *ps;
    const char *queue;
    bool has_messages; // the queue: its names hold inodes
    bool fixes, purges, checks_long_ids;
    struct buf target, new_id, log_path;
};

static bool is_in(const char *queue, const char *const *list)
{
    while (*list != NULL && strcmp(*list, queue) != 0)
        list++;
    return *list != NULL;
}

// Where mail is written: what is not complete stands there.
static bool is_written_to(const char *queue)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_INCOMING, NULL};
    return is_in(queue, queues);
}

// ---- Renaming

static void make_directories(char *path)
{
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)!mkdir(path, 0700); // there already, mostly
        *slash = '/';
    }
}

// Nothing is ever overwritten. 0 (also when it is there already), -1.
static int move_file(struct repair *r, const char *path, const char *queue, struct str id)
{
    if (queue_path(&r->ps->layout, queue, id, &r->target) < 0)
        return -1;
    if (strcmp(path, buf_cstr(&r->target)) == 0)
        return 0;
    int rc = renameat2(AT_FDCWD, path, AT_FDCWD, buf_cstr(&r->target), RENAME_NOREPLACE);
    if (rc < 0 && errno == ENOENT) {
        make_directories(r->target.ptr);
        rc = renameat2(AT_FDCWD, path, AT_FDCWD, buf_cstr(&r->target), RENAME_NOREPLACE);
    }
    if (rc < 0)
        log_warn("cannot rename %s to %s: %m", path, buf_cstr(&r->target));
    return rc;
}

static bool target_is_free(struct repair *r, const char *queue, struct str id)
{
    struct stat st;
    return queue_path(&r->ps->layout, queue, id, &r->target) == 0 && lstat(buf_cstr(&r->target), &st) < 0 &&
           errno == ENOENT;
}

static void rename_message(struct repair *r, const char *path, struct str old_id, struct str new_id)
{
    static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};
    if (!target_is_free(r, r->queue, new_id)) {
        log_warn("cannot rename %s: there is a file of the new name %s", path, buf_cstr(&r->target));
        return;
    }
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        if (queue_path(&r->ps->layout, logs[i], old_id, &r->log_path) == 0 &&
            access(buf_cstr(&r->log_path), F_OK) == 0 && move_file(r, buf_cstr(&r->log_path), logs[i], new_id) < 0)
            return;
    if (move_file(r, path, r->queue, new_id) == 0)
        r->ps->renamed++;
}

// ---- One file

static void purge_stray(const struct repair *r, const char *path, const struct stat *st)
{
    if (r->purges && time(NULL) - st->st_mtime > PURGE_AGE && unlink(path) == 0)
        log_info("removed stray file %s", path);
}

static bool must_match(const struct repair *r, struct str id)
{
    return r->has_messages && (!queue_id_is_long(id) || !r->ps->layout.long_ids || r->checks_long_ids);
}

// A message under a name of another inode, or of a form that is not used here.
static void repair_name(struct repair *r, const char *path, struct str id)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    buf_clear(&r->new_id);
    queue_id_add_for_inode(&r->new_id, id, (uint64_t)st.st_ino, r->ps->layout.long_ids);
    if (str_is(buf_str(&r->new_id), id))
        (void)!move_file(r, path, r->queue, id);
    else
        rename_message(r, path, id, buf_str(&r->new_id));
}

static void repair_file(struct repair *r, const char *path, struct str id, uint64_t inode)
{
    buf_clear(&r->new_id);
    if (must_match(r, id))
        queue_id_add_for_inode(&r->new_id, id, inode, r->ps->layout.long_ids);
    if (r->new_id.len > 0 && !str_is(buf_str(&r->new_id), id))
        repair_name(r, path, id);
    else
        (void)!move_file(r, path, r->queue, id);
}

static bool is_queue_file_name(const struct repair *r, struct str name)
{
    return queue_id_is_valid(name) && (!r->has_messages || name.len >= NAME_LENGTH_MIN);
}

// "ID#FIX" is how Postfix names a file that it is renaming: one that it was stopped at.
static bool is_half_renamed(const struct repair *r, struct str name, struct str *id_r)
{
    *id_r = str_slice(name, 0, name.len > 4 ? name.len - 4 : 0);
    return str_ends(name, STR("#FIX")) && is_queue_file_name(r, *id_r);
}

static void look_at(struct repair *r, const char *path, struct str name, uint64_t inode)
{
    struct stat st;
    struct str id;
    if (is_half_renamed(r, name, &id)) {
        if (r->fixes && r->has_messages)
            repair_name(r, path, id);
        else if (r->fixes)
            (void)!move_file(r, path, r->queue, id);
        return;
    }
    bool is_named = is_queue_file_name(r, name);
    if (!is_named && str_find(name, '.') < 0) // USEC.PID is a file being created
        log_warn("bogus file name: %s", path);
    if (r->purges && (!is_named || is_written_to(r->queue)) && lstat(path, &st) == 0 &&
        (!is_named || (st.st_mode & S_IRWXU) != QUEUE_MODE_READY))
        purge_stray(r, path, &st);
    if (is_named && r->fixes)
        repair_file(r, path, name, inode);
}

// ---- Directories

static void repair_directory(struct repair *r, const char *dir_path, unsigned depth);

static unsigned char type_of(const struct dirent *entry, const char *path)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (lstat(path, &st) < 0)
        return DT_UNKNOWN;
    return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_CHR;
}

static void repair_entry(struct repair *r, const char *dir_path, const struct dirent *entry, unsigned depth)
{
    char path[QUEUE_PATH_MAX];
    struct str name = str_from(entry->d_name);
    if (snprintf(path, sizeof path, "%s/%s", dir_path, entry->d_name) >= (int)sizeof path)
        return;
    switch (type_of(entry, path)) {
    case DT_UNKNOWN: // gone
        break;
    case DT_REG:
        look_at(r, path, name, (uint64_t)entry->d_ino);
        break;
    case DT_DIR:
        if (name.len == 1 && depth < DEPTH_MAX) {
            repair_directory(r, path, depth + 1);
            break;
        }
        // fall through
    default:
        log_warn("bogus file name: %s", path);
    }
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
            repair_entry(r, dir_path, entry, depth);
    closedir(dir);
    if (depth > 0 && r->fixes)
        (void)!rmdir(dir_path); // only when nothing is left in it
}

// What a process began and did not come to name. The directories themselves stay.
static void purge_staging(struct repair *r)
{
    char dir_path[sizeof QUEUE_STAGING + 4];
    r->queue = QUEUE_STAGING;
    r->fixes = false;
    for (unsigned i = 0; i < QUEUE_STAGING_DIRS; i++) {
        snprintf(dir_path, sizeof dir_path, QUEUE_STAGING "/%02x", i);
        repair_directory(r, dir_path, DEPTH_MAX);
    }
}

// Logs first: a message finds the log of its old name where the layout wants it.
void postsuper_repair(struct postsuper *ps, bool fixes_structure, bool purges, bool checks_long_ids)
{
    static const char *const logs[] = {QUEUE_DEFER, QUEUE_BOUNCE, QUEUE_TRACE, "flush", NULL};
    static const char *const queues[] = {QUEUE_DEFER,    QUEUE_BOUNCE, QUEUE_TRACE,    "flush",    QUEUE_MAILDROP,
                                         QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, QUEUE_HOLD, NULL};
    struct repair r = {.ps = ps, .fixes = fixes_structure, .purges = purges, .checks_long_ids = checks_long_ids};
    unsigned renamed = ps->renamed;
    for (size_t i = 0; queues[i] != NULL; i++) {
        if (!postsuper_queue_is_selected(ps, queues[i]))
            continue;
        r.queue = queues[i];
        r.has_messages = !is_in(queues[i], logs);
        repair_directory(&r, queues[i], 0);
    }
    if (purges && queue_is_staged(AT_FDCWD) && postsuper_queue_is_selected(ps, QUEUE_INCOMING))
        purge_staging(&r);
    renamed = ps->renamed - renamed;
    if (renamed > 0)
        log_info("Renamed to match inode number: %u message%s", renamed, renamed == 1 ? "" : "s");
    buf_release(&r.target);
    buf_release(&r.new_id);
    buf_release(&r.log_path);
}
