// SPDX-License-Identifier: ISC
// dns.c: lookups through c-ares on our loop.
// Trust: answers are hostile; dns_answer.c takes them apart.
// Suspends: every lookup, until the answer or the caller's deadline; c-ares bounds each query by itself, too.
//
// A query is owned by the heap and belongs to c-ares until its callback ran: a waiter that gives up marks it abandoned,
// and the callback frees it.
#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "lib/net/dns_internal.h"

#define QUERY_TIMEOUT_MS 3000
#define QUERY_TRIES      2 // of each server: 9 seconds in all
#define CLASS_IN         1
#define EDNS_SIZE        1232 // fits one packet on every path
#define ANSWER_MAX       65535
#define HOSTS_PATH       "/etc/hosts"
#define SERVERS_VARIABLE "DROMOS_DNS_SERVERS"

struct dns_socket {
    struct list link;
    ares_socket_t fd;
    int events;
    struct co_watch *watch;
};

struct dns_query {
    struct co_event done;
    int type;
    bool is_finished;
    bool is_abandoned;
    int ares_status;
    struct buf answer;
};

static struct dns_resolver {
    ares_channel channel;
    bool is_open;
    struct list sockets;
    struct co_timer *timer;
    struct dns_hosts hosts;
} resolver;

static void resolver_set_timer(void)
{
    struct timeval wait;

    if (ares_timeout(resolver.channel, NULL, &wait) == NULL)
        co_timer_set(resolver.timer, CLOCK_NEVER); // nothing is under way
    else
        co_timer_set(resolver.timer, clock_ms() + wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1);
}

static void resolver_on_timer(void *arg)
{
    ares_process_fd(resolver.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolver_set_timer();
}

static void resolver_on_ready(int fd, int events, void *arg)
{
    ares_process_fd(resolver.channel, (events & CO_READ) ? fd : ARES_SOCKET_BAD,
                    (events & CO_WRITE) ? fd : ARES_SOCKET_BAD);
    resolver_set_timer();
}

// c-ares tells which events it wants of a socket; none means that it is about to close it.
static void resolver_on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    int events = (readable ? CO_READ : 0) | (writable ? CO_WRITE : 0);
    struct dns_socket *found = NULL;

    LIST_EACH(item, &resolver.sockets)
    {
        struct dns_socket *s = container_of(item, struct dns_socket, link);
        if (s->fd == fd)
            found = s;
    }
    if (found != NULL && found->events == events)
        return;
    if (found != NULL) {
        co_watch_free(found->watch);
        list_remove(&found->link);
        mem_free(found);
    }
    if (events == 0)
        return;
    found = MEM_NEW(struct dns_socket);
    found->fd = fd;
    found->events = events;
    found->watch = co_watch_fd(fd, events, true, resolver_on_ready, NULL);
    list_append(&resolver.sockets, &found->link);
}

int dns_init(struct err *err)
{
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .ednspsz = EDNS_SIZE,
        .timeout = QUERY_TIMEOUT_MS,
        .tries = QUERY_TRIES,
        .sock_state_cb = resolver_on_socket,
    };
    const char *servers = getenv(SERVERS_VARIABLE);

    if (resolver.is_open)
        return 0;
    list_init(&resolver.sockets);
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&resolver.channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
                                       ARES_OPT_EDNSPSZ);
    if (status != ARES_SUCCESS)
        return err_set(err, ERR_TEMPORARY, "cannot start the resolver: %s", ares_strerror(status));
    if (servers != NULL && servers[0] != '\0') {
        status = ares_set_servers_ports_csv(resolver.channel, servers);
        if (status != ARES_SUCCESS) {
            ares_destroy(resolver.channel);
            return err_set(err, ERR_PERMANENT, "bad %s \"%s\": %s", SERVERS_VARIABLE, servers, ares_strerror(status));
        }
    }
    dns_hosts_read(&resolver.hosts, HOSTS_PATH);
    resolver.timer = co_timer_new(resolver_on_timer, NULL);
    resolver.is_open = true;
    return 0;
}

void dns_deinit(void)
{
    if (!resolver.is_open)
        return;
    ares_destroy(resolver.channel); // calls back what is under way
    ares_library_cleanup();
    co_timer_free(resolver.timer);
    dns_hosts_release(&resolver.hosts);
    resolver.is_open = false;
}

static void query_free(struct dns_query *q)
{
    buf_release(&q->answer);
    mem_free(q);
}

