// SPDX-License-Identifier: ISC
// master.c: the process that starts all others: command line, locks, signals, reload and stop.
// Trust: the command line, main.cf and master.cf are the administrator's; runs as root, or as mail_owner when rootless.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/co/co.h"
#include "lib/ipc/log_setup.h"
#include "master/master.h"

enum { STOP_KILL_MS = 4000, START_WAIT_MS = 100000 };

struct options {
    bool is_test, waits, is_init;
    int64_t exit_after;
};

// ---- Command line

static void usage(const char *problem)
{
    die("%s; usage: master [-c config_dir] [-D] [-d] [-e exit_time] [-i] [-s] [-t] [-v] [-w]", problem);
}

static void set_config_dir(const char *dir)
{
    if (dir[0] != '/')
        die("-c needs an absolute path: %s", dir);
    setenv("MAIL_CONFIG", dir, 1);
}

static struct options parse_options(struct master *m, int argc, char **argv)
{
    struct options o = {.exit_after = 0};
    for (int letter; (letter = getopt(argc, argv, "c:Dde:istvw")) != -1;) {
        if (letter == 'c')
            set_config_dir(optarg);
        else if (letter == 'e' && (str_to_i64(str_from(optarg), &o.exit_after) < 0 || o.exit_after <= 0))
            usage("bad number of seconds");
        else if (letter == '?')
            usage("unknown option");
        m->is_foreground = m->is_foreground || strchr("dis", letter) != NULL;
        m->verbosity += letter == 'v';
        o.is_init = o.is_init || letter == 'i';
        o.is_test = o.is_test || letter == 't';
        o.waits = o.waits || letter == 'w';
    }
    if (optind < argc)
        usage("too many arguments");
    if (o.is_init && getpid() != 1)
        die("-i is for process 1 only");
    if (o.waits && (o.is_test || m->is_foreground))
        usage("-w cannot be combined with -d, -i, -s or -t");
    return o;
}

// ---- Identity and locks

static void know_owner(struct master *m)
{
    struct err err = ERR_INIT;
    struct str name = m->config->settings.mail_owner;
    m->is_rootless = sys_is_rootless();
    if (sys_user_by_name(name, &m->owner, &err) != 1)
        die("mail_owner: %s", err.text);
    if (m->is_rootless && m->owner.uid != geteuid())
        die("started by user id %u, which is neither root nor mail_owner (%s)", (unsigned)geteuid(), m->owner.name);
    if (!m->is_rootless && m->owner.uid == 0)
        die("mail_owner must not be root");
}

static const char *pid_file(struct master *m)
{
    struct str dir = m->config->settings.process_id_directory;
    return arena_strf(&m->config->arena, STR_FMT "/master.pid", STR_ARG(dir)).ptr;
}

static void take_locks(struct master *m)
{
    struct err err = ERR_INIT;
    struct str data = m->config->settings.data_directory;
    if (sys_pid_lock(pid_file(m), &err) < 0) // held until we end
        die("%s", err.text);
    if (sys_act_as(m->owner.uid, m->owner.gid, &err) < 0)
        die("%s", err.text);
    const char *path = arena_strf(&m->config->arena, STR_FMT "/master.lock", STR_ARG(data)).ptr;
    if (sys_pid_lock(path, &err) < 0)
        die("%s", err.text);
    sys_act_as_root();
}

static int test_lock(struct master *m)
{
    pid_t pid;
    return sys_pid_lock_test(pid_file(m), &pid) == 0 ? 0 : 1;
}

// ---- Going to the background. The parent waits, when asked to, for one byte that says that all listeners are open.

static int go_background(bool waits)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        setsid();
        return ends[1];
    }
    close(ends[1]);
    char byte = 0;
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    if (waits && (poll(&p, 1, START_WAIT_MS) != 1 || read(ends[0], &byte, 1) != 1))
        _exit(1);
    _exit(0);
}

static void close_stdio(const struct master *m, int ready_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (!m->is_foreground) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    close(null);
    if (ready_fd >= 0) {
        (void)!write(ready_fd, "", 1);
        close(ready_fd);
    }
}

// ---- Signals

static void end_if_all_ended(struct master *m)
{
    if (m->is_stopping && list_is_empty(&m->children))
        co_loop_stop();
}

static void on_child(int signo, void *arg)
{
    master_reap(arg);
    end_if_all_ended(arg);
}

static void kill_the_rest(void *arg)
{
    struct master *m = arg;
    master_kill_all(m, SIGKILL);
    co_timer_set(m->stop_timer, clock_ms() + 1000);
}

