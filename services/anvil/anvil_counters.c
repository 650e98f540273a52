// SPDX-License-Identifier: ISC
// anvil_counters.c: the counters (see anvil.h).
#include "services/anvil/anvil.h"

#include "lib/base/log.h"

struct anvil_entry {
    struct list link;
    struct str client; // the map's key
    int64_t count;
    int64_t started_ms, heard_ms; // of the running interval; of any event
    int64_t rate[ANVIL_EVENT_COUNT];
};

void anvil_init(struct anvil *a, int64_t rate_seconds)
{
    *a = (struct anvil){.clients = MAP_INIT, .interval_ms = rate_seconds * 1000};
    list_init(&a->by_age);
}

void anvil_release(struct anvil *a)
{
    LIST_EACH_SAFE(item, &a->by_age)
    mem_free(container_of(item, struct anvil_entry, link));
    map_release(&a->clients);
    for (size_t i = 0; i < ANVIL_EVENT_COUNT; i++)
        buf_release(&a->max_rate[i].client);
    buf_release(&a->max_count.client);
}

// ---- Entries

// Those of whom nothing was heard for an interval say nothing more, unless they are still connected.
static void forget_old(struct anvil *a)
{
    int64_t now = clock_ms();
    for (int looked = 0; looked < 10 && !list_is_empty(&a->by_age); looked++) {
        struct anvil_entry *e = container_of(list_first(&a->by_age), struct anvil_entry, link);
        if (e->heard_ms + a->interval_ms > now)
            return;
        list_remove(&e->link);
        if (e->count > 0) {
            e->heard_ms = now;
            list_append(&a->by_age, &e->link);
            continue;
        }
        map_remove(&a->clients, e->client);
        mem_free(e);
    }
}

static struct anvil_entry *find_entry(struct anvil *a, struct str client)
{
    int64_t now = clock_ms();
    struct anvil_entry *e = map_get(&a->clients, client);
    if (e == NULL) {
        forget_old(a);
        if (a->clients.count >= ANVIL_CLIENTS_MAX)
            return NULL;
        e = MEM_NEW(struct anvil_entry);
        map_set(&a->clients, client, e);
        e->client = map_find(&a->clients, client)->key;
        e->started_ms = now;
        if (a->clients.count > a->max_clients) {
            a->max_clients = a->clients.count;
            a->max_clients_wall = clock_wall();
        }
    } else {
        list_remove(&e->link);
    }
    e->heard_ms = now;
    list_append(&a->by_age, &e->link);
    if (now >= e->started_ms + a->interval_ms) {
        memset(e->rate, 0, sizeof e->rate);
        e->started_ms = now;
    }
    return e;
}

// ---- Events

static void note_maximum(struct anvil_maximum *m, int64_t value, struct str client)
{
    if (value <= m->value)
        return;
    m->value = value;
    m->wall = clock_wall();
    buf_clear(&m->client);
    buf_add_printable(&m->client, client, ANVIL_CLIENT_MAX);
}

static void hold(struct anvil_holder *h, struct str client)
{
    intptr_t held = (intptr_t)map_get(&h->connections, client);
    map_set(&h->connections, client, (void *)(held + 1));
}

// False: this process has no such connection.
static bool let_go(struct anvil_holder *h, struct str client)
{
    intptr_t held = (intptr_t)map_get(&h->connections, client);
    if (held > 1)
        map_set(&h->connections, client, (void *)(held - 1));
    else if (held == 1)
        map_remove(&h->connections, client);
    return held > 0;
}

struct anvil_counts anvil_note(struct anvil *a, struct anvil_holder *h, enum anvil_event event, struct str client)
{
    struct anvil_counts counts = {0, 0};
    struct anvil_entry *e = find_entry(a, client);
    if (e == NULL)
        return counts;
    switch (event) {
    case ANVIL_DISCONNECT:
        e->count -= let_go(h, e->client);
        return counts;
    case ANVIL_NEWTLS_STATUS:
        counts.rate = e->rate[ANVIL_NEWTLS];
        break;
    case ANVIL_CONNECT:
        hold(h, e->client);
        note_maximum(&a->max_count, ++e->count, e->client);
        // fall through
    default:
        counts.rate = ++e->rate[event];
        note_maximum(&a->max_rate[event], counts.rate, e->client);
    }
    counts.count = e->count;
    return counts;
}

void anvil_end_holder(struct anvil *a, struct anvil_holder *h)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *held;
    while ((held = map_next(&h->connections, &it)) != NULL) {
        struct anvil_entry *e = map_get(&a->clients, held->key);
        if (e != NULL)
            e->count -= (intptr_t)held->value;
    }
    map_release(&h->connections);
}

// ---- Statistics

static void log_maximum(struct anvil_maximum *m, const char *what, int64_t interval_ms)
{
    struct buf when = BUF_INIT, unit = BUF_INIT;
    if (m->value > 0) {
        clock_add_syslog(&when, m->wall);
        if (interval_ms > 0)
            buf_addf(&unit, "/%llds", (long long)(interval_ms / 1000));
        log_info("statistics: max %s %lld%s for (%s) at %s", what, (long long)m->value, buf_cstr(&unit),
                 buf_cstr(&m->client), buf_cstr(&when));
    }
    m->value = 0;
    buf_release(&when);
    buf_release(&unit);
}

void anvil_log_statistics(struct anvil *a)
{
    static const struct {
        enum anvil_event event;
        const char *what;
    } rates[] = {{ANVIL_MESSAGE, "message rate"},
                 {ANVIL_RECIPIENT, "recipient rate"},
                 {ANVIL_NEWTLS, "newtls rate"},
                 {ANVIL_AUTH, "auth rate"}};
    struct buf when = BUF_INIT;
    log_maximum(&a->max_rate[ANVIL_CONNECT], "connection rate", a->interval_ms);
    log_maximum(&a->max_count, "connection count", 0);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        log_maximum(&a->max_rate[rates[i].event], rates[i].what, a->interval_ms);
    if (a->max_clients > 0) {
        clock_add_syslog(&when, a->max_clients_wall);
        log_info("statistics: max cache size %zu at %s", a->max_clients, buf_cstr(&when));
    }
    a->max_clients = 0;
    buf_release(&when);
}
