// SPDX-License-Identifier: ISC
// postfix_config.c: rows that an old master.cf lacks, and parameters given on the command line.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/log.h"

enum { PARAMETERS_MAX = 100 };

// ---- master.cf

static const struct {
    const char *name, *row;
} needed_rows[] = {
    {"tlsmgr", "tlsmgr    unix  -       -       n       1000?   1       tlsmgr\n"},
    {"trace", "trace     unix  -       -       n       -       0       bounce\n"},
    {"verify", "verify    unix  -       -       n       -       1       verify\n"},
    {"proxymap", "proxymap  unix  -       -       n       -       -       proxymap\n"},
    {"proxywrite", "proxywrite unix -       -       n       -       1       proxymap\n"},
    {"retry", "retry     unix  -       -       n       -       -       error\n"},
    {"discard", "discard   unix  -       -       n       -       -       discard\n"},
    {"anvil", "anvil     unix  -       -       n       -       1       anvil\n"},
    {"scache", "scache    unix  -       -       n       -       1       scache\n"},
    {"postlog", "postlog   unix-dgram n  -       n       -       1       postlogd\n"},
};

// NAME=VALUE words after the command are written to main.cf first.
void control_take_parameters(struct control *c)
{
    struct err err = ERR_INIT;
    const char *path = arena_strf(&c->arena, STR_FMT "/postconf", STR_ARG(c->settings.command_directory)).ptr;
    const char *argv[PARAMETERS_MAX + 5] = {path, "-c", conf_dir(c->conf), "-e"};
    size_t n = 0;
    for (; c->arguments[n] != NULL; n++) {
        if (n == PARAMETERS_MAX || str_find(str_from(c->arguments[n]), '=') < 1)
            die("not name=value: %s", c->arguments[n]);
        argv[4 + n] = c->arguments[n];
    }
    if (n == 0)
        return;
    if (sys_run(path, argv) != 0)
        die("cannot edit %s/main.cf", conf_dir(c->conf));
    struct conf *fresh = conf_open(conf_dir(c->conf), NULL, &err);
    if (fresh == NULL || settings_load(fresh, "postfix", &c->arena, &c->settings, &err) < 0)
        die("%s", err.text);
    conf_free(c->conf);
    c->conf = fresh;
    control_know_users(c);
}

int control_upgrade_configuration(struct control *c)
{
    struct err err = ERR_INIT;
    control_take_parameters(c);
    struct master_row *rows;
    size_t count;
    struct buf added = BUF_INIT;
    const char *path = arena_strf(&c->arena, "%s/master.cf", conf_dir(c->conf)).ptr;
    if (master_cf_read(c->conf, path, &c->arena, &rows, &count, &err) < 0)
        die("%s", err.text);
    for (size_t i = 0; i < sizeof needed_rows / sizeof needed_rows[0]; i++) {
        bool is_there = false;
        for (size_t j = 0; j < count; j++)
            is_there = is_there || str_is(rows[j].name, str_from(needed_rows[i].name));
        if (is_there)
            continue;
        log_info("editing %s, adding missing entry for %s service", path, needed_rows[i].name);
        buf_add_cstr(&added, needed_rows[i].row);
    }
    if (added.len > 0) { // one write at the end of the file: a crash leaves whole rows or none
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd < 0 || sys_write_all(fd, added.ptr, added.len) < 0 || fsync(fd) < 0)
            die("edit %s: %s", path, strerror(errno));
        close(fd);
    }
    buf_release(&added);
    return 0;
}