static void query_done(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    struct dns_query *q = arg;

    if (q->is_abandoned) {
        query_free(q);
        return;
    }
    q->ares_status = status;
    if (answer != NULL && len > 0 && len <= ANSWER_MAX)
        buf_add(&q->answer, answer, (size_t)len);
    q->is_finished = true;
    co_event_broadcast(&q->done);
}

struct dns_query *dns_query_begin(struct str name, int type)
{
    char text[256];
    unsigned char *packet = NULL;
    int size = 0;
    uint16_t id = (uint16_t)arc4random();

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!resolver.is_open || !dns_name_is_valid(name))
        return NULL;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (ares_create_query(text, CLASS_IN, type, id, 1, &packet, &size, EDNS_SIZE) != ARES_SUCCESS)
        return NULL;
    packet[3] |= 0x20; // we understand the AD bit (RFC 6840 5.7)
    struct dns_query *q = MEM_NEW(struct dns_query);
    co_event_init(&q->done);
    q->type = type;
    ares_send(resolver.channel, packet, size, query_done, q); // may call back at once
    ares_free_string(packet);
    resolver_set_timer();
    return q;
}

void dns_query_abandon(struct dns_query *q)
{
    if (q->is_finished)
        query_free(q);
    else
        q->is_abandoned = true; // the callback frees it
}

void dns_query_end(struct dns_query *q, struct arena *arena, int64_t deadline, struct dns_answer *answer_r)
{
    *answer_r = (struct dns_answer){.status = DNS_TRY_AGAIN};
    while (!q->is_finished) {
        if (co_event_wait(&q->done, deadline) < 0 && !q->is_finished) {
            q->is_abandoned = true;
            return;
        }
    }
    if (q->ares_status == ARES_SUCCESS)
        dns_answer_parse((struct raw){(unsigned char *)q->answer.ptr, q->answer.len}, q->type, arena, answer_r);
    else if (q->ares_status == ARES_EBADNAME || q->ares_status == ARES_EBADRESP)
        answer_r->status = DNS_INVALID;
    query_free(q);
}

static int mx_compare(const void *a, const void *b)
{
    const struct dns_mx *left = a, *right = b;

    return (int)left->preference - (int)right->preference;
}

// Few records: insertion keeps equal ones in order, which qsort does not promise.
static void mx_sort(struct dns_mx *mx, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && mx_compare(&mx[j], &mx[j - 1]) < 0; j--) {
            struct dns_mx swap = mx[j];
            mx[j] = mx[j - 1];
            mx[j - 1] = swap;
        }
}

void dns_ask(struct str name, int type, struct arena *arena, int64_t deadline, struct dns_answer *answer_r)
{
    struct dns_query *q = dns_query_begin(name, type);

    if (q == NULL)
        *answer_r = (struct dns_answer){.status = DNS_INVALID};
    else
        dns_query_end(q, arena, deadline, answer_r);
}

enum dns_status dns_lookup_mx_list(struct str domain, struct arena *arena, int64_t deadline, struct dns_mx_list *list_r)
{
    struct dns_answer answer;

    dns_ask(domain, DNS_TYPE_MX, arena, deadline, &answer);
    *list_r = (struct dns_mx_list){.is_secure = answer.is_secure};
    if (answer.status != DNS_OK)
        return answer.status;
    struct dns_mx *mx = ARENA_ARRAY(arena, struct dns_mx, answer.count);
    for (size_t i = 0; i < answer.count; i++)
        mx[i] = (struct dns_mx){answer.records[i].preference, answer.records[i].name};
    mx_sort(mx, answer.count);
    list_r->items = mx;
    list_r->count = answer.count;
    list_r->canonical = answer.owner;
    return DNS_OK;
}

enum dns_status dns_lookup_mx(struct str domain, struct arena *arena, int64_t deadline, struct dns_mx **mx_r,
                              size_t *count_r)
{
    struct dns_mx_list list;
    enum dns_status status = dns_lookup_mx_list(domain, arena, deadline, &list);

    *mx_r = list.items;
    *count_r = list.count;
    return status;
}

static bool hosts_lookup(const struct dns_host_query *query, struct arena *arena, struct dns_addresses *addresses_r)
{
    const struct dns_hosts_entry *entry = dns_hosts_find(&resolver.hosts, query->host);

    if (entry == NULL)
        return false;
    addresses_r->items = ARENA_ARRAY(arena, struct net_addr, entry->count);
    for (size_t i = 0; i < entry->count; i++)
        if (query->family == AF_UNSPEC || net_addr_family(&entry->addrs[i]) == query->family)
            addresses_r->items[addresses_r->count++] = entry->addrs[i];
    return addresses_r->count > 0;
}

