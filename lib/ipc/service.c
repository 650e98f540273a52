// SPDX-License-Identifier: ISC
// service.c: the life of a daemon: settings, log, privileges, jail, loop, retirement.
// Trust: the command line and descriptors come from master; privileges are those master gave until drop_privileges.
#include "lib/ipc/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "lib/ipc/service_internal.h"
#include "lib/sys/sys.h"

enum { MANY_SESSIONS = 10000, STANDARD_SESSIONS = 100, END_GRACE_MS = 3000, WATCHDOG_TURNS = 4 };
enum { DELIVERY_END_MS = 3000 }; // master kills what is left a second later

static struct service_run run; // the one service of this process

// ---- Start: command line, settings, log

static void check_options(const struct service *service, const struct service_options *o)
{
    if (o->is_standalone) {
        if (!(service->flags & SERVICE_STANDALONE_OK))
            die("stand-alone operation is not supported by this program");
        return;
    }
    if (o->type == NULL)
        die("no transport type specified");
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        die("do not run this command by hand");
    if ((service->flags & SERVICE_SOLITARY) && !o->is_one)
        die("service %s requires a process limit of 1", o->name);
    if ((service->flags & SERVICE_UNLIMITED) && !o->is_unlimited)
        die("service %s requires a process limit of 0", o->name);
    if ((service->flags & SERVICE_KEEPS_ROOT) && o->is_unpriv && !sys_is_rootless())
        die("service %s requires privileged operation", o->name);
}

static void set_number_override(struct conf *conf, const char *name, int64_t value)
{
    struct buf text = BUF_INIT;
    buf_add_u64(&text, (uint64_t)value);
    conf_override(conf, str_from(name), buf_str(&text));
    buf_release(&text);
}

static void read_settings(const char *program)
{
    struct conf *conf = conf_open(conf_default_dir(), (const char *const *)run.options.overrides, &run.err);
    if (conf == NULL)
        die("%s", run.err.text);
    conf_override(conf, STR("process_name"), str_from(program));
    conf_override(conf, STR("service_name"), str_from(run.options.name));
    set_number_override(conf, "process_id", getpid());
    if (settings_load(conf, program, &run.arena, &run.settings, &run.err) < 0)
        die("%s", run.err.text);
    run.ctx.conf = conf;
    run.ctx.settings = &run.settings;
}

static void open_log(const char *program)
{
    if (run.options.logs_to_stderr)
        log_add_stderr(program);
    if (run.options.is_standalone)
        log_setup_command(&run.settings, program);
    else
        log_setup_daemon(&run.settings, program);
    log_set_debug(run.options.verbosity > 0);
}

static unsigned session_limit(const struct service *service)
{
    uint64_t limit = 0;
    const char *given = getenv("DROMOS_SESSION_LIMIT");
    if (given == NULL || str_to_u64(str_from(given), &limit) < 0 || limit == 0 || limit > INT32_MAX)
        limit = STANDARD_SESSIONS;
    if (service->flags & (SERVICE_SOLITARY | SERVICE_MANY_CLIENTS))
        limit = MANY_SESSIONS;
    if (service->flags & (SERVICE_ONE_SESSION | SERVICE_KEEPS_ROOT))
        limit = 1;
    return (unsigned)limit;
}

// ---- Privileges

static void drop_privileges(const struct service *service)
{
    struct sys_user owner;
    struct sys_groups groups;
    if (sys_is_rootless() || (run.options.is_standalone && !run.options.is_unpriv))
        return;
    bool keeps_root = (service->flags & SERVICE_KEEPS_ROOT) != 0;
    if (!keeps_root && sys_user_by_name(run.settings.mail_owner, &owner, &run.err) != 1)
        die("mail_owner: user " STR_FMT " is unknown: %s", STR_ARG(run.settings.mail_owner), run.err.text);
    bool keeps_groups = (service->flags & SERVICE_KEEPS_GROUPS) != 0;
    if (keeps_groups && sys_groups_of(&owner, &groups, &run.err) < 0)
        die("mail_owner: %s", run.err.text);
    if (run.options.is_chroot && sys_chroot(run.settings.queue_directory.ptr, &run.err) < 0)
        die("%s", run.err.text);
    run.is_confined = run.options.is_chroot;
    if (keeps_groups ? sys_become_with_groups(&owner, &groups, &run.err) < 0
                     : !keeps_root && sys_become(&owner, &run.err) < 0)
        die("%s", run.err.text);
}

// ---- The end

void service_end_if_done(struct service_run *r)
{
    if (r->ctx.is_retiring && r->sessions == 0 && r->holds == 0 && r->accepters == 0)
        co_loop_stop();
}