static void stop(struct master *m)
{
    if (m->is_stopping)
        return;
    m->is_stopping = true;
    sys_notify("STOPPING=1");
    LIST_EACH(item, &m->services)
    master_service_update(container_of(item, struct master_service, link));
    master_kill_all(m, SIGTERM);
    m->stop_timer = co_timer_new(kill_the_rest, m);
    co_timer_set(m->stop_timer, clock_ms() + STOP_KILL_MS);
    end_if_all_ended(m);
}

static void on_stop(int signo, void *arg)
{
    log_info("terminating on signal %d", signo);
    stop(arg);
}

static void on_exit_time(void *arg)
{
    stop(arg);
}

static void log_version(const struct master *m, const char *event)
{
    log_info("%s -- version " STR_FMT ", configuration %s", event, STR_ARG(m->config->settings.mail_version),
             conf_dir(m->config->conf));
}

static void log_draining(const struct master *m)
{
    struct str nexthop = m->config->drain_nexthop;
    if (m->config->is_draining)
        log_info("draining: no mail is accepted until the next \"postfix start\"%s" STR_FMT,
                 nexthop.len ? "; all mail goes to " : "", STR_ARG(nexthop));
}

static void on_reload(int signo, void *arg)
{
    struct master *m = arg;
    struct err err = ERR_INIT;
    if (m->is_stopping)
        return;
    struct buf state = BUF_INIT;
    buf_addf(&state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_ms() * 1000);
    sys_notify(buf_cstr(&state));
    buf_release(&state);
    struct master_config *fresh = master_config_read(m, &err), *old = m->config;
    if (fresh == NULL) {
        log_error("reload: %s; the former configuration stays in use", err.text);
    } else if (!str_is(fresh->settings.queue_directory, old->settings.queue_directory)) {
        log_error("reload: queue_directory was changed: stop and start instead; the former configuration stays in use");
        master_config_free(fresh);
    } else {
        m->config = fresh;
        m->generation++;
        master_log_open(m);
        log_version(m, "reload");
        log_draining(m);
        master_services_apply(m, false, &err);
        master_config_free(old);
    }
    sys_notify("READY=1");
}

static void watch_signals(struct master *m)
{
    signal(SIGPIPE, SIG_IGN);
    co_on_signal(SIGCHLD, on_child, m);
    co_on_signal(SIGHUP, on_reload, m);
    co_on_signal(SIGTERM, on_stop, m);
    co_on_signal(SIGINT, on_stop, m);
    co_on_signal(SIGQUIT, on_stop, m);
}

// ---- Main

static void prepare(struct master *m)
{
    struct err err = ERR_INIT;
    m->config = master_config_read(m, &err);
    if (m->config == NULL)
        die("%s", err.text);
    if (chdir(m->config->settings.queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(m->config->settings.queue_directory), strerror(errno));
}

static void warn_about_chroot(const struct master *m)
{
    for (size_t i = 0; m->is_rootless && i < m->config->row_count; i++) {
        if (m->config->rows[i].is_chroot) {
            log_info("not started by root: the chroot column of master.cf is ignored");
            return;
        }
    }
}

static void serve(struct master *m, const struct options *o, int ready_fd)
{
    struct err err = ERR_INIT;
    unsigned fd_limit;
    sys_raise_fd_limit(&fd_limit);
    co_loop_init();
    watch_signals(m);
    log_add_stderr(NULL);
    log_version(m, "daemon started");
    warn_about_chroot(m);
    log_draining(m);
    if (master_services_apply(m, true, &err) < 0) {
        log_add_stderr("master"); // whoever waits for the start should see this one
        die("%s", err.text);
    }
    struct co_timer *exit_timer = co_timer_new(on_exit_time, m);
    if (o->exit_after > 0)
        co_timer_set(exit_timer, clock_ms() + o->exit_after * 1000);
    close_stdio(m, ready_fd);
    sys_notify("READY=1");
    co_loop_run(0);
    co_timer_free(exit_timer);
}

static void clean_up(struct master *m)
{
    if (m->stop_timer != NULL)
        co_timer_free(m->stop_timer);
    master_services_free(m);
    master_config_free(m->config);
    co_loop_free();
}

int main(int argc, char **argv)
{
    struct master m = {.log_fd = -1, .generation = 1, .cpus = sys_cpu_count()};
    list_init(&m.services);
    list_init(&m.children);
    umask(022);
    log_setup_early("master");
    log_add_stderr("master");
    struct options o = parse_options(&m, argc, argv);
    prepare(&m);
    if (o.is_test) {
        int status = test_lock(&m);
        master_config_free(m.config);
        return status;
    }
    know_owner(&m);
    int ready_fd = m.is_foreground ? -1 : go_background(o.waits);
    master_log_open(&m);
    take_locks(&m);
    serve(&m, &o, ready_fd);
    clean_up(&m);
    return 0;
}
