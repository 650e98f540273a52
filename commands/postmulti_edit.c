// SPDX-License-Identifier: ISC
// postmulti_edit.c: makes, takes in, gives up and removes instances, and changes their names, groups and state.
//
// main.cf is edited by postconf, which replaces the file in one step. Trust: the administrator's arguments and
// configurations; nothing is followed when directories are removed.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postmulti.h"
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"
#include "lib/sys/sys.h"

enum { NAME_LENGTH_MAX = 100, DEPTH_MAX = 16, SETTINGS_MAX = 16 };

struct changes { // "name=value" words for postconf
    struct arena *arena;
    const char *words[SETTINGS_MAX + 8];
    size_t count;
};

static void change(struct changes *c, const char *name, struct str value)
{
    if (c->count == SETTINGS_MAX)
        bug("too many changes");
    c->words[c->count++] = arena_strf(c->arena, "%s=" STR_FMT, name, STR_ARG(value)).ptr;
}

static void apply(struct postmulti *pm, struct str dir, const struct changes *c)
{
    const char *path =
        arena_strf(&pm->arena, STR_FMT "/postconf", STR_ARG(pm->instances[0].settings->command_directory)).ptr;
    const char *argv[SETTINGS_MAX + 8] = {path, "-c", dir.ptr, "-e"};
    for (size_t i = 0; i < c->count; i++)
        argv[4 + i] = c->words[i];
    if (sys_run(path, argv) != 0)
        die("cannot edit " STR_FMT "/main.cf", STR_ARG(dir));
}

static struct changes no_changes(struct postmulti *pm)
{
    return (struct changes){.arena = &pm->arena};
}

// ---- The list of the primary instance

static void write_list(struct postmulti *pm, struct str without, struct str with)
{
    struct buf list = BUF_INIT;
    for (size_t i = 1; i < pm->count; i++)
        if (!str_is(pm->instances[i].dir, without))
            buf_addf(&list, "%s" STR_FMT, list.len ? " " : "", STR_ARG(pm->instances[i].dir));
    if (with.len > 0)
        buf_addf(&list, "%s" STR_FMT, list.len ? " " : "", STR_ARG(with));
    struct changes c = no_changes(pm);
    change(&c, "multi_instance_directories", buf_str(&list));
    apply(pm, pm->instances[0].dir, &c);
    buf_release(&list);
}

static void need_init(const struct postmulti *pm)
{
    if (!instance_is_enabled(&pm->instances[0]))
        die("multi_instance_enable!=yes, run 'postmulti -e init' first.");
}

static const struct instance *the_selected(const struct postmulti *pm)
{
    if (pm->options.instance == NULL)
        die("Select an instance via '-i name'");
    for (size_t i = 0; i < pm->count; i++)
        if (instance_is_selected(pm, &pm->instances[i]))
            return &pm->instances[i];
    die("No instance named %s", pm->options.instance);
}

static const struct instance *selected_secondary(const struct postmulti *pm)
{
    const struct instance *i = the_selected(pm);
    if (i->is_primary)
        die("Cannot remove the primary instance");
    return i;
}

// ---- Names

static struct str none_if_dash(const char *word)
{
    return word == NULL || strcmp(word, "-") == 0 ? STR("") : str_from(word);
}

static void check_name(const char *what, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.';
        if (!is_safe || name.len > NAME_LENGTH_MAX)
            die("Unsafe characters in new instance %s: '%s'", what, name.ptr);
    }
}

static void add_names(struct postmulti *pm, struct changes *c)
{
    const struct postmulti_options *o = &pm->options;
    struct str name = none_if_dash(o->new_name), group = none_if_dash(o->new_group);
    check_name("name", name);
    check_name("group", group);
    if (name.len > 0 && !str_starts(name, STR("postfix-")))
        die("New instance name must start with 'postfix-'");
    if (o->new_group != NULL)
        change(c, "multi_instance_group", group);
    if (o->new_name != NULL)
        change(c, "multi_instance_name", name);
}

// ---- Actions

static void init(struct postmulti *pm)
{
    struct changes c = no_changes(pm);
    change(&c, "multi_instance_enable", STR("yes"));
    change(&c, "multi_instance_wrapper", STR("${command_directory}/postmulti -p --"));
    apply(pm, pm->instances[0].dir, &c);
}

static void enable(struct postmulti *pm)
{
    struct changes c = no_changes(pm);
    change(&c, "multi_instance_enable", STR("yes"));
    apply(pm, the_selected(pm)->dir, &c);
}

static void disable(struct postmulti *pm)
{
    struct changes c = no_changes(pm);
    change(&c, "multi_instance_enable", STR("no"));
    apply(pm, the_selected(pm)->dir, &c);
}