// Of two answers about one name: a good one wins, then "try again", then the more specific.
static enum dns_status merge_status(enum dns_status a, enum dns_status b)
{
    static const enum dns_status order[] = {DNS_OK, DNS_TRY_AGAIN, DNS_INVALID, DNS_NO_DATA, DNS_NOT_FOUND};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a;
}

enum dns_status dns_lookup_host(const struct dns_host_query *query, struct arena *arena, int64_t deadline,
                                struct dns_addresses *addresses_r)
{
    struct dns_query *four = NULL, *six = NULL;
    struct dns_answer answers[2] = {{.status = DNS_INVALID}, {.status = DNS_INVALID}};
    size_t asked = 0;

    *addresses_r = (struct dns_addresses){NULL, 0, false, STR("")};
    if (query->with_hosts && hosts_lookup(query, arena, addresses_r))
        return DNS_OK;
    if (query->family != AF_INET6)
        four = dns_query_begin(query->host, DNS_TYPE_A);
    if (query->family != AF_INET)
        six = dns_query_begin(query->host, DNS_TYPE_AAAA);
    if (four != NULL)
        dns_query_end(four, arena, deadline, &answers[asked++]);
    if (six != NULL)
        dns_query_end(six, arena, deadline, &answers[asked++]);
    if (asked == 0)
        return DNS_INVALID;
    enum dns_status status = asked == 1 ? answers[0].status : merge_status(answers[0].status, answers[1].status);
    addresses_r->items = ARENA_ARRAY(arena, struct net_addr, answers[0].count + answers[1].count + 1);
    addresses_r->is_secure = answers[0].is_secure && (asked == 1 || answers[1].is_secure);
    for (size_t i = 0; i < asked; i++) {
        for (size_t j = 0; j < answers[i].count; j++)
            addresses_r->items[addresses_r->count++] = answers[i].records[j].addr;
        if (addresses_r->canonical.len == 0 && answers[i].count > 0)
            addresses_r->canonical = answers[i].owner;
    }
    return status;
}

void dns_add_reverse(struct buf *b, const struct net_addr *addr)
{
    if (net_addr_family(addr) == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&addr->sa;
        uint32_t bits = ntohl(four->sin_addr.s_addr);
        buf_addf(b, "%u.%u.%u.%u", bits & 255, bits >> 8 & 255, bits >> 16 & 255, bits >> 24);
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&addr->sa;
        for (int i = 15; i >= 0; i--)
            buf_addf(b, "%s%x.%x", i < 15 ? "." : "", six->sin6_addr.s6_addr[i] & 15U, six->sin6_addr.s6_addr[i] >> 4);
    }
}

// The first line of the file that has the address names it.
static bool hosts_name_of(const struct net_addr *addr, struct arena *arena, struct str *name_r)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    size_t best = SIZE_MAX;

    while ((entry = map_next(&resolver.hosts.names, &it)) != NULL) {
        const struct dns_hosts_entry *value = entry->value;
        for (size_t i = 0; i < value->count; i++)
            if (value->is_canonical && value->rank < best && net_addr_is_same_host(&value->addrs[i], addr)) {
                *name_r = arena_lower(arena, entry->key);
                best = value->rank;
            }
    }
    return best < SIZE_MAX;
}

enum dns_status dns_lookup_ptr(const struct net_addr *addr, struct arena *arena, int64_t deadline, struct str *name_r)
{
    struct buf reverse = BUF_INIT;
    struct dns_answer answer;

    *name_r = STR_NULL;
    if (net_addr_family(addr) != AF_INET && net_addr_family(addr) != AF_INET6)
        return DNS_INVALID;
    if (hosts_name_of(addr, arena, name_r))
        return DNS_OK;
    dns_add_reverse(&reverse, addr);
    buf_add_cstr(&reverse, net_addr_family(addr) == AF_INET ? ".in-addr.arpa" : ".ip6.arpa");
    struct dns_query *q = dns_query_begin(buf_str(&reverse), DNS_TYPE_PTR);
    buf_release(&reverse);
    if (q == NULL)
        return DNS_INVALID;
    dns_query_end(q, arena, deadline, &answer);
    if (answer.status == DNS_OK)
        *name_r = answer.records[0].name;
    return answer.status;
}

const char *dns_status_text(enum dns_status status)
{
    switch (status) {
    case DNS_OK:
        return "Success";
    case DNS_NOT_FOUND:
        return "Host not found";
    case DNS_NO_DATA:
        return "Host found but no data record of requested type";
    case DNS_TRY_AGAIN:
        return "Host not found, try again";
    case DNS_INVALID:
        break;
    }
    return "Invalid host or domain name, or malformed answer";
}
