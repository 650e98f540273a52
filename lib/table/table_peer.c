// SPDX-License-Identifier: ISC
// table_peer.c: connections to a lookup server: resolved, kept, shared by turns, tried again after a growing pause.
//
// Limits: KEPT_MAX idle connections, closed after IDLE_MS or AGE_MS; pauses from PAUSE_MIN_MS to PAUSE_MAX_MS.
#include <netdb.h>

#include "lib/table/table_peer_impl.h"

#define KEPT_MAX     16
#define ADDRESS_MAX  8
#define IDLE_MS      10000
#define AGE_MS       100000
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000

struct kept {
    struct stream *stream;
    int64_t since, last_used;
};

struct table_peer {
    char *name;        // as given, for messages
    char *host, *port; // NULL: addresses[0] is a path or literal
    struct net_addr addresses[ADDRESS_MAX];
    size_t address_count;
    struct kept kept[KEPT_MAX];
    size_t kept_count;
    int64_t pause_end, pause;
    struct err failure; // during the pause
};

struct resolution {
    char *host, *port;
    struct net_addr addresses[ADDRESS_MAX];
    size_t count;
};

static void resolve(void *data)
{
    struct resolution *r = data;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;

    if (getaddrinfo(r->host, r->port, &hints, &list) != 0)
        return;
    for (struct addrinfo *a = list; a != NULL && r->count < ADDRESS_MAX; a = a->ai_next)
        net_addr_from(a->ai_addr, a->ai_addrlen, &r->addresses[r->count++]);
    freeaddrinfo(list);
}

static void release_resolution(void *data)
{
    struct resolution *r = data;
    mem_free(r->host);
    mem_free(r->port);
    mem_free(r);
}

static struct resolution *new_resolution(const struct table_peer *p)
{
    struct resolution *r = MEM_NEW(struct resolution);
    r->host = mem_strdup(p->host);
    r->port = mem_strdup(p->port);
    return r;
}

static void take_resolution(struct table_peer *p, struct resolution *r)
{
    if (r->count > 0) {
        memcpy(p->addresses, r->addresses, sizeof(p->addresses));
        p->address_count = r->count;
    }
    release_resolution(r);
}

static int take_host(struct table_peer *p, struct str where, const char *default_port, struct err *err)
{
    struct str host, port;
    uint16_t number;
    struct resolution *r;

    if (net_split_host_port(where, str_from(default_port), &host, &port) < 0 || port.len == 0 || host.len == 0)
        return err_set(err, ERR_PERMANENT, "need host:port instead of \"" STR_FMT "\"", STR_ARG(where));
    if (net_port_by_name(port, &number) == 0 && net_addr_parse(host, number, &p->addresses[0]) == 0) {
        p->address_count = 1;
        return 0;
    }
    p->host = mem_dup_str(host);
    p->port = mem_dup_str(port);
    r = new_resolution(p);
    resolve(r);
    take_resolution(p, r);
    return 0;
}

struct table_peer *table_peer_new(struct str where, const char *default_port, struct err *err)
{
    struct table_peer *p = MEM_NEW(struct table_peer);
    int rc;

    p->name = mem_dup_str(where);
    if (str_starts(where, STR("unix:"))) {
        rc = net_addr_unix(str_slice(where, 5, where.len), &p->addresses[0], err);
        p->address_count = 1;
    } else {
        rc = take_host(p, str_starts(where, STR("inet:")) ? str_slice(where, 5, where.len) : where, default_port, err);
    }
    if (rc == 0)
        return p;
    table_peer_free(p);
    return NULL;
}

void table_peer_free(struct table_peer *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->kept_count; i++)
        stream_free(p->kept[i].stream);
    mem_free(p->name);
    mem_free(p->host);
    mem_free(p->port);
    mem_free(p);
}

// The connection used last that is alive and young; the dead and old ones on the way are closed.
static bool take_kept(struct table_peer *p, struct kept *kept_r)
{
    int64_t now = clock_ms();

    while (p->kept_count > 0) {
        struct kept last = p->kept[--p->kept_count];
        if (now - last.since < AGE_MS && now - last.last_used < IDLE_MS && stream_is_alive(last.stream)) {
            *kept_r = last;
            return true;
        }
        stream_free(last.stream);
    }
    return false;
}

static void give_back(struct table_peer *p, struct kept kept, bool keeps)
{
    kept.last_used = clock_ms();
    if (!keeps || p->kept_count == KEPT_MAX) {
        stream_free(kept.stream);
        return;
    }
    stream_idle(kept.stream);
    p->kept[p->kept_count++] = kept;
}

static void start_pause(struct table_peer *p, const struct err *err)
{
    p->pause = p->pause == 0 ? PAUSE_MIN_MS : p->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : p->pause * 2;
    p->pause_end = clock_ms() + p->pause;
    p->failure = *err;
}

static struct stream *connect_any(struct table_peer *p, int64_t deadline, struct err *err) CO
{
    struct stream *s = NULL;

    if (p->host != NULL) {
        struct resolution *r = new_resolution(p);
        if (co_job(resolve, r, release_resolution, deadline) == 0)
            take_resolution(p, r);
    }
    if (p->address_count == 0)
        err_set(err, ERR_TEMPORARY, "host %s not found", p->host);
    for (size_t i = 0; i < p->address_count && s == NULL; i++) {
        struct net_addr address = p->addresses[i];
        s = stream_connect(&address, NULL, deadline, err);
    }
    if (s != NULL)
        p->pause = 0;
    else if (err->kind != ERR_CANCELLED)
        start_pause(p, err);
    return s;
}

int table_peer_query(struct table_peer *p, table_peer_ask *ask, void *question, int64_t deadline, struct err *err)
{
    for (unsigned tries = 0;; tries++) {
        struct kept kept = {0};
        bool is_kept = tries == 0 && take_kept(p, &kept), keeps = true;
        int found;
        if (!is_kept) {
            if (clock_ms() < p->pause_end && p->pause > 0) {
                *err = p->failure;
                return -1;
            }
            kept.stream = connect_any(p, deadline, err);
            kept.since = clock_ms();
        }
        if (kept.stream == NULL) {
            err_prefix(err, "connect to %s", p->name);
            err->kind = err->kind == ERR_CANCELLED ? ERR_CANCELLED : ERR_TEMPORARY;
            p->failure = *err;
            return -1;
        }
        stream_set_deadline(kept.stream, deadline);
        found = ask(kept.stream, question, &keeps, err);
        give_back(p, kept, keeps && found >= 0);
        if (found >= 0 || !is_kept || err->kind == ERR_CANCELLED || keeps)
            return found;
    }
}
