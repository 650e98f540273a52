// SPDX-License-Identifier: ISC
// smtpd_attribute.c: parses arguments of XCLIENT and XFORWARD (see smtpd_attribute.h).
// Trust: from a listed proxy, which may be wrong or taken over: everything is checked. Limits: SMTPD_ATTRIBUTE_MAX.
#include "smtpd/smtpd_attribute.h"

#include "lib/mail/address.h"

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 32 || s.ptr[i] == 127)
            return true;
    return false;
}

enum smtpd_attribute_status smtpd_attribute_parse(struct str word, struct arena *arena, struct smtpd_attribute *a_r)
{
    struct str rest = word, decoded;
    *a_r = (struct smtpd_attribute){.sent = STR("")};
    bool has_value = str_cut(&rest, '=', &a_r->name);
    if (!has_value || rest.len == 0)
        return SMTPD_ATTRIBUTE_NO_VALUE;
    a_r->sent = rest;
    if (rest.len > SMTPD_ATTRIBUTE_MAX)
        return SMTPD_ATTRIBUTE_TOO_LONG;
    if (address_xtext_decode(rest, arena, &decoded) < 0 || has_control(decoded) || !str_is_utf8(decoded))
        return SMTPD_ATTRIBUTE_NOT_XTEXT;
    a_r->value = decoded;
    a_r->is_unavailable = str_is_nocase(decoded, STR("[UNAVAILABLE]"));
    a_r->is_try_again = str_is_nocase(decoded, STR("[TEMPUNAVAIL]"));
    return SMTPD_ATTRIBUTE_OK;
}

bool smtpd_attribute_is_host(const struct smtpd_attribute *a)
{
    return address_domain_is_valid(a->value);
}

int smtpd_attribute_address(const struct smtpd_attribute *a, struct net_addr *addr_r)
{
    struct str text = a->value;
    bool is_v6 = str_starts_nocase(text, STR("IPV6:"));
    if (is_v6)
        text = str_slice(text, 5, text.len);
    if (str_starts(text, STR("[")) || net_addr_parse(text, 0, addr_r) < 0)
        return -1;
    return (net_addr_family(addr_r) == AF_INET6) == is_v6 ? 0 : -1;
}

int smtpd_attribute_port(const struct smtpd_attribute *a, uint16_t *port_r)
{
    uint64_t port;
    if (str_to_u64(a->value, &port) < 0 || port > UINT16_MAX)
        return -1;
    *port_r = (uint16_t)port;
    return 0;
}
