// SPDX-License-Identifier: ISC
// master_services.c: the services of master.cf: limits, listeners, and what changes when the configuration does.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/co/co.h"
#include "master/master.h"

enum { SUCCESSOR_PATIENCE_MS = 10000, DRAIN_PATIENCE_MS = 30000 };

// ---- What a row means

// Programs that become the recipient, or run somebody's command, do one thing at a time in a process.
static bool is_one_at_a_time(const struct master_row *row)
{
    static const char *const programs[] = {"local", "virtual", "pipe", "spawn"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (str_is(row->command, str_from(programs[i])))
            return true;
    return false;
}

// SERVICE_sessions_per_process: by the row's name, for network services by the program's (their name is an address).
static int64_t sessions_per_process(const struct master *m, const struct master_row *row)
{
    struct buf name = BUF_INIT;
    struct err err = ERR_INIT;
    int64_t value = 0;
    bool is_local = str_is(row->type, STR("unix"));
    buf_addf(&name, STR_FMT "_sessions_per_process", STR_ARG(is_local ? row->name : row->command));
    if (conf_get_int(m->config->conf, buf_cstr(&name), "0", &value, &err) < 0 || value < 0) {
        log_warn("%s: bad value, sessions are spread", buf_cstr(&name));
        value = 0;
    }
    buf_release(&name);
    return value > MASTER_UNLIMITED ? MASTER_UNLIMITED : value;
}

static void set_limits(struct master_service *s)
{
    int64_t maxproc = s->row->maxproc > 0 ? s->row->maxproc : MASTER_UNLIMITED;
    int64_t per_process = is_one_at_a_time(s->row) ? 1 : sessions_per_process(s->master, s->row);
    int64_t processes = maxproc < s->master->cpus ? maxproc : s->master->cpus;
    if (per_process == 0)
        per_process = (maxproc + processes - 1) / processes;
    if (per_process > maxproc)
        per_process = maxproc;
    s->session_limit = (unsigned)per_process;
    s->process_limit = (unsigned)((maxproc + per_process - 1) / per_process);
    s->is_exclusive = s->row->maxproc == 1 && s->row->wakeup > 0;
}

// master_service_disable: "type", "name/type", each may be negated by '!'; the first match decides.
static bool is_disabled(const struct settings *settings, const struct master_row *row)
{
    struct str rest = settings->master_service_disable, token;
    while (str_token(&rest, ", \t\r\n", &token)) {
        bool is_negated = str_starts(token, STR("!"));
        struct str type = str_slice(token, is_negated, token.len), name = type;
        long slash = str_rfind(type, '/');
        if (slash < 0)
            slash = str_rfind(type, '.');
        if (slash >= 0) {
            name = str_slice(name, 0, (size_t)slash);
            type = str_slice(type, (size_t)slash + 1, type.len);
        }
        if (str_is_nocase(type, row->type) && (slash < 0 || str_is(name, row->name)))
            return !is_negated;
    }
    return false;
}

static int plan_listeners(struct master_service *s, struct err *err)
{
    struct arena *arena = &s->master->config->arena;
    struct net_addr *addresses = NULL;
    s->listener_count = 1;
    struct buf where = BUF_INIT;
    if (str_is(s->row->type, STR("inet"))) {
        if (master_listen_addresses(&s->master->config->settings, s->row, arena, &addresses, &s->listener_count, err) <
            0)
            return -1;
        buf_add_str(&where, s->row->name);
    } else {
        master_listen_path(s->row, &where);
    }
    s->where = arena_cstr(arena, buf_str(&where));
    buf_release(&where);
    s->listeners = ARENA_ARRAY(arena, struct master_listener, s->listener_count);
    for (size_t i = 0; i < s->listener_count; i++) {
        s->listeners[i].fd = -1;
        if (addresses != NULL)
            s->listeners[i].addr = addresses[i];
    }
    return 0;
}

static struct master_service *service_new(struct master *m, const struct master_row *row, struct err *err)
{
    struct master_service *s = MEM_NEW(struct master_service);
    s->master = m;
    s->row = row;
    struct str dir = m->config->settings.daemon_directory;
    s->path = arena_strf(&m->config->arena, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(row->command)).ptr;
    s->is_missing = access(s->path, X_OK) < 0;
    set_limits(s);
    if (s->is_missing) {
        log_warn("service " STR_FMT ": program %s not found: service is skipped", STR_ARG(row->name), s->path);
    } else if (plan_listeners(s, err) < 0) {
        mem_free(s);
        return NULL;
    }
    return s;
}

// ---- Replacing the services

static bool is_same_listener(const struct master_service *a, size_t i, const struct master_service *b, size_t j)
{
    if (!str_is(a->row->type, b->row->type))
        return false;
    const struct master_listener *x = &a->listeners[i], *y = &b->listeners[j];
    if (str_is(a->row->type, STR("inet")))
        return net_addr_is_same_host(&x->addr, &y->addr) && net_addr_port(&x->addr) == net_addr_port(&y->addr);
    return str_is(a->row->name, b->row->name) && a->row->is_private == b->row->is_private;
}

static void take_listeners(struct master_service *s, struct list *old)
{
    LIST_EACH(item, old)
    {
        struct master_service *o = container_of(item, struct master_service, link);
        for (size_t i = 0; i < s->listener_count; i++) {
            for (size_t j = 0; s->listeners[i].fd < 0 && j < o->listener_count; j++) {
                if (o->listeners[j].fd < 0 || !is_same_listener(s, i, o, j))
                    continue;
                s->listeners[i].fd = o->listeners[j].fd;
                o->listeners[j].fd = -1;
                s->was_used = s->was_used || o->was_used;
            }
        }
    }
}

static void unwatch(struct master_service *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].watch != NULL)
            co_watch_free(s->listeners[i].watch);
        s->listeners[i].watch = NULL;
    }
    s->is_watching = false;
}

