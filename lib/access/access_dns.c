// SPDX-License-Identifier: ISC
// access_dns.c: what the name server said, kept for the session; questions are sent ahead so that a list's run side by
// side.
// Trust: answers are hostile; lib/net takes them apart. Limits: KEPT_MAX answers a session, DNS_SECONDS for each.
// Suspends: access_dns.
#include "lib/access/access_impl.h"

#define KEPT_MAX    300
#define DNS_SECONDS 30

struct access_dns_entry {
    struct access_dns_entry *next;
    struct str name;
    int type;
    struct dns_query *query; // NULL: answered
    struct access_dns answer;
};

void access_dns_forget(struct access_session *as)
{
    for (struct access_dns_entry *e = as->dns; e != NULL; e = e->next)
        if (e->query != NULL)
            dns_query_abandon(e->query);
    as->dns = NULL;
    as->dns_count = 0;
    arena_release(&as->dns_arena);
}

void access_dns_trim(struct access_session *as)
{
    if (as->dns_count >= KEPT_MAX)
        access_dns_forget(as);
}

static struct access_dns_entry *find_entry(struct access_walk *w, struct str name, int type)
{
    struct access_session *as = w->session;
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    for (struct access_dns_entry *e = as->dns; e != NULL; e = e->next)
        if (e->type == type && str_is_nocase(e->name, name))
            return e;
    struct access_dns_entry *e = ARENA_NEW(&as->dns_arena, struct access_dns_entry);
    e->name = arena_lower(&as->dns_arena, name);
    e->type = type;
    e->answer.status = DNS_INVALID; // unless it can be asked for
    e->query = dns_query_begin(e->name, type);
    e->next = as->dns;
    as->dns = e;
    as->dns_count++;
    return e;
}

void access_dns_ahead(struct access_walk *w, struct str name, int type)
{
    if (name.len > 0)
        (void)find_entry(w, name, type);
}

static void keep_answer(struct access_session *as, const struct dns_answer *answer, struct access_dns *kept)
{
    kept->status = answer->status;
    kept->count = answer->status == DNS_OK ? answer->count : 0;
    kept->records = ARENA_ARRAY(&as->dns_arena, struct access_dns_record, kept->count);
    for (size_t i = 0; i < kept->count; i++) {
        const struct dns_record *from = &answer->records[i];
        struct access_dns_record *to = &kept->records[i];
        to->preference = from->preference;
        to->text = arena_str(&as->dns_arena, from->data.len > 0 ? from->data : from->name);
        if (from->addr.len > 0) {
            struct net_addr *addr = ARENA_NEW(&as->dns_arena, struct net_addr);
            *addr = from->addr;
            to->addr = addr;
        }
    }
}

const struct access_dns *access_dns(struct access_walk *w, struct str name, int type)
{
    struct access_dns_entry *e = find_entry(w, name, type);
    struct arena scratch = ARENA_INIT;
    struct dns_answer answer;
    if (e->query == NULL)
        return &e->answer;
    dns_query_end(e->query, &scratch, clock_deadline(DNS_SECONDS), &answer);
    e->query = NULL;
    keep_answer(w->session, &answer, &e->answer);
    arena_release(&scratch);
    return &e->answer;
}
