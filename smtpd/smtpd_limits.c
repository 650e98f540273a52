// SPDX-License-Identifier: ISC
// smtpd_limits.c: how many connections and requests a client may make (smtpd_client_*_limit), by what the anvil service
// counts.
//
// Asked only where a limit is set, and not about clients in smtpd_client_event_limit_exceptions: for them nothing
// waits. When the service cannot be asked, nobody is refused. Suspends: for the service's answer.
#include <netinet/in.h>

#include "lib/ipc/anvil_client.h"
#include "smtpd/smtpd.h"

static bool has_limits(const struct settings *set)
{
    return set->smtpd_client_connection_count_limit > 0 || set->smtpd_client_connection_rate_limit > 0 ||
           set->smtpd_client_message_rate_limit > 0 || set->smtpd_client_recipient_rate_limit > 0 ||
           set->smtpd_client_new_tls_session_rate_limit > 0 || set->smtpd_client_auth_rate_limit > 0;
}

// The address without the bits that the prefix length leaves out, and how many are left if not all.
static void add_network(struct buf *b, const struct settings *set, const struct net_addr *peer)
{
    struct net_addr network = *peer;
    bool is_v6 = net_addr_family(peer) == AF_INET6;
    unsigned char *bytes = is_v6 ? ((struct sockaddr_in6 *)&network.sa)->sin6_addr.s6_addr
                                 : (unsigned char *)&((struct sockaddr_in *)&network.sa)->sin_addr;
    int64_t all = is_v6 ? 128 : 32,
            prefix = is_v6 ? set->smtpd_client_ipv6_prefix_length : set->smtpd_client_ipv4_prefix_length;
    if (prefix < 0 || prefix > all)
        prefix = all;
    for (int64_t bit = prefix; bit < all; bit++)
        bytes[bit / 8] &= (unsigned char)~(0x80 >> (bit % 8));
    net_addr_add_text(b, &network);
    if (prefix < all)
        buf_addf(b, "/%lld", (long long)prefix);
}

// Whom the numbers are about: "smtp:192.0.2.1". Empty: nobody counts this client.
static void find_key(struct smtpd_session *s)
{
    struct buf key = BUF_INIT;
    buf_addf(&key, "%s:", s->service->name);
    add_network(&key, s->settings, &s->peer);
    s->anvil_key = arena_str(&s->session_arena, buf_str(&key));
    buf_release(&key);
}

static bool note(struct smtpd_session *s, enum anvil_event event, struct anvil_counts *counts_r) CO
{
    struct err err = ERR_INIT;
    if (s->anvil_key.len == 0)
        return false;
    if (anvil_client_note(s->daemon->anvil, event, s->anvil_key, counts_r, &err) == 0)
        return true;
    log_warn("the anvil service cannot be asked about " STR_FMT ": %s: no limit holds", STR_ARG(s->client_log),
             err.text);
    return false;
}

static bool exceeds(struct smtpd_session *s, int64_t number, int64_t limit, const char *what)
{
    if (limit <= 0 || number <= limit)
        return false;
    log_warn("%s limit exceeded: %lld from " STR_FMT " for service %s", what, (long long)number, STR_ARG(s->client_log),
             s->service->name);
    return true;
}

bool smtpd_limit_connect(struct smtpd_session *s)
{
    const struct settings *set = s->settings;
    struct anvil_counts counts;
    struct err err = ERR_INIT;
    if (s->is_standalone || s->daemon->anvil == NULL || !has_limits(set))
        return true;
    int excepted = match_list_has_addr(s->daemon->limit_exceptions, s->client_name, &s->peer, &err);
    if (excepted != 0 || s->may_xclient)
        return true;
    find_key(s);
    if (!note(s, ANVIL_CONNECT, &counts) ||
        (!exceeds(s, counts.count, set->smtpd_client_connection_count_limit, "Connection concurrency") &&
         !exceeds(s, counts.rate, set->smtpd_client_connection_rate_limit, "Connection rate")))
        return true;
    smtpd_reply(s, "421 4.7.0 " STR_FMT " Error: too many connections from " STR_FMT, STR_ARG(set->myhostname),
                STR_ARG(s->client_address));
    return false;
}

void smtpd_limit_disconnect(struct smtpd_session *s)
{
    struct anvil_counts counts;
    (void)note(s, ANVIL_DISCONNECT, &counts);
    s->anvil_key = STR_NULL;
}

// Counts one request. `too_many` is what there is too much of, for the client.
static bool is_within(struct smtpd_session *s, enum anvil_event event, int64_t limit, const char *what,
                      const char *too_many) CO
{
    struct anvil_counts counts;
    if (limit <= 0 || !note(s, event, &counts) || !exceeds(s, counts.rate, limit, what))
        return true;
    smtpd_reply(s, "450 4.7.1 Error: too %s from " STR_FMT, too_many, STR_ARG(s->client_address));
    return false;
}

bool smtpd_limit_message(struct smtpd_session *s)
{
    return is_within(s, ANVIL_MESSAGE, s->settings->smtpd_client_message_rate_limit, "Message delivery request rate",
                     "much mail");
}

bool smtpd_limit_recipient(struct smtpd_session *s)
{
    return is_within(s, ANVIL_RECIPIENT, s->settings->smtpd_client_recipient_rate_limit, "Recipient address rate",
                     "many recipients");
}

bool smtpd_limit_auth(struct smtpd_session *s)
{
    return is_within(s, ANVIL_AUTH, s->settings->smtpd_client_auth_rate_limit, "AUTH command rate",
                     "many AUTH commands");
}

bool smtpd_limit_tls_exceeded(struct smtpd_session *s, bool has_session)
{
    struct anvil_counts counts;
    int64_t limit = s->settings->smtpd_client_new_tls_session_rate_limit;
    return limit > 0 && note(s, has_session ? ANVIL_NEWTLS : ANVIL_NEWTLS_STATUS, &counts) &&
           exceeds(s, counts.rate, limit, "New TLS session rate");
}
