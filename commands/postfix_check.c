// SPDX-License-Identifier: ISC
// postfix_check.c: directories, owners and modes: made when missing, reported when wrong, repaired on request.
// Trust: nothing is followed inside directories that mail_owner can write to.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "commands/lint_report.h"
#include "commands/postfix.h"
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"

enum { FOREIGN_SHOWN = 20 };
enum place { PLACE_QUEUE, PLACE_DATA, PLACE_COMMAND };
enum owner { OWNER_ROOT, OWNER_MAIL };
struct expected {
    const char *name; // "" is the place itself
    enum place place;
    enum owner owner;
    bool has_setgid_group;
    bool is_program;
    mode_t mode;
};

static const struct expected expected[] = {
    {"", PLACE_QUEUE, OWNER_ROOT, false, false, 0755},
    {"active", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"bounce", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"corrupt", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"defer", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"deferred", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"flush", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"hold", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"incoming", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"private", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"saved", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"trace", PLACE_QUEUE, OWNER_MAIL, false, false, 0700},
    {"maildrop", PLACE_QUEUE, OWNER_MAIL, true, false, 0730},
    {"public", PLACE_QUEUE, OWNER_MAIL, true, false, 0710},
    {"pid", PLACE_QUEUE, OWNER_ROOT, false, false, 0755},
    {"", PLACE_DATA, OWNER_MAIL, false, false, 0700},
    {"postdrop", PLACE_COMMAND, OWNER_ROOT, true, true, 02755},
    {"postqueue", PLACE_COMMAND, OWNER_ROOT, true, true, 02755},
    {"postlog", PLACE_COMMAND, OWNER_ROOT, true, true, 02755},
};
enum { EXPECTED_COUNT = sizeof expected / sizeof expected[0] };

static const char *place_path(struct control *c, const struct expected *e)
{
    const struct settings *s = &c->settings;
    struct str dir = e->place == PLACE_QUEUE  ? s->queue_directory
                     : e->place == PLACE_DATA ? s->data_directory
                                              : s->command_directory;
    if (e->name[0] == '\0')
        return dir.ptr;
    return arena_strf(&c->arena, STR_FMT "/%s", STR_ARG(dir), e->name).ptr;
}

static uid_t wanted_uid(const struct control *c, const struct expected *e)
{
    return c->is_rootless || e->owner == OWNER_MAIL ? c->owner.uid : 0;
}

static mode_t wanted_mode(const struct control *c, const struct expected *e)
{
    return c->is_rootless ? 0700 : e->mode;
}

// ---- Making what is missing

static bool make_parents(struct control *c, const char *path)
{
    struct err err = ERR_INIT;
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char *parent = arena_cstr(&c->arena, str_of(path, (size_t)(slash - path)));
        if (sys_make_dir(parent, 0755, (uid_t)-1, (gid_t)-1, &err) < 0) {
            log_error("%s", err.text);
            return false;
        }
    }
    return true;
}

static bool make_dir(struct control *c, const struct expected *e)
{
    struct err err = ERR_INIT;
    struct stat st;
    const char *path = place_path(c, e);
    if (lstat(path, &st) == 0)
        return true;
    if (e->name[0] == '\0' && !make_parents(c, path))
        return false;
    gid_t group = e->has_setgid_group ? c->setgid_group : (gid_t)-1;
    if (sys_make_dir(path, wanted_mode(c, e), wanted_uid(c, e), group, &err) < 0) {
        log_error("%s", err.text);
        return false;
    }
    log_info("created directory %s", path);
    return true;
}

bool control_prepare(struct control *c)
{
    bool is_sound = true;
    const char *master = arena_strf(&c->arena, STR_FMT "/master", STR_ARG(c->settings.daemon_directory)).ptr;
    if (access(master, X_OK) < 0) {
        log_error("no Postfix daemons in daemon_directory: %s: %s", master, strerror(errno));
        is_sound = false;
    }
    if (c->settings.queue_directory.ptr[0] != '/' || c->settings.data_directory.ptr[0] != '/') {
        log_error("queue_directory and data_directory must be absolute paths");
        return false;
    }
    for (size_t i = 0; i < EXPECTED_COUNT && is_sound; i++)
        if (!expected[i].is_program)
            is_sound = make_dir(c, &expected[i]);
    if (is_sound)
        control_prepare_staging(c);
    return is_sound;
}

// ---- Reporting

static void report(struct control *c, const struct expected *e)
{
    struct stat st;
    const char *path = place_path(c, e);
    if (lstat(path, &st) < 0) {
        if (errno != ENOENT || !e->is_program)
            log_warn("cannot examine %s: %s", path, strerror(errno));
        return;
    }
    if (e->is_program && c->is_rootless)
        return;
    if (!e->is_program && !S_ISDIR(st.st_mode))
        log_warn("not a directory: %s", path);
    if (st.st_uid != wanted_uid(c, e))
        log_warn("not owned by %s: %s", wanted_uid(c, e) == 0 ? "root" : c->owner.name, path);
    if (e->has_setgid_group && !c->is_rootless && st.st_gid != c->setgid_group)
        log_warn("not owned by group " STR_FMT ": %s", STR_ARG(c->settings.setgid_group), path);
    if (e->is_program && (st.st_mode & 02111) != 02111)
        log_warn("not set-gid or not owner+group+world executable: %s", path);
    mode_t too_much = st.st_mode & 07777 & ~(wanted_mode(c, e) | (c->is_rootless ? 0055 : 0));
    mode_t too_little = wanted_mode(c, e) & ~(st.st_mode & 07777);
    if (too_much & 0022)
        log_warn("group or other writable: %s", path);
    else if (!e->is_program && (too_much | too_little) != 0)
        log_warn("mode is %04o, should be %04o: %s", (unsigned)st.st_mode & 07777, (unsigned)wanted_mode(c, e), path);
}

