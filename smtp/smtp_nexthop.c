// SPDX-License-Identifier: ISC
// smtp_nexthop.c: the text of a next hop: domain, [host], host:port, unix:/path, inet:host. Pure.
#include "lib/net/addr.h"
#include "smtp/smtp.h"

static bool port_is_number(struct str port, uint16_t *port_r)
{
    return net_port_by_name(port, port_r) == 0 && *port_r != 0;
}

// "[host]" or "[host]:port": the address literal form [ipv6:::1] is accepted too.
static int parse_bracketed(struct str text, struct smtp_destination *d, struct str *port_r)
{
    long end = str_find(text, ']');

    if (end < 0)
        return -1;
    struct str rest = str_slice(text, (size_t)end + 1, text.len);
    d->host = str_slice(text, 1, (size_t)end);
    if (str_starts_nocase(d->host, STR("ipv6:")))
        d->host = str_slice(d->host, 5, d->host.len);
    d->is_host = true;
    if (rest.len == 0)
        return 0;
    if (rest.ptr[0] != ':')
        return -1;
    *port_r = str_slice(rest, 1, rest.len);
    return 0;
}

int smtp_nexthop_parse(struct str text, const struct smtp_nexthop_rules *rules, struct arena *arena,
                       struct smtp_destination *destination_r, struct err *err)
{
    struct smtp_destination *d = destination_r;
    struct str port = STR("");

    *d = (struct smtp_destination){.text = arena_lower(arena, str_trim(text)), .port = rules->default_port};
    if (rules->is_lmtp && str_starts(str_trim(text), STR("unix:"))) {
        d->text = arena_str(arena, str_trim(text)); // case matters in paths
        d->path = str_slice(d->text, 5, d->text.len);
        if (d->path.len > 0)
            return 0;
        return err_status(err, ERR_PERMANENT, "5.3.5", "bad next hop \"" STR_FMT "\": no socket path",
                          STR_ARG(d->text));
    }
    struct str rest = d->text;
    if (rules->is_lmtp && str_starts(rest, STR("inet:")))
        rest = str_slice(rest, 5, rest.len);
    int result = 0;
    if (rest.len > 0 && rest.ptr[0] == '[') {
        result = parse_bracketed(rest, d, &port);
    } else {
        d->host = rest;
        if (str_find(rest, ':') >= 0)
            result = net_split_host_port(rest, STR(""), &d->host, &port);
        d->is_host = rules->is_lmtp;
    }
    if (result == 0 && (d->host.len == 0 || memchr(d->host.ptr, '[', d->host.len) != NULL))
        result = -1;
    if (result == 0 && port.len > 0 && !port_is_number(port, &d->port))
        result = -1;
    if (result < 0)
        return err_status(err, ERR_PERMANENT, "5.3.5", "bad next hop \"" STR_FMT "\"", STR_ARG(d->text));
    return 0;
}