static void assign(struct postmulti *pm)
{
    const struct instance *i = the_selected(pm);
    struct changes c = no_changes(pm);
    need_init(pm);
    add_names(pm, &c);
    if (c.count == 0)
        die("Specify a new name via '-I' or a new group via '-G'");
    for (size_t k = 0; k < pm->count; k++) {
        struct str name = none_if_dash(pm->options.new_name);
        if (&pm->instances[k] != i && name.len > 0 && str_is(pm->instances[k].settings->multi_instance_name, name))
            die("instance name %s is in use", name.ptr);
    }
    apply(pm, i->dir, &c);
}

static struct str given(struct postmulti *pm, const char *name)
{
    struct str value;
    for (char **word = pm->options.words; *word != NULL; word++) {
        struct str rest = str_from(*word);
        if (str_cut(&rest, '=', &value) && str_is(value, str_from(name)))
            return rest;
    }
    return STR("");
}

static void check_given(struct postmulti *pm, bool allows_places)
{
    for (char **word = pm->options.words; *word != NULL; word++) {
        struct str rest = str_from(*word), name;
        if (!str_cut(&rest, '=', &name))
            die("not name=value: %s", *word);
        bool is_place = str_is(name, STR("queue_directory")) || str_is(name, STR("data_directory"));
        if (!str_is(name, STR("config_directory")) && !(is_place && allows_places))
            die("Parameter '" STR_FMT "' not valid with action %s", STR_ARG(name), pm->options.action);
        if (rest.len == 0 || rest.ptr[0] != '/')
            die("not an absolute path: %s", *word);
    }
}

static void import(struct postmulti *pm)
{
    struct str dir = given(pm, "config_directory");
    struct changes c = no_changes(pm);
    need_init(pm);
    check_given(pm, false);
    if (dir.len == 0)
        die("Missing config_directory parameter value");
    add_names(pm, &c);
    struct instance fresh = instance_read(pm, dir);
    if (pm->options.new_name != NULL)
        fresh.settings->multi_instance_name = none_if_dash(pm->options.new_name);
    instance_check_conflicts(pm, &fresh);
    if (c.count > 0)
        apply(pm, fresh.dir, &c);
    write_list(pm, STR(""), fresh.dir);
}

static void deport(struct postmulti *pm)
{
    write_list(pm, selected_secondary(pm)->dir, STR(""));
}

// ---- A new instance

static struct str sibling(struct postmulti *pm, struct str path)
{
    long slash = str_rfind(path, '/');
    if (slash < 0 || pm->options.new_name == NULL)
        return STR("");
    return arena_strf(&pm->arena, STR_FMT "/%s", STR_ARG(str_slice(path, 0, (size_t)slash)), pm->options.new_name);
}

static struct str place(struct postmulti *pm, const char *parameter, struct str primarys)
{
    struct str dir = given(pm, parameter);
    if (dir.len == 0)
        dir = sibling(pm, primarys);
    if (dir.len == 0)
        die("Missing %s parameter value", parameter);
    return dir;
}

static void make_dir(struct str dir)
{
    struct err err = ERR_INIT;
    if (sys_make_dir(dir.ptr, 0755, (uid_t)-1, (gid_t)-1, &err) < 0)
        die("%s", err.text);
}

// A sample leaves some paths empty for the installer: they take their defaults.
static bool is_left_open(struct str line)
{
    struct str name;
    if (!str_cut(&line, '=', &name) || str_trim(line).len > 0)
        return false;
    name = str_trim(name);
    return str_ends(name, STR("_directory")) || str_ends(name, STR("_path")) || str_is(name, STR("setgid_group"));
}

static void comment_out_what_is_open(struct buf *text)
{
    struct buf out = BUF_INIT;
    struct str rest = buf_str(text), line;
    while (rest.len > 0) {
        (void)str_cut(&rest, '\n', &line);
        buf_addf(&out, "%s" STR_FMT "\n", is_left_open(line) ? "#" : "", STR_ARG(line));
    }
    buf_release(text);
    *text = out;
}

// The samples that were installed, or what the primary instance has (master.cf), or nothing but a beginning (main.cf).
static void copy_file(struct postmulti *pm, struct str dir, const char *name, const char *otherwise)
{
    const struct instance *primary = &pm->instances[0];
    const char *sources[] = {
        arena_strf(&pm->arena, STR_FMT "/%s.proto", STR_ARG(primary->settings->meta_directory), name).ptr,
        arena_strf(&pm->arena, STR_FMT "/%s.sample", STR_ARG(primary->dir), name).ptr,
        otherwise == NULL ? arena_strf(&pm->arena, STR_FMT "/%s", STR_ARG(primary->dir), name).ptr : NULL,
    };
    struct buf text = BUF_INIT;
    const char *target = arena_strf(&pm->arena, STR_FMT "/%s", STR_ARG(dir), name).ptr;
    for (size_t i = 0; text.len == 0 && i < sizeof sources / sizeof sources[0] && sources[i] != NULL; i++)
        (void)!sys_read_file(sources[i], 1 << 20, &text, NULL); // the next one, then
    if (text.len == 0)
        buf_add_cstr(&text, otherwise ? otherwise : "");
    comment_out_what_is_open(&text);
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || sys_write_all(fd, text.ptr, text.len) < 0 || fsync(fd) < 0)
        die("write %s: %s", target, strerror(errno));
    close(fd);
    buf_release(&text);
}

