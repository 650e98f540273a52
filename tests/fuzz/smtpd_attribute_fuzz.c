// SPDX-License-Identifier: ISC
// smtpd_attribute_fuzz.c: arguments of XCLIENT and XFORWARD: what is taken is bounded, clean text.
#include <stdlib.h>

#include "smtpd/smtpd_attribute.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct str rest = str_of((const char *)data, size), word;
    struct smtpd_attribute a;
    struct net_addr addr;
    uint16_t port;
    while (str_token(&rest, " \t", &word)) {
        if (smtpd_attribute_parse(word, &arena, &a) != SMTPD_ATTRIBUTE_OK)
            continue;
        if (a.value.len > SMTPD_ATTRIBUTE_MAX || !str_is_utf8(a.value) ||
            memchr(a.value.ptr, '\n', a.value.len) != NULL)
            abort();
        if (smtpd_attribute_address(&a, &addr) == 0 && net_addr_family(&addr) != AF_INET &&
            net_addr_family(&addr) != AF_INET6)
            abort();
        if (smtpd_attribute_is_host(&a) && a.value.len == 0)
            abort();
        (void)smtpd_attribute_port(&a, &port);
    }
    arena_release(&arena);
    return 0;
}
