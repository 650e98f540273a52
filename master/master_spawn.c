// SPDX-License-Identifier: ISC
// master_spawn.c: starting processes with the command line that Postfix's daemons know, and what follows their end.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/co/co.h"
#include "master/master.h"

enum { ARGV_OWN_MAX = 32, SHORT_LIFE_MS = 1000, SHORT_LIVES_MAX = 5, KILLED_PAUSE_SECONDS = 1 };

// ---- Command line and environment

struct words {
    const char **items;
    size_t count;
};

static void add_word(struct words *w, const char *word)
{
    w->items[w->count++] = word;
}

static const char *const *make_argv(const struct master_service *s, struct arena *arena)
{
    const struct master_row *row = s->row;
    const struct master *m = s->master;
    struct words w = {ARENA_ARRAY(arena, const char *, row->argc + ARGV_OWN_MAX), 0};
    add_word(&w, arena_cstr(arena, row->command));
    if (row->maxproc == 1)
        add_word(&w, "-l");
    if (row->maxproc == 0)
        add_word(&w, "-z");
    if (!str_is(row->name, row->command)) {
        add_word(&w, "-n");
        add_word(&w, arena_cstr(arena, row->name));
    }
    add_word(&w, "-t");
    add_word(&w, arena_cstr(arena, row->type));
    for (unsigned i = 0; i < m->verbosity && i < 3; i++)
        add_word(&w, "-v");
    if (row->is_unpriv && !m->is_rootless)
        add_word(&w, "-u");
    if (row->is_chroot && !m->is_rootless)
        add_word(&w, "-c");
    if (str_is(row->type, STR("inet")) && row->maxproc != 1) {
        add_word(&w, "-o");
        add_word(&w, clock_ms() < s->stress_until ? "stress=yes" : "stress=");
    }
    if (s->listener_count > 1) {
        add_word(&w, "-s");
        add_word(&w, arena_strf(arena, "%zu", s->listener_count).ptr);
    }
    for (size_t i = 0; i < row->argc; i++)
        add_word(&w, arena_cstr(arena, row->argv[i]));
    const char *option = master_drain_option(m->config, row, arena);
    if (option != NULL) {
        add_word(&w, "-o");
        add_word(&w, option);
    }
    return (const char *const *)w.items;
}

// The share of a new process: what the running ones leave of the row's limit, at most an even share.
static unsigned session_share(const struct master_service *s)
{
    int64_t left = s->row->maxproc;
    if (left == 0)
        return s->session_limit;
    LIST_EACH(item, &s->master->children)
    {
        const struct master_child *c = container_of(item, struct master_child, link);
        if (c->service == s && !c->is_retiring)
            left -= c->limit;
    }
    return left < 1 ? 1 : left < s->session_limit ? (unsigned)left : s->session_limit;
}

static const char *const *make_environment(const struct master_service *s, unsigned share, struct arena *arena)
{
    const struct master *m = s->master;
    size_t common = m->config->environment_count;
    struct words w = {ARENA_ARRAY(arena, const char *, common + 4), 0};
    for (size_t i = 0; i < common; i++)
        add_word(&w, m->config->environment[i]);
    add_word(&w, arena_strf(arena, "GENERATION=%o", m->generation).ptr);
    add_word(&w, arena_strf(arena, "DROMOS_SESSION_LIMIT=%u", share).ptr);
    add_word(&w, m->log_kind);
    return (const char *const *)w.items;
}

// ---- Starting

static int spawn_child(struct master_service *s, unsigned share, int status_fd, pid_t *pid_r, struct err *err)
{
    struct arena arena = ARENA_INIT;
    int *fds = ARENA_ARRAY(&arena, int, s->listener_count + 2);
    fds[0] = status_fd;
    fds[1] = s->master->log_fd;
    for (size_t i = 0; i < s->listener_count; i++)
        fds[i + 2] = s->listeners[i].fd;
    struct sys_spawn how = {
        .path = s->path,
        .argv = make_argv(s, &arena),
        .envp = make_environment(s, share, &arena),
        .fds = fds,
        .fd_count = (unsigned)s->listener_count + 2,
        .first_fd = 3,
        .keeps_stdio = s->master->is_foreground,
    };
    int rc = sys_spawn(&how, pid_r, err);
    arena_release(&arena);
    return rc;
}

