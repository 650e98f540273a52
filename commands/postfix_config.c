// SPDX-License-Identifier: ISC
// postfix_config.c: rows that an old master.cf lacks, and rotation of maillog_file.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/log.h"

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

int control_upgrade_configuration(struct control *c)
{
    struct err err = ERR_INIT;
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

// ---- Log rotation

static void compress_file(struct control *c, const char *path)
{
    const char *compressor = c->settings.maillog_file_compressor.ptr;
    pid_t pid = fork();
    if (pid == 0) {
        execlp(compressor, compressor, path, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid < 0 || status != 0)
        log_warn("%s %s failed", compressor, path);
}

int control_logrotate(struct control *c)
{
    struct str file = c->settings.maillog_file;
    char suffix[128];
    time_t now = time(NULL);
    struct tm tm;
    if (file.len == 0)
        die("maillog_file is not set: nothing to rotate");
    if (str_starts(file, STR("/dev/")))
        die("maillog_file is a device: nothing to rotate");
    localtime_r(&now, &tm);
    char *format = arena_cstr(&c->arena, c->settings.maillog_file_rotate_suffix);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (strftime(suffix, sizeof suffix, format, &tm) == 0)
        die("maillog_file_rotate_suffix is too long");
#pragma GCC diagnostic pop
    const char *rotated = arena_strf(&c->arena, STR_FMT ".%s", STR_ARG(file), suffix).ptr;
    if (access(rotated, F_OK) == 0)
        die("%s exists already", rotated);
    if (rename(file.ptr, rotated) < 0)
        die("rename " STR_FMT " to %s: %s", STR_ARG(file), rotated, strerror(errno));
    pid_t pid = control_master_pid(c);
    if (pid > 1)
        kill(pid, SIGHUP); // opens the new file; old daemons finish with the old one
    sleep(1);
    compress_file(c, rotated);
    return 0;
}