static void create(struct postmulti *pm)
{
    const struct instance *primary = &pm->instances[0];
    const struct settings *s = primary->settings;
    struct changes c = no_changes(pm);
    need_init(pm);
    check_given(pm, true);
    struct instance fresh = {.dir = place(pm, "config_directory", primary->dir),
                             .settings = ARENA_NEW(&pm->arena, struct settings)};
    fresh.settings->queue_directory = place(pm, "queue_directory", s->queue_directory);
    fresh.settings->data_directory = place(pm, "data_directory", s->data_directory);
    fresh.settings->multi_instance_name = none_if_dash(pm->options.new_name);
    change(&c, "command_directory", s->command_directory);
    change(&c, "daemon_directory", s->daemon_directory);
    change(&c, "queue_directory", fresh.settings->queue_directory);
    change(&c, "data_directory", fresh.settings->data_directory);
    change(&c, "mail_owner", s->mail_owner);
    change(&c, "setgid_group", s->setgid_group);
    change(&c, "master_service_disable", STR("inet")); // until somebody says which addresses are its own
    change(&c, "authorized_submit_users", STR(""));
    add_names(pm, &c);
    instance_check_conflicts(pm, &fresh);
    make_dir(fresh.dir);
    copy_file(pm, fresh.dir, "main.cf", "compatibility_level = 3.6\n");
    copy_file(pm, fresh.dir, "master.cf", NULL);
    apply(pm, fresh.dir, &c);
    const char *path = arena_strf(&pm->arena, STR_FMT "/postfix", STR_ARG(s->command_directory)).ptr;
    const char *const argv[] = {path, "-c", fresh.dir.ptr, "check",
                                NULL}; // makes the directories; the programs are not its own
    if (sys_run(path, argv) != 0)
        log_warn("the check of the new instance found errors");
    write_list(pm, STR(""), fresh.dir);
}

// ---- The end of an instance

static bool is_own(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

// All files and directories below: only once nothing is queued.
static void remove_below(int parent, const char *name, unsigned depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0)
        close(fd);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!is_own(entry->d_name) || unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        if (depth < DEPTH_MAX)
            remove_below(fd, entry->d_name, depth + 1);
    }
    if (dir != NULL)
        closedir(dir);
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        log_warn("cannot remove directory %s: %s", name, strerror(errno));
}

static void refuse_if_in_use(const struct instance *i)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, QUEUE_HOLD};
    struct buf path = BUF_INIT;
    pid_t pid;
    if (instance_is_enabled(i))
        die("Instance " STR_FMT " is enabled: disable it first", STR_ARG(i->dir));
    buf_addf(&path, STR_FMT "/" STR_FMT "/master.pid", STR_ARG(i->settings->queue_directory),
             STR_ARG(i->settings->process_id_directory));
    if (sys_pid_lock_test(buf_cstr(&path), &pid) == 1)
        die("Instance " STR_FMT " is running: stop it first", STR_ARG(i->dir));
    int fd = open(i->settings->queue_directory.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t k = 0; fd >= 0 && k < sizeof queues / sizeof queues[0]; k++)
        if (!queue_is_empty(fd, queues[k]))
            die("Instance " STR_FMT " has mail in its %s queue", STR_ARG(i->dir), queues[k]);
    if (fd >= 0)
        close(fd);
    buf_release(&path);
}

static void destroy(struct postmulti *pm)
{
    static const char *const files[] = {"main.cf", "master.cf", "main.cf.proto", "master.cf.proto"};
    const struct instance *i = selected_secondary(pm);
    refuse_if_in_use(i);
    write_list(pm, i->dir, STR(""));
    remove_below(AT_FDCWD, i->settings->queue_directory.ptr, 0);
    remove_below(AT_FDCWD, i->settings->data_directory.ptr, 0);
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++)
        (void)!unlink(
            arena_strf(&pm->arena, STR_FMT "/%s", STR_ARG(i->dir), files[k]).ptr); // not each of them need exist
    if (rmdir(i->dir.ptr) < 0)
        log_warn("cannot remove directory " STR_FMT ": %s", STR_ARG(i->dir), strerror(errno));
}

int postmulti_edit(struct postmulti *pm)
{
    static const struct {
        const char *name;
        void (*run)(struct postmulti *pm);
    } actions[] = {{"create", create}, {"destroy", destroy}, {"import", import}, {"deport", deport},
                   {"enable", enable}, {"disable", disable}, {"assign", assign}, {"init", init}};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, pm->options.action) == 0) {
            actions[i].run(pm);
            return 0;
        }
    die("Invalid '-e' edit action '%s'. Specify 'create', 'destroy', 'import', 'deport', 'enable', 'disable', 'assign' "
        "or 'init'",
        pm->options.action);
}