void master_spawn(struct master_service *s)
{
    int channel[2];
    pid_t pid;
    struct err err = ERR_INIT;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) < 0) {
        log_warn("cannot start %s: %s", s->path, strerror(errno));
        master_service_pause(s, KILLED_PAUSE_SECONDS);
        return;
    }
    unsigned share = session_share(s);
    int rc = spawn_child(s, share, channel[1], &pid, &err);
    close(channel[1]);
    if (rc < 0) {
        close(channel[0]);
        log_warn("%s", err.text);
        log_warn("%s: bad command startup -- throttling", s->path);
        master_service_pause(s, s->master->config->settings.service_throttle_time);
        return;
    }
    struct master_child *c = MEM_NEW(struct master_child);
    c->master = s->master;
    c->service = s;
    c->pid = pid;
    c->path = mem_strdup(s->path);
    c->status_fd = channel[0];
    c->limit = share;
    c->started = clock_ms();
    list_append(&s->master->children, &c->link);
    s->running++;
    s->was_used = true;
    master_status_watch(c);
    log_debug("started %s, pid %d", c->path, (int)pid);
}

// ---- Ending

static void log_end(const struct master_child *c, int status)
{
    if (WIFEXITED(status))
        log_warn("process %s pid %d exit status %d", c->path, (int)c->pid, WEXITSTATUS(status));
    else
        log_warn("process %s pid %d killed by signal %d", c->path, (int)c->pid, WTERMSIG(status));
}

// A process that never got ready would fail again at once: its service pauses. One that has served may start again at
// once, for a client may be waiting; unless it keeps dying young.
static void judge_end(struct master_child *c, int status)
{
    struct master_service *s = c->service;
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool is_short = clock_ms() - c->started < SHORT_LIFE_MS;
    if (s == NULL)
        return;
    s->short_lives = !was_killed && is_short && c->has_reported ? s->short_lives + 1 : 0;
    if (was_killed && !c->has_reported) {
        master_service_pause(s, KILLED_PAUSE_SECONDS);
    } else if (!c->has_reported || s->short_lives >= SHORT_LIVES_MAX) {
        s->short_lives = 0;
        log_warn("%s: bad command startup -- throttling", c->path);
        master_service_pause(s, s->master->config->settings.service_throttle_time);
    } else {
        master_wakeup_soon(s);
    }
}

static void child_free(struct master_child *c)
{
    struct master_service *s = c->service, *successor = c->successor;
    if (c->status_watch != NULL)
        co_watch_free(c->status_watch);
    if (c->status_fd >= 0)
        close(c->status_fd);
    if (c->kill_timer != NULL)
        co_timer_free(c->kill_timer);
    if (s != NULL && !c->is_retiring)
        s->running--;
    list_remove(&c->link);
    mem_free(c->path);
    mem_free(c);
    if (successor != NULL)
        successor->predecessors--;
    if (s != NULL)
        master_service_update(s);
    if (successor != NULL && successor != s)
        master_service_update(successor);
}

void master_reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        LIST_EACH_SAFE(item, &m->children)
        {
            struct master_child *c = container_of(item, struct master_child, link);
            if (c->pid != pid)
                continue;
            bool is_expected = WIFEXITED(status) ? WEXITSTATUS(status) == 0 : m->is_stopping || c->was_terminated;
            if (!is_expected) {
                log_end(c, status);
                judge_end(c, status);
            } else if (!c->has_reported && !c->is_retiring && c->service != NULL) {
                master_service_pause(c->service, KILLED_PAUSE_SECONDS); // ended well before it was ready: odd
            }
            child_free(c);
            break;
        }
    }
}

void master_kill_all(struct master *m, int signo)
{
    LIST_EACH(item, &m->children)
    kill(container_of(item, struct master_child, link)->pid, signo);
}
