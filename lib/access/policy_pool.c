// SPDX-License-Identifier: ISC
// policy_pool.c: the servers of a process, and the connections to them that wait for the next question.
//
// Suspends: opening a connection. Limits: SERVERS_MAX servers, KEPT_MAX kept connections to each.
#include "lib/access/policy_impl.h"
#include "lib/net/dns.h"

#define KEPT_MAX    100
#define WAITING_MS  1000
#define SERVERS_MAX 1000 // tables and servers may name further ones

// ---- Servers

struct policy_pool *policy_pool_new(const struct settings *settings)
{
    struct policy_pool *p = MEM_NEW(struct policy_pool);

    p->settings = settings;
    p->servers = MAP_INIT;
    return p;
}

void policy_pool_free(struct policy_pool *p)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    if (p == NULL)
        return;
    while ((entry = map_next(&p->servers, &it)) != NULL)
        policy_server_free(entry->value);
    map_release(&p->servers);
    mem_free(p);
}

struct policy_server *policy_server_open(struct policy_pool *p, struct str text, struct err *err)
{
    struct policy_server *s = map_get(&p->servers, text);

    if (s != NULL)
        return s;
    if (p->servers.count >= SERVERS_MAX) {
        err_set(err, ERR_TEMPORARY, "policy service: more than %d different ones are named", SERVERS_MAX);
        return NULL;
    }
    s = policy_server_parse(p->settings, text, err);
    if (s != NULL)
        map_set(&p->servers, text, s);
    return s;
}

struct str policy_server_name(const struct policy_server *s)
{
    return str_from(s->name);
}

// ---- Connections

static void connection_free(struct policy_connection *c)
{
    stream_free(c->stream);
    mem_free(c);
}

static void drop_kept(struct policy_server *s, struct policy_connection *c)
{
    list_remove(&c->link);
    s->kept_count--;
    connection_free(c);
}

static int64_t expiry(const struct policy_server *s, const struct policy_connection *c)
{
    int64_t idle_end = c->used_ms + s->max_idle * 1000, life_end = c->since_ms + s->max_ttl * 1000;
    return idle_end < life_end ? idle_end : life_end;
}

// When somebody who waits on a new connection has waited too long; CLOCK_NEVER: nobody waits.
static int64_t impatience(const struct policy_server *s)
{
    struct list *first = list_first(&s->waiting);
    return first != NULL ? container_of(first, struct policy_waiter, link)->since_ms + WAITING_MS : CLOCK_NEVER;
}

// Closes what has been kept long enough, and all when the server does not come to a new connection: it may hold a
// process for each.
static void close_expired(void *arg)
{
    struct policy_server *s = arg;
    int64_t next = impatience(s);
    bool is_wanted = next <= clock_ms();

    LIST_EACH_SAFE(link, &s->kept)
    {
        struct policy_connection *c = container_of(link, struct policy_connection, link);
        int64_t end = expiry(s, c);
        if (is_wanted || end <= clock_ms())
            drop_kept(s, c);
        else if (end < next)
            next = end;
    }
    if (s->timer == NULL)
        s->timer = co_timer_new(close_expired, s);
    co_timer_set(s->timer, s->kept_count > 0 ? next : CLOCK_NEVER);
}

void policy_waiter_begin(struct policy_server *s, struct policy_waiter *w)
{
    w->since_ms = clock_ms();
    list_append(&s->waiting, &w->link);
    close_expired(s);
}

struct policy_connection *policy_connection_take(struct policy_server *s)
{
    struct list *first;

    while ((first = list_first(&s->kept)) != NULL) {
        struct policy_connection *c = container_of(first, struct policy_connection, link);
        if (expiry(s, c) > clock_ms() && stream_is_alive(c->stream)) {
            list_remove(&c->link);
            s->kept_count--;
            return c;
        }
        drop_kept(s, c);
    }
    return NULL;
}

static struct stream *connect_by_name(struct policy_server *s, int64_t deadline, struct err *err) CO
{
    const struct dns_host_query query = {.host = s->host, .family = AF_UNSPEC, .with_hosts = true};
    struct arena arena = ARENA_INIT;
    struct dns_addresses found = {.count = 0};
    enum dns_status status = dns_lookup_host(&query, &arena, deadline, &found);
    struct stream *stream = NULL;

    if (status != DNS_OK)
        err_set(err, co_is_cancelled() ? ERR_CANCELLED : ERR_TEMPORARY, STR_FMT ": %s", STR_ARG(s->host),
                dns_status_text(status));
    for (size_t i = 0; i < found.count && stream == NULL; i++) {
        net_addr_set_port(&found.items[i], s->port);
        stream = stream_connect(&found.items[i], NULL, deadline, err);
    }
    arena_release(&arena);
    return stream;
}

struct policy_connection *policy_connection_open(struct policy_server *s, int64_t deadline, struct err *err)
{
    struct stream *stream =
        s->host.len > 0 ? connect_by_name(s, deadline, err) : stream_connect(&s->addr, NULL, deadline, err);
    struct policy_connection *c;

    if (stream == NULL) {
        err_prefix(err, "connect to %s", s->name);
        return NULL;
    }
    c = MEM_NEW(struct policy_connection);
    list_init(&c->link);
    c->stream = stream;
    c->since_ms = clock_ms();
    return c;
}

void policy_connection_give_back(struct policy_server *s, struct policy_connection *c, bool works)
{
    c->used_ms = clock_ms();
    c->requests++;
    if (!works || s->kept_count >= KEPT_MAX || (s->request_limit > 0 && c->requests >= s->request_limit) ||
        expiry(s, c) <= clock_ms() || stream_buffered(c->stream) > 0) {
        connection_free(c);
        return;
    }
    stream_idle(c->stream);
    list_prepend(&s->kept, &c->link);
    s->kept_count++;
    if (s->kept_count == 1 || !list_is_empty(&s->waiting)) // else the timer is set for an older one
        close_expired(s);
}

void policy_connections_free(struct policy_server *s)
{
    struct list *first;

    while ((first = list_first(&s->kept)) != NULL)
        drop_kept(s, container_of(first, struct policy_connection, link));
    if (s->timer != NULL)
        co_timer_free(s->timer);
    s->timer = NULL;
}
