// SPDX-License-Identifier: ISC
// address_filter.c: patterns for answers of DNS lists. Pure.
#include "lib/access/address_filter.h"

#include <netinet/in.h>

static bool take_number(struct str *rest, unsigned *value_r)
{
    size_t digits = 0;
    *value_r = 0;
    while (digits < rest->len && digits < 4 && rest->ptr[digits] >= '0' && rest->ptr[digits] <= '9')
        *value_r = *value_r * 10 + (unsigned)(rest->ptr[digits++] - '0');
    *rest = str_slice(*rest, digits, rest->len);
    return digits > 0 && *value_r <= 255;
}

static bool take_char(struct str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    *rest = str_slice(*rest, 1, rest->len);
    return true;
}

static void allow(unsigned char *octet, unsigned from, unsigned to)
{
    for (unsigned value = from; value <= to; value++)
        octet[value / 8] |= (unsigned char)(1u << value % 8);
}

// "n", or "n..m" inside brackets.
static bool take_range(struct str *rest, unsigned char *octet)
{
    unsigned from, to;
    if (!take_number(rest, &from))
        return false;
    to = from;
    if (str_starts(*rest, STR(".."))) {
        *rest = str_slice(*rest, 2, rest->len);
        if (!take_number(rest, &to) || to < from)
            return false;
    }
    allow(octet, from, to);
    return true;
}

static bool take_octet(struct str *rest, unsigned char *octet)
{
    unsigned value;
    if (!take_char(rest, '[')) {
        if (!take_number(rest, &value))
            return false;
        allow(octet, value, value);
        return true;
    }
    do {
        if (!take_range(rest, octet))
            return false;
    } while (take_char(rest, ';'));
    return take_char(rest, ']');
}

int address_filter_parse(struct str text, struct address_filter *filter_r, struct err *err)
{
    struct str rest = text;
    *filter_r = (struct address_filter){{{0}}};
    for (int i = 0; i < 4; i++)
        if ((i > 0 && !take_char(&rest, '.')) || !take_octet(&rest, filter_r->octets[i]))
            return err_set(err, ERR_PERMANENT, "bad DNSBL filter syntax at \"" STR_FMT "\" in \"" STR_FMT "\"",
                           STR_ARG(rest), STR_ARG(text));
    if (rest.len > 0)
        return err_set(err, ERR_PERMANENT, "bad DNSBL filter syntax: junk at end: \"" STR_FMT "\"", STR_ARG(text));
    return 0;
}

bool address_filter_matches(const struct address_filter *filter, const struct net_addr *addr)
{
    if (net_addr_family(addr) != AF_INET)
        return false;
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&addr->sa;
    uint32_t bits = ntohl(four->sin_addr.s_addr);
    for (int i = 0; i < 4; i++) {
        unsigned value = bits >> (24 - 8 * i) & 255;
        if ((filter->octets[i][value / 8] & 1u << value % 8) == 0)
            return false;
    }
    return true;
}
