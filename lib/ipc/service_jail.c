// SPDX-License-Identifier: ISC
// service_jail.c: what of the file system a daemon keeps: its own directories, the system's, and those of its tables.
// Trust: runs as mail_owner already, before the first byte of input.
#include "lib/ipc/service_internal.h"
#include "lib/sys/sys.h"

enum { DIRS_MAX = 200 };

struct dir_list {
    struct arena *arena;
    const char **items; // ends with NULL
    size_t count;
};

static void add_dir(struct dir_list *list, struct str dir)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_is(str_from(list->items[i]), dir))
            return;
    if (dir.len > 0 && list->count < DIRS_MAX - 1)
        list->items[list->count++] = arena_cstr(list->arena, dir);
}

static struct dir_list list_new(struct arena *arena, const char *const *dirs)
{
    struct dir_list list = {arena, ARENA_ARRAY(arena, const char *, DIRS_MAX), 0};
    for (size_t i = 0; dirs[i] != NULL; i++)
        add_dir(&list, str_from(dirs[i]));
    return list;
}

static void add_dirs_of(struct dir_list *list, struct str value)
{
    struct str rest = value, token;
    while (str_token(&rest, ", \t\r\n{}", &token)) {
        long at = str_find_str(token, STR(":/"));
        if (at <= 0)
            continue;
        struct str path = str_slice(token, (size_t)at + 1, token.len);
        add_dir(list, str_slice(path, 0, (size_t)str_rfind(path, '/')));
    }
}

// "hash:/srv/mail/aliases" in a value: a changed table is opened again, so its directory must stay in reach.
static void add_tables_of(struct dir_list *list, const struct conf *conf, struct str written)
{
    struct buf value = BUF_INIT;
    if (str_find(written, ':') >= 0 &&
        conf_expand(conf, written, &value, NULL) == 0) // the colon is cheaper than an expansion
        add_dirs_of(list, buf_str(&value));
    buf_release(&value);
}

static void add_tables(struct dir_list *list, const struct service_run *run)
{
    size_t at = 0;
    struct conf_entry entry;
    while (conf_next(run->ctx.conf, &at, &entry))
        add_tables_of(list, run->ctx.conf, entry.value);
    for (char **override = run->options.overrides; *override != NULL; override++)
        add_tables_of(list, run->ctx.conf, str_from(*override));
}

// Directories of authorities: the TLS library looks in them during a handshake.
static void add_authorities(struct dir_list *list, const struct settings *s)
{
    const struct str dirs[] = {s->smtp_tls_CApath, s->lmtp_tls_CApath, s->smtpd_tls_CApath};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        add_dir(list, dirs[i]);
}

void service_enter_jail(struct service_run *run)
{
    struct err err = ERR_INIT;
    struct arena arena = ARENA_INIT;
    struct settings *s = &run->settings;
    bool has_network = (run->service->flags & SERVICE_NETWORK) != 0;
    bool writes_queue = (run->service->flags & SERVICE_WRITES_QUEUE) != 0;
    static const char *const everything[] = {"/", NULL}; // in a chroot: the queue directory
    static const char *const system_dirs[] = {
        "/etc", "/usr", "/lib", "/lib64", "/run", "/dev", "/proc", "/sys/devices/system/cpu", NULL};
    static const char *const none[] = {NULL};
    bool reads_all = run->is_confined || !has_network;
    struct dir_list readable = list_new(&arena, reads_all ? everything : system_dirs);
    struct dir_list writable = list_new(&arena, run->is_confined ? everything : none);
    if (!reads_all) {
        add_dir(&readable, s->config_directory);
        add_dir(&readable, s->queue_directory);
        add_tables(&readable, run);
        add_authorities(&readable, s);
    }
    if (!run->is_confined) {
        add_dir(&writable, STR("/dev/null"));
        add_dir(&writable, s->data_directory);
        if (writes_queue)
            add_dir(&writable, s->queue_directory);
    }
    unsigned flags = (has_network ? JAIL_NETWORK : 0u) | (writes_queue ? JAIL_WRITE_FILES : 0u);
    if (sys_jail(flags, readable.items, writable.items, &err) < 0)
        die("cannot enter the jail: %s", err.text);
    arena_release(&arena);
}
