// SPDX-License-Identifier: ISC
// tls_dane.c: TLSA lookups of a mail host, and which of the records can be used.
// Trust: DNS answers are hostile until the resolver says that it validated them.
// Suspends: the lookups, at most three one after the other.
#include "lib/tlspolicy/tls_dane.h"

enum { USAGE_TA = 2, USAGE_EE = 3, SELECTOR_MAX = 1, MATCH_FULL = 0, MATCH_SHA256 = 1, MATCH_SHA512 = 2 };
enum { SHA256_SIZE = 32, SHA512_SIZE = 64, UNRANKED = 1000 };

static bool is_usable(const struct dns_tlsa *r)
{
    if ((r->usage != USAGE_TA && r->usage != USAGE_EE) || r->selector > SELECTOR_MAX || r->data.len == 0)
        return false;
    if (r->matching == MATCH_SHA256)
        return r->data.len == SHA256_SIZE;
    if (r->matching == MATCH_SHA512)
        return r->data.len == SHA512_SIZE;
    return r->matching == MATCH_FULL;
}

// Position in the list of digests; a digest that is not listed is not used.
static int rank(const struct dns_tlsa *r, struct str digests)
{
    struct str word, head, name = r->matching == MATCH_SHA256 ? STR("sha256") : STR("sha512");
    int position = 0;

    if (r->matching == MATCH_FULL)
        return 0;
    while (str_token(&digests, ", \t\r\n", &word)) {
        (void)str_cut(&word, '=', &head); // "sha512=2": the number is the registry's
        if (str_is_nocase(head, name))
            return position;
        position++;
    }
    return UNRANKED;
}

static bool is_outranked(const struct dns_tlsa *list, size_t count, size_t at, struct str digests)
{
    const struct dns_tlsa *r = &list[at];
    int own = rank(r, digests);

    if (r->matching == MATCH_FULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (is_usable(&list[i]) && list[i].matching != MATCH_FULL && list[i].usage == r->usage &&
            list[i].selector == r->selector && rank(&list[i], digests) < own)
            return true;
    return own == UNRANKED;
}

size_t tls_dane_usable(const struct dns_tlsa *list, size_t count, struct str digests, struct dns_tlsa *usable_r)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        if (is_usable(&list[i]) && !is_outranked(list, count, i, digests))
            usable_r[found++] = list[i];
    return found;
}

static enum tls_dane_status look_up_base(const struct tls_dane_query *q, struct str base, struct arena *arena,
                                         int64_t deadline, struct tls_dane *dane_r) CO
{
    struct str name = arena_strf(arena, "_%u._tcp." STR_FMT, (unsigned)q->port, STR_ARG(base));
    struct dns_tlsa_list list;
    enum dns_status status = dns_lookup_tlsa(name, arena, deadline, &list);

    if (status == DNS_NOT_FOUND || status == DNS_NO_DATA || (status == DNS_OK && !list.is_secure))
        return TLS_DANE_ABSENT;
    if (status != DNS_OK)
        return TLS_DANE_FAILED;
    dane_r->base = arena_lower(arena, base);
    dane_r->records = ARENA_ARRAY(arena, struct dns_tlsa, list.count);
    dane_r->count = tls_dane_usable(list.items, list.count, q->digests, dane_r->records);
    return dane_r->count > 0 ? TLS_DANE_FOUND : TLS_DANE_UNUSABLE;
}

enum tls_dane_status tls_dane_lookup(const struct tls_dane_query *q, struct arena *arena, int64_t deadline,
                                     struct tls_dane *dane_r)
{
    bool is_alias = q->canonical.len > 0 && !str_is_nocase(q->canonical, q->host);
    bool may_ask = q->host_is_secure || q->asks_insecure_host;

    *dane_r = (struct tls_dane){.base = q->host};
    if (is_alias && q->host_is_secure) {
        enum tls_dane_status status = look_up_base(q, q->canonical, arena, deadline, dane_r);
        if (status != TLS_DANE_ABSENT)
            return status;
    }
    if (is_alias && !may_ask) { // the alias itself may stand in a signed zone, which may hold records, too
        enum dns_status status = dns_lookup_alias(q->host, arena, deadline, &may_ask);
        if (status == DNS_TRY_AGAIN)
            return TLS_DANE_FAILED;
        may_ask = may_ask && status == DNS_OK;
    }
    return may_ask ? look_up_base(q, q->host, arena, deadline, dane_r) : TLS_DANE_ABSENT;
}
