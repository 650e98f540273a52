// SPDX-License-Identifier: ISC
// dns_fuzz.c: DNS answers, taken apart as each type that is ever asked for.
#include <stdlib.h>

#include "lib/net/dns_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int types[] = {DNS_TYPE_A,     DNS_TYPE_AAAA, DNS_TYPE_MX,   DNS_TYPE_PTR,
                                DNS_TYPE_CNAME, DNS_TYPE_TXT,  DNS_TYPE_TLSA, DNS_TYPE_SRV};
    struct arena arena = ARENA_INIT;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct dns_answer answer;
        dns_answer_parse((struct raw){data, size}, types[i], &arena, &answer);
        if (answer.count > DNS_MAX_RECORDS || (answer.status == DNS_OK) != (answer.count > 0))
            abort();
        for (size_t j = 0; j < answer.count; j++) // what was believed is a name or the root
            if (answer.records[j].name.len > 0 && !dns_name_is_valid(answer.records[j].name))
                abort();
        if (answer.owner.len > 0 && !dns_name_is_valid(answer.owner))
            abort();
    }
    arena_release(&arena);
    return 0;
}
