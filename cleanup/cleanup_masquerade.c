// SPDX-License-Identifier: ISC
// cleanup_masquerade.c: hides the hosts below a domain: user@host.example.com becomes user@example.com.
// Suspends: when masquerade_exceptions names a table.
#include "cleanup/cleanup.h"
#include "lib/mail/address.h"

// Is `domain` the same as, or below, `parent`?
static bool is_within(struct str domain, struct str parent)
{
    if (str_is_nocase(domain, parent))
        return true;
    return domain.len > parent.len && str_ends_nocase(domain, parent) && domain.ptr[domain.len - parent.len - 1] == '.';
}

static bool is_exception(struct cleanup_message *m, struct str user) CO
{
    struct err err = ERR_INIT;
    if (m->daemon->masquerade_exceptions == NULL)
        return false;
    int found = match_list_has(m->daemon->masquerade_exceptions, user, &err);
    if (found < 0) {
        cleanup_warn(m, "masquerade_exceptions lookup problem -- message not accepted, try again later (%s)", err.text);
        cleanup_refuse(m, 451, "4.3.0", "Error: queue file write error");
    }
    return found != 0;
}

struct str cleanup_masquerade(struct cleanup_message *m, struct str address)
{
    struct str rest = m->daemon->settings->masquerade_domains, entry;
    struct str domain = address_domain(address);
    if (domain.len == 0 || !cleanup_is_good(m))
        return address;
    while (str_token(&rest, ", \t\r\n", &entry)) { // the first that fits decides
        bool is_kept = entry.len > 1 && entry.ptr[0] == '!';
        if (is_kept)
            entry = str_slice(entry, 1, entry.len);
        if (!is_within(domain, entry))
            continue;
        if (is_kept || domain.len == entry.len || is_exception(m, address_local(address)))
            return address;
        struct str local = address_local(address);
        return arena_strf(&m->arena, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(entry));
    }
    return address;
}
