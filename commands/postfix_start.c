// SPDX-License-Identifier: ISC
// postfix_start.c: starting, stopping and telling the master process.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/log.h"
#include "lib/conf/lint.h"

enum { STOP_SECONDS = 6, POLLS_A_SECOND = 50 };

pid_t control_master_pid(struct control *c)
{
    struct str path = arena_strf(&c->arena, STR_FMT "/" STR_FMT "/master.pid", STR_ARG(c->settings.queue_directory),
                                 STR_ARG(c->settings.process_id_directory));
    pid_t pid;
    int rc = sys_pid_lock_test(path.ptr, &pid);
    if (rc < 0)
        log_warn("cannot read %s: %s", path.ptr, strerror(errno));
    return rc == 1 ? pid : 0;
}

pid_t control_running_pid(struct control *c)
{
    pid_t pid = control_master_pid(c);
    if (pid <= 1)
        die("the Postfix mail system is not running");
    return pid;
}

static const char *program(struct control *c, struct str dir, const char *name)
{
    return arena_strf(&c->arena, STR_FMT "/%s", STR_ARG(dir), name).ptr;
}

// ---- Start

static void mention_old_defaults(struct control *c)
{
    struct lint l = {.arena = ARENA_INIT, .conf = c->conf};
    lint_old_defaults(&l);
    if (l.count > 0)
        log_info("Postfix is running with backwards-compatible default settings");
    for (size_t i = 0; i < l.count; i++)
        log_info(STR_FMT, STR_ARG(l.findings[i].text));
    lint_release(&l);
}

static void prepare_start(struct control *c)
{
    if (control_master_pid(c) != 0)
        die("the Postfix mail system is already running");
    if (!control_prepare(c))
        die("Postfix integrity check failed!");
    const char *mark = program(c, c->settings.queue_directory, "quick-start");
    if (unlink(mark) < 0)
        control_check_queue(c); // before anybody holds a file
    control_end_drain(c);
    mention_old_defaults(c);
    log_info("starting the Postfix mail system");
}

int control_start(struct control *c)
{
    prepare_start(c);
    const char *path = program(c, c->settings.daemon_directory, "master");
    const char *const argv[] = {path, "-w", NULL};
    if (sys_run(path, argv) != 0)
        die("mail system startup failed");
    return 0;
}

int control_start_fg(struct control *c)
{
    prepare_start(c);
    const char *path = program(c, c->settings.daemon_directory, "master");
    execl(path, path, getpid() == 1 ? "-i" : "-s", (char *)NULL);
    die("execute %s: %s", path, strerror(errno));
}

// ---- Stop

static bool wait_for_end(struct control *c)
{
    struct timespec pause = {.tv_nsec = 1000000000 / POLLS_A_SECOND};
    for (int i = 1; i <= STOP_SECONDS * POLLS_A_SECOND; i++) {
        if (control_master_pid(c) == 0)
            return true;
        if (i % POLLS_A_SECOND == 0)
            log_info("waiting for the Postfix mail system to terminate");
        nanosleep(&pause, NULL);
    }
    return false;
}

int control_stop(struct control *c)
{
    pid_t pid = control_running_pid(c);
    log_info("stopping the Postfix mail system");
    kill(pid, SIGTERM);
    if (!wait_for_end(c)) {
        log_info("stopping the Postfix mail system with force");
        if (kill(-pid, SIGKILL) < 0) // started in the foreground it leads no process group
            kill(pid, SIGKILL);
    }
    return 0;
}

int control_quick_stop(struct control *c)
{
    control_stop(c);
    struct stat st;
    struct sys_open how = {program(c, c->settings.queue_directory, "quick-start"), O_WRONLY | O_CREAT, 0644, (uid_t)-1,
                           (gid_t)-1};
    int fd = sys_safe_open(&how, &st, NULL);
    if (fd >= 0)
        close(fd);
    return 0;
}

int control_abort(struct control *c)
{
    pid_t pid = control_running_pid(c);
    log_info("aborting the Postfix mail system");
    kill(pid, SIGTERM);
    return 0;
}

// ---- The rest

int control_reload(struct control *c)
{
    pid_t pid = control_running_pid(c);
    log_info("refreshing the Postfix mail system");
    kill(pid, SIGHUP);
    return 0;
}

int control_flush(struct control *c)
{
    control_running_pid(c);
    const char *path = program(c, c->settings.command_directory, "postqueue");
    execl(path, path, "-f", (char *)NULL);
    die("execute %s: %s", path, strerror(errno));
}

int control_status(struct control *c)
{
    pid_t pid = control_master_pid(c);
    if (pid == 0) {
        log_info("the Postfix mail system is not running");
        return 1;
    }
    log_info("the Postfix mail system is running: PID: %d", (int)pid);
    return 0;
}