static void service_free(struct master_service *s, bool keeps_sockets)
{
    unwatch(s);
    master_wakeup_stop(s);
    if (s->resume_timer != NULL)
        co_timer_free(s->resume_timer);
    if (s->stress_timer != NULL)
        co_timer_free(s->stress_timer);
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].fd < 0)
            continue;
        close(s->listeners[i].fd);
        if (!keeps_sockets)
            master_listen_remove(s->row);
    }
    list_remove(&s->link);
    mem_free(s);
}

void master_services_free(struct master *m)
{
    LIST_EACH_SAFE(item, &m->services)
    service_free(container_of(item, struct master_service, link), true);
}

static int open_listeners(struct master_service *s, struct err *err)
{
    bool is_inet = str_is(s->row->type, STR("inet"));
    size_t opened = 0;
    for (size_t i = 0; i < s->listener_count; i++) {
        struct master_listener *l = &s->listeners[i];
        bool is_last_hope = opened == 0 && i + 1 == s->listener_count;
        if (l->fd < 0 && master_listen_open(s, is_inet ? &l->addr : NULL, &l->fd, err) < 0) {
            bool is_absent = err->errnum == EAFNOSUPPORT || err->errnum == EADDRNOTAVAIL; // a host without IPv6
            if (!is_inet || !is_absent || net_addr_family(&l->addr) != AF_INET6 || is_last_hope)
                return -1;
            continue;
        }
        s->listeners[opened] = *l;
        if (opened++ != i)
            l->fd = -1;
    }
    s->listener_count = opened;
    return 0;
}

// The service of the new configuration that must wait for the end of this process, or NULL.
static struct master_service *find_successor(const struct master_child *c, struct list *fresh)
{
    const struct master_service *former = c->service != NULL ? c->service : c->successor;
    if (former == NULL || !former->is_exclusive)
        return NULL;
    LIST_EACH(item, fresh)
    {
        struct master_service *s = container_of(item, struct master_service, link);
        if (str_is(s->row->name, former->row->name) && str_is(s->row->type, former->row->type))
            return s;
    }
    return NULL;
}

// Old processes finish what they do and end; an exclusive successor waits for that, and a system that is drained for
// open sessions: their time is limited.
static void retire_children(struct master *m, struct list *fresh)
{
    LIST_EACH(item, &m->children)
    {
        struct master_child *c = container_of(item, struct master_child, link);
        c->successor = find_successor(c, fresh);
        if (c->successor != NULL)
            c->successor->predecessors++;
        bool is_closing = c->service != NULL && master_drain_closes(m->config, c->service->row);
        c->service = NULL;
        master_retire(c, c->successor != NULL ? SUCCESSOR_PATIENCE_MS : is_closing ? DRAIN_PATIENCE_MS : 0);
    }
}

