// SPDX-License-Identifier: ISC
// postfix_logrotate.c: rotation of maillog_file: a new name, a new file, and compression once nobody writes to the old
// one.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"

enum { WAIT_SECONDS = 60, LOOK_MS = 100 };

// Daemons that finish their sessions still log to the file that they began with. False: some of them take long.
static bool wait_for_writers(const char *path)
{
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t begin = clock_ms();
    bool is_free = false;
    while (!is_free && clock_ms() < begin + WAIT_SECONDS * 1000) {
        nanosleep(&pause, NULL);
        int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        int rc = fd < 0 ? -1 : sys_has_other_openers(fd);
        if (fd >= 0)
            close(fd);
        is_free = rc <= 0; // or unknown
    }
    return is_free;
}

// This process has the old file open as well.
static void log_to_new_file(struct control *c)
{
    struct timespec settle = {.tv_sec = 1};
    log_setup_early("postfix");
    close_range(3, ~0U, 0);
    nanosleep(&settle, NULL); // master makes the new file
    log_setup_command(&c->settings, "postfix-script");
    log_add_stderr("postfix/postfix-script");
}

static void compress_file(struct control *c, const char *path)
{
    const char *compressor = c->settings.maillog_file_compressor.ptr;
    const char *const argv[] = {compressor, path, NULL};
    if (!wait_for_writers(path))
        log_warn("%s is still written to: not compressed", path);
    else if (sys_run(compressor, argv) != 0)
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
    log_to_new_file(c);
    compress_file(c, rotated);
    return 0;
}
