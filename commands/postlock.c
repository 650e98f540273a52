// SPDX-License-Identifier: ISC
// postlock.c: runs a command while a mailbox is locked the way the delivery agents lock it.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/log_setup.h"
#include "lib/sys/sys.h"

enum { EXIT_TEMPORARY = 75 };

struct mailbox_lock {
    const struct settings *settings;
    struct str styles; // "fcntl, dotlock"
    const char *path;
    char *dot_path; // made by us, or NULL
    int fd;
};

static int make_dot_lock(struct mailbox_lock *l)
{
    struct buf path = BUF_INIT;
    struct stat st;
    buf_addf(&path, "%s.lock", l->path);
    if (stat(buf_cstr(&path), &st) == 0 && st.st_mtime + l->settings->stale_lock_time < clock_wall())
        unlink(buf_cstr(&path));
    int fd = open(buf_cstr(&path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        l->dot_path = mem_strdup(buf_cstr(&path));
    }
    buf_release(&path);
    return fd >= 0 ? 1 : errno == EEXIST ? 0 : -1;
}

static int take_style(struct mailbox_lock *l, struct str style)
{
    if (str_is(style, STR("flock")))
        return sys_flock(l->fd, SYS_LOCK_EXCLUSIVE, false);
    if (str_is(style, STR("fcntl")))
        return sys_fcntl_lock(l->fd, SYS_LOCK_EXCLUSIVE, false);
    if (str_is(style, STR("dotlock")))
        return make_dot_lock(l);
    die("unknown lock method: " STR_FMT, STR_ARG(style));
}

static void release(struct mailbox_lock *l)
{
    if (l->dot_path != NULL)
        unlink(l->dot_path);
    mem_free(l->dot_path);
    l->dot_path = NULL;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

// Takes all styles or none. 1, 0 somebody else holds one, -1 errno.
static int take_all(struct mailbox_lock *l)
{
    struct str rest = l->styles, style;
    l->fd = open(l->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int rc = l->fd < 0 ? -1 : 1;
    while (rc == 1 && str_token(&rest, ", \t", &style))
        rc = take_style(l, style);
    int saved = errno;
    if (rc != 1)
        release(l);
    errno = saved;
    return rc;
}

static int run_command(char **argv)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        log_line(LOG_LEVEL_FATAL, "execvp %s: %s", argv[0], strerror(errno));
        _exit(1);
    }
    if (pid < 0)
        return EXIT_TEMPORARY;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_TEMPORARY;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void usage(void)
{
    die("usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...");
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct arena arena = ARENA_INIT;
    struct settings *settings = ARENA_NEW(&arena, struct settings);
    struct mailbox_lock lock = {.fd = -1, .settings = settings};
    const char *style = NULL;
    die_set_status(EXIT_TEMPORARY);
    log_setup_early("postlock");
    log_add_stderr("postlock");
    for (int letter; (letter = getopt(argc, argv, "+c:l:v")) != -1;) {
        if (letter == 'c')
            setenv("MAIL_CONFIG", optarg, 1);
        else if (letter == 'l')
            style = optarg;
        else if (letter == '?')
            usage();
    }
    if (argc < optind + 2)
        usage();
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "postlock", &arena, settings, &err) < 0)
        die("%s", err.text);
    log_setup_command(settings, "postlock");
    lock.styles = style != NULL ? str_from(style) : settings->mailbox_delivery_lock;
    lock.path = argv[optind];
    int rc = take_all(&lock);
    for (int64_t i = 1; rc == 0 && i < settings->deliver_lock_attempts; i++) {
        sleep((unsigned)settings->deliver_lock_delay);
        rc = take_all(&lock);
    }
    if (rc != 1)
        die("lock %s: %s", lock.path, rc == 0 ? "somebody else holds the lock" : strerror(errno));
    signal(SIGINT, SIG_IGN); // the command decides; the lock must be taken back in any case
    signal(SIGQUIT, SIG_IGN);
    int status = run_command(argv + optind + 1);
    release(&lock);
    conf_free(conf);
    arena_release(&arena);
    return status;
}