int master_services_apply(struct master *m, bool is_first, struct err *err)
{
    struct list fresh;
    list_init(&fresh);
    for (size_t i = 0; i < m->config->row_count; i++) {
        const struct master_row *row = &m->config->rows[i];
        if (is_disabled(&m->config->settings, row) || master_drain_closes(m->config, row))
            continue;
        struct master_service *s = service_new(m, row, err);
        if (s != NULL)
            list_append(&fresh, &s->link);
        else if (is_first)
            return -1;
        else
            log_error("%s", err->text);
    }
    retire_children(m, &fresh);
    LIST_EACH(item, &fresh)
    take_listeners(container_of(item, struct master_service, link), &m->services);
    LIST_EACH_SAFE(item, &m->services)
    service_free(container_of(item, struct master_service, link), false);
    LIST_EACH_SAFE(item, &fresh)
    {
        struct master_service *s = container_of(item, struct master_service, link);
        if (s->is_missing) {
            master_listen_remove(s->row);
        } else if (open_listeners(s, err) < 0) {
            if (is_first)
                return -1;
            log_error("%s", err->text);
        }
        list_remove(item);
        list_append(&m->services, item);
    }
    LIST_EACH(item, &m->services)
    {
        struct master_service *s = container_of(item, struct master_service, link);
        master_wakeup_start(s);
        master_service_update(s);
    }
    return 0;
}

// ---- What to watch

struct load_summary {
    bool is_any_below_half, is_any_below_limit;
};

static struct load_summary summarize(const struct master_service *s)
{
    struct load_summary sum = {false, false};
    LIST_EACH(item, &s->master->children)
    {
        const struct master_child *c = container_of(item, struct master_child, link);
        if (c->service != s || c->is_retiring)
            continue;
        if ((uint64_t)c->load * 2 < c->limit)
            sum.is_any_below_half = true;
        if (c->load < c->limit)
            sum.is_any_below_limit = true;
    }
    return sum;
}

// ---- Stress: all places of a network service are taken, and somebody waits

static void tell_stress(struct master_service *s, const char *state)
{
    LIST_EACH(item, &s->master->children)
    {
        const struct master_child *c = container_of(item, struct master_child, link);
        if (c->service == s && c->status_fd >= 0)
            (void)!send(c->status_fd, state, 1,
                        MSG_DONTWAIT | MSG_NOSIGNAL); // a full channel: the process is stuck anyway
    }
}

static void end_stress(void *arg)
{
    struct master_service *s = arg;
    if (clock_ms() < s->stress_until)
        co_timer_set(s->stress_timer, s->stress_until);
    else
        tell_stress(s, "N");
}

static void begin_stress(struct master_service *s)
{
    s->stress_until = clock_ms() + MASTER_STRESS_SECONDS * 1000;
    if (!str_is(s->row->type, STR("inet")))
        return;
    if (s->stress_timer == NULL)
        s->stress_timer = co_timer_new(end_stress, s);
    co_timer_set(s->stress_timer, s->stress_until);
    tell_stress(s, "Y");
}

static void warn_limit(struct master_service *s)
{
    s->next_warning = clock_ms() + MASTER_WARN_SECONDS * 1000;
    begin_stress(s);
    log_warn("service \"" STR_FMT
             "\" (%s) has reached its process limit \"%lld\": new clients may experience noticeable delays",
             STR_ARG(s->row->name), s->where, (long long)s->row->maxproc);
    log_warn("to avoid this condition, increase the process count in master.cf or reduce the service time per client");
}

static void listener_readable(int fd, int events, void *arg)
{
    struct master_service *s = arg;
    if (s->is_watching_limit)
        warn_limit(s);
    else
        master_spawn(s);
    master_service_update(s);
}

void master_service_update(struct master_service *s)
{
    struct load_summary sum = summarize(s);
    bool is_able = !s->is_missing && !s->is_pausing && !s->master->is_stopping && s->predecessors == 0;
    bool wants_process = is_able && s->running < s->process_limit && !sum.is_any_below_half;
    bool wants_warning = is_able && s->running >= s->process_limit && !sum.is_any_below_limit &&
                         clock_ms() >= s->next_warning && s->row->maxproc > 1;
    s->is_watching_limit = wants_warning;
    bool wants = wants_process || wants_warning;
    if (wants == s->is_watching)
        return;
    if (!wants) {
        unwatch(s);
        return;
    }
    for (size_t i = 0; i < s->listener_count; i++)
        s->listeners[i].watch = co_watch_fd(s->listeners[i].fd, CO_READ, true, listener_readable, s);
    s->is_watching = true;
}

static void resume(void *arg)
{
    struct master_service *s = arg;
    s->is_pausing = false;
    master_service_update(s);
}

void master_service_pause(struct master_service *s, int64_t seconds)
{
    s->is_pausing = true;
    if (s->resume_timer == NULL)
        s->resume_timer = co_timer_new(resume, s);
    co_timer_set(s->resume_timer, clock_ms() + seconds * 1000);
    master_service_update(s);
}