// Whoever can change a program that root runs is root.
static void report_programs(struct control *c, struct str dir)
{
    DIR *programs = opendir(dir.ptr);
    struct dirent *entry;
    struct stat st;
    while (programs != NULL && (entry = readdir(programs)) != NULL) {
        if (fstatat(dirfd(programs), entry->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (st.st_uid != 0)
            log_warn("not owned by root: " STR_FMT "/%s", STR_ARG(dir), entry->d_name);
        if (st.st_mode & 022)
            log_warn("group or other writable: " STR_FMT "/%s", STR_ARG(dir), entry->d_name);
    }
    if (programs != NULL)
        closedir(programs);
}

static void report_configuration(struct control *c)
{
    const char *names[] = {"", "/main.cf", "/master.cf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat st;
        const char *path = arena_strf(&c->arena, "%s%s", conf_dir(c->conf), names[i]).ptr;
        if (stat(path, &st) < 0)
            continue;
        if (!c->is_rootless && st.st_uid != 0)
            log_warn("not owned by root: %s", path);
        if (st.st_mode & 022)
            log_warn("group or other writable: %s", path);
    }
}

bool control_master_cf_is_sound(struct control *c)
{
    struct err err = ERR_INIT;
    struct master_row *rows;
    size_t count;
    const char *path = arena_strf(&c->arena, "%s/master.cf", conf_dir(c->conf)).ptr;
    if (master_cf_read(c->conf, path, &c->arena, &rows, &count, &err) == 0)
        return true;
    log_error("%s", err.text);
    return false;
}

// ---- The queue

void control_check_queue(struct control *c)
{
    const char *path = arena_strf(&c->arena, STR_FMT "/postsuper", STR_ARG(c->settings.command_directory)).ptr;
    const char *const argv[] = {path, NULL};
    if (sys_run(path, argv) != 0)
        log_warn("%s: the check of the queue failed", path);
}

// Files that mail_owner cannot handle, as after a restore by root.
static unsigned report_foreign_files_of(struct control *c, const char *queue, struct buf *path)
{
    const struct settings *set = &c->settings;
    struct queue_layout layout =
        queue_layout_of(set->hash_queue_names, set->hash_queue_depth, set->enable_long_queue_ids);
    struct err err = ERR_INIT;
    struct str id;
    struct stat st;
    unsigned count = 0;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, queue, &err);
    while (names != NULL && queue_scan_next(names, &id, &err) == 1) {
        if (queue_path(&layout, queue, id, path) < 0 || lstat(buf_cstr(path), &st) < 0 || st.st_uid == c->owner.uid)
            continue;
        if (++count <= FOREIGN_SHOWN)
            log_warn("not owned by %s: " STR_FMT "/%s", c->owner.name, STR_ARG(set->queue_directory), buf_cstr(path));
    }
    queue_scan_close(names);
    return count;
}

static void report_foreign_files(struct control *c)
{
    // Not maildrop: its files belong to who submitted them.
    static const char *const queues[] = {QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, QUEUE_HOLD,
                                         QUEUE_BOUNCE,   QUEUE_DEFER,  QUEUE_TRACE,    QUEUE_CORRUPT};
    struct buf path = BUF_INIT;
    if (chdir(c->settings.queue_directory.ptr) < 0)
        return;
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        unsigned count = report_foreign_files_of(c, queues[i], &path);
        if (count > FOREIGN_SHOWN)
            log_warn("not owned by %s: %u more files in %s", c->owner.name, count - FOREIGN_SHOWN, queues[i]);
    }
    buf_release(&path);
}

int control_check(struct control *c)
{
    if (!control_prepare(c) || !control_master_cf_is_sound(c))
        die("Postfix integrity check failed!");
    for (size_t i = 0; i < EXPECTED_COUNT; i++)
        report(c, &expected[i]);
    report_configuration(c);
    if (!c->is_rootless)
        report_programs(c, c->settings.daemon_directory);
    control_check_queue(c);
    report_foreign_files(c);
    return lint_report(conf_dir(c->conf), NULL, LINT_REPORT_LOG) == LINT_REPORT_ERRORS ? 1 : 0;
}

// ---- Repairing

static bool repair(struct control *c, const struct expected *e)
{
    const char *path = place_path(c, e);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOENT && e->is_program)
        return true;
    if (fd < 0) {
        log_warn("cannot open %s: %s", path, strerror(errno));
        return false;
    }
    bool is_right_kind = fstat(fd, &st) == 0 && (e->is_program ? S_ISREG(st.st_mode) : S_ISDIR(st.st_mode));
    gid_t group = e->has_setgid_group ? c->setgid_group : (gid_t)-1;
    bool done = is_right_kind && (c->is_rootless || fchown(fd, wanted_uid(c, e), group) == 0) &&
                ((e->is_program && c->is_rootless) || fchmod(fd, wanted_mode(c, e)) == 0);
    close(fd);
    if (!done)
        log_warn("cannot set owner and mode of %s", path);
    return done;
}

int control_set_permissions(struct control *c)
{
    control_take_parameters(c);
    bool is_done = control_prepare(c);
    for (size_t i = 0; i < EXPECTED_COUNT; i++)
        is_done = repair(c, &expected[i]) && is_done;
    return is_done ? 0 : 1;
}
