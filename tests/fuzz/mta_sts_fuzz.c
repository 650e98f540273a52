// SPDX-License-Identifier: ISC
// mta_sts_fuzz.c: MTA-STS policies, DNS records, and entries of the cache.
#include <stdlib.h>

#include "services/mtasts/mtasts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct str id, input = str_of((const char *)data, size);
    struct mta_sts policy;
    struct mtasts_entry entry = {.domain = NULL}, again = {.domain = NULL};
    struct buf encoded = BUF_INIT;
    struct err err = ERR_INIT;

    if (mta_sts_record_parse(input, &id) == 1 && (id.len == 0 || id.len > MTA_STS_ID_MAX))
        abort();
    if (mta_sts_policy_parse(input, &arena, &policy, &err) == 0) {
        if (policy.max_age < 0 || policy.max_age > MTA_STS_MAX_AGE || policy.mx.count > MTA_STS_MX_MAX ||
            (policy.mode != MTA_STS_NONE && policy.mx.count == 0))
            abort();
    }
    if (mtasts_entry_decode(&entry, input) == 0) { // what was read is written and read again as the same
        mtasts_entry_encode(&entry, &encoded);
        if (mtasts_entry_decode(&again, buf_str(&encoded)) < 0 || again.expires != entry.expires ||
            !str_is(buf_str(&again.text), buf_str(&entry.text)))
            abort();
    }
    buf_release(&encoded);
    buf_release(&entry.text);
    buf_release(&again.text);
    arena_release(&arena);
    return 0;
}
