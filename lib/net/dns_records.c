// SPDX-License-Identifier: ISC
// dns_records.c: lookups of what is neither host nor mail exchanger: aliases, TLSA records, texts.
// Trust: as in dns.h. Suspends: every lookup, within the caller's deadline.
#include "lib/net/dns_internal.h"

enum dns_status dns_lookup_alias(struct str name, struct arena *arena, int64_t deadline, bool *is_secure_r)
{
    struct dns_answer answer;

    dns_ask(name, DNS_TYPE_CNAME, arena, deadline, &answer);
    *is_secure_r = answer.is_secure;
    return answer.status;
}

enum dns_status dns_lookup_tlsa(struct str name, struct arena *arena, int64_t deadline, struct dns_tlsa_list *list_r)
{
    struct dns_answer answer;

    dns_ask(name, DNS_TYPE_TLSA, arena, deadline, &answer);
    *list_r = (struct dns_tlsa_list){.is_secure = answer.is_secure};
    if (answer.status != DNS_OK)
        return answer.status;
    list_r->items = ARENA_ARRAY(arena, struct dns_tlsa, answer.count);
    for (size_t i = 0; i < answer.count; i++) {
        const struct dns_record *r = &answer.records[i];
        struct raw data = {(const unsigned char *)r->data.ptr, r->data.len};
        list_r->items[i] = (struct dns_tlsa){r->tlsa[0], r->tlsa[1], r->tlsa[2], data};
    }
    list_r->count = answer.count;
    return DNS_OK;
}

enum dns_status dns_lookup_txt(struct str name, struct arena *arena, int64_t deadline, struct dns_texts *texts_r)
{
    struct dns_answer answer;

    dns_ask(name, DNS_TYPE_TXT, arena, deadline, &answer);
    *texts_r = (struct dns_texts){NULL, 0};
    if (answer.status != DNS_OK)
        return answer.status;
    texts_r->items = ARENA_ARRAY(arena, struct str, answer.count);
    for (size_t i = 0; i < answer.count; i++)
        texts_r->items[i] = answer.records[i].data;
    texts_r->count = answer.count;
    return DNS_OK;
}