void service_retire(struct service_context *ctx)
{
    if (ctx->is_retiring)
        return;
    ctx->is_retiring = true;
    if (run.has_status)
        (void)!send(SERVICE_STATUS_FD, "R\n", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
    service_accept_stop(&run);
    if (run.service->retire != NULL)
        run.service->retire(ctx);
    service_end_if_done(&run);
}

void service_hold(struct service_context *ctx)
{
    run.holds++;
}

void service_unhold(struct service_context *ctx)
{
    if (run.holds == 0)
        bug("service_unhold without service_hold");
    run.holds--;
    run.last_active = clock_ms();
    service_end_if_done(&run);
}

void service_delivery_begin(struct service_context *ctx)
{
    run.deliveries++;
    service_hold(ctx);
}

void service_delivery_end(struct service_context *ctx)
{
    if (run.deliveries == 0)
        bug("service_delivery_end without service_delivery_begin");
    run.deliveries--;
    service_unhold(ctx);
}

unsigned service_sessions(void)
{
    return run.sessions;
}

static void status_readable(int fd, int events, void *arg)
{
    char bytes[16];
    ssize_t n = read(fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        service_set_stress(&run, bytes[i] == 'Y');
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    co_watch_free(run.status_watch); // master reloads, stops or died
    run.status_watch = NULL;
    run.has_status = false;
    service_retire(&run.ctx);
}

static void end_now(void *arg)
{
    co_loop_stop();
}

static void terminated(int signo, void *arg)
{
    if (run.deliveries == 0) {
        run.ctx.is_retiring = true;
        co_loop_stop();
    } else if (run.end_timer == NULL) {
        run.end_timer = co_timer_new(end_now, NULL);
        co_timer_set(run.end_timer, clock_ms() + DELIVERY_END_MS);
        service_retire(&run.ctx);
    }
}

static int64_t idle_limit_ms(void)
{
    return (run.options.max_idle >= 0 ? run.options.max_idle : run.settings.max_idle) * 1000;
}

static void idle_check(void *arg)
{
    int64_t end = run.last_active + idle_limit_ms();
    bool is_idle = run.sessions == 0 && run.holds == 0;
    if (is_idle && clock_ms() >= end)
        service_retire(&run.ctx);
    else
        co_timer_set(run.idle_timer, is_idle ? end : clock_ms() + idle_limit_ms());
}

static void watchdog_turn(void *arg)
{
    bool is_qmgr = str_is(str_from(run.service->program), STR("qmgr")); // has a limit of its own
    int64_t limit = is_qmgr ? run.settings.qmgr_daemon_timeout : run.settings.daemon_timeout;
    alarm((unsigned)limit); // when the loop stands still for that long, SIGALRM ends the process
    co_timer_set(run.watchdog, clock_ms() + limit * 1000 / WATCHDOG_TURNS);
}

// ---- Main

static void start_daemon(void *arg)
{
    run.service->start(&run.ctx);
}

static void begin_serving(const struct service *service)
{
    run.last_active = clock_ms();
    co_on_signal(SIGTERM, terminated, NULL);
    run.watchdog = co_timer_new(watchdog_turn, NULL);
    watchdog_turn(NULL);
    if (service->start != NULL)
        co_spawn("start", start_daemon, NULL);
    if (run.options.is_standalone) {
        service_accept_standalone(&run);
        return;
    }
    run.has_status = true;
    run.status_watch = co_watch_fd(SERVICE_STATUS_FD, CO_READ, true, status_readable, NULL);
    if (!(service->flags & SERVICE_SOLITARY) && idle_limit_ms() > 0) {
        run.idle_timer = co_timer_new(idle_check, NULL);
        idle_check(NULL);
    }
    int64_t max_use = run.options.max_use >= 0 ? run.options.max_use : run.settings.max_use;
    if (!(service->flags & SERVICE_SOLITARY))
        run.use_limit = (uint64_t)max_use * run.ctx.session_limit;
    service_accept_start(&run);
}

static void prepare(const struct service *service, int argc, char **argv)
{
    log_setup_early(service->program);
    if (service_options_parse(&run.options, &run.arena, argc, argv, &run.err) < 0)
        die("%s", run.err.text);
    if (run.options.name == NULL)
        run.options.name = service->program;
    check_options(service, &run.options);
    for (unsigned i = 0; !run.options.is_standalone && i < SERVICE_LISTEN_FD - 3 + run.options.listeners; i++)
        if (fcntl(3 + (int)i, F_SETFD, FD_CLOEXEC) < 0)
            die("descriptor %u was not handed down: start this program by master", i + 3);
    read_settings(service->program);
    open_log(service->program);
    if (chdir(run.settings.queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(run.settings.queue_directory), strerror(errno));
}

int service_main(const struct service *service, int argc, char **argv)
{
    run.service = service;
    list_init(&run.idle);
    co_event_init(&run.room);
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    prepare(service, argc, argv);
    run.ctx.name = run.options.name;
    run.ctx.program = service->program;
    run.ctx.argv = run.options.rest;
    run.ctx.is_standalone = run.options.is_standalone;
    run.ctx.session_limit = session_limit(service);
    unsigned fd_limit;
    sys_raise_fd_limit(&fd_limit);
    co_loop_init();
    if (service->init != NULL && service->init(&run.ctx, &run.err) < 0)
        die("%s", run.err.text);
    drop_privileges(service);
    sys_no_core();
    if (!(service->flags & SERVICE_KEEPS_ROOT) && !run.options.is_standalone)
        service_enter_jail(&run);
    begin_serving(service);
    co_loop_run(END_GRACE_MS);
    if (service->deinit != NULL)
        service->deinit(&run.ctx);
    conf_free(run.ctx.conf);
    service_accept_release(&run);
    co_loop_free();
    arena_release(&run.arena);
    return 0;
}
