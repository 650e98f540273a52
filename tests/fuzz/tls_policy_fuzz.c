// SPDX-License-Identifier: ISC
// tls_policy_fuzz.c: values of TLS policy tables, and MX patterns against host names.
#include <stdlib.h>

#include "lib/tlspolicy/tls_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct str pattern, ignored, input = str_of((const char *)data, size);
    struct tls_policy policy;
    struct err err = ERR_INIT;

    if (tls_policy_parse(input, &arena, &policy, &ignored, &err) == 0) {
        if (policy.level > TLS_LEVEL_SECURE || (policy.match.count > 0 && policy.level < TLS_LEVEL_FINGERPRINT))
            abort();
    } else if (err.text[0] == '\0') {
        abort();
    }
    if (str_cut(&input, '\n', &pattern) && tls_mx_pattern_matches(pattern, input) && input.len == 0 && pattern.len > 0)
        abort();
    arena_release(&arena);
    return 0;
}
