// SPDX-License-Identifier: ISC
// smtp_connection_cache.c: sessions that wait, for a moment, for the next message to the same destination.
// Trust: a server may close or say anything at any time: what is not silent and open is not used again.
// Limits: IDLE_MAX sessions; each idles at most smtp_connection_cache_time_limit seconds.
#include "smtp/smtp.h"

#define IDLE_MAX     500
#define RECENT_SLOTS 64

struct smtp_connection_cache {
    const struct smtp_client *client;
    struct list idle; // newest first
    unsigned count;
    struct co_timer *timer; // for the oldest
    // Destinations that had mail a moment ago: a second message so soon is demand enough.
    struct {
        uint64_t hash;
        int64_t used_ms;
    } recent[RECENT_SLOTS];
};

static void set_timer(struct smtp_connection_cache *c)
{
    int64_t next = CLOCK_NEVER; // nothing is idle

    if (!list_is_empty(&c->idle))
        next = container_of(c->idle.prev, struct smtp_session, link)->expires_ms;
    co_timer_set(c->timer, next);
}

static void forget(struct smtp_connection_cache *c, struct smtp_session *s)
{
    list_remove(&s->link);
    c->count--;
}

static void on_timer(void *arg)
{
    struct smtp_connection_cache *c = arg;
    int64_t now = clock_ms();

    while (!list_is_empty(&c->idle)) {
        struct smtp_session *s = container_of(c->idle.prev, struct smtp_session, link);
        if (s->expires_ms > now)
            break;
        forget(c, s);
        smtp_session_drop(s);
    }
    set_timer(c);
}

struct smtp_connection_cache *smtp_connection_cache_new(const struct smtp_client *client)
{
    struct smtp_connection_cache *c = MEM_NEW(struct smtp_connection_cache);

    c->client = client;
    list_init(&c->idle);
    c->timer = co_timer_new(on_timer, c);
    return c;
}

void smtp_connection_cache_free(struct smtp_connection_cache *c)
{
    if (c == NULL)
        return;
    LIST_EACH_SAFE(item, &c->idle)
    {
        struct smtp_session *s = container_of(item, struct smtp_session, link);
        forget(c, s);
        smtp_session_drop(s);
    }
    co_timer_free(c->timer);
    mem_free(c);
}

struct smtp_session *smtp_connection_cache_take(struct smtp_connection_cache *c, struct str key)
{
    LIST_EACH_SAFE(item, &c->idle)
    {
        struct smtp_session *s = container_of(item, struct smtp_session, link);
        if (!str_is(key, str_from(s->key)))
            continue;
        forget(c, s);
        if (stream_is_alive(s->stream)) {
            s->uses++;
            return s;
        }
        s->must_close = true;
        smtp_session_drop(s);
    }
    return NULL;
}

void smtp_connection_cache_put(struct smtp_connection_cache *c, struct smtp_session *s)
{
    if (c->count == IDLE_MAX) {
        struct smtp_session *oldest = container_of(c->idle.prev, struct smtp_session, link);
        forget(c, oldest);
        smtp_session_drop(oldest);
    }
    s->expires_ms = clock_deadline(c->client->profile.connection_cache_time_limit);
    list_prepend(&c->idle, &s->link);
    if (c->count++ == 0)
        set_timer(c); // else it is set for an older one, or fires early and is set again
}

// Notes that the destination is used now; was it used a moment ago?
static bool note_use(struct smtp_connection_cache *c, struct str key)
{
    uint64_t hash = str_hash(key);
    int64_t now = clock_ms(), limit = c->client->profile.connection_cache_time_limit * 1000;
    size_t slot = hash % RECENT_SLOTS;
    bool is_recent =
        c->recent[slot].hash == hash && now - c->recent[slot].used_ms <= limit && c->recent[slot].used_ms > 0;

    c->recent[slot].hash = hash;
    c->recent[slot].used_ms = now;
    return is_recent;
}

bool smtp_connection_cache_wants(struct smtp_connection_cache *c, const struct smtp_destination *dest, bool more_waits)
{
    bool is_recent = note_use(c, dest->text);

    if (c->client->profile.connection_cache_on_demand && (more_waits || is_recent))
        return true;
    return c->client->cache_destinations != NULL && dest->host.len > 0 &&
           match_list_has(c->client->cache_destinations, dest->host, NULL) == 1;
}
