// SPDX-License-Identifier: ISC
// smtpd_client.c: who the client is: address, forward-confirmed name, membership of mynetworks.
// Trust: names come from the client's DNS. Suspends: DNS lookups.
#include "lib/access/access_client.h"
#include "smtpd/smtpd.h"

static void look_up_name(struct smtpd_session *s) CO
{
    struct access_client client;
    access_client_look_up(&s->peer, &s->session_arena, &client);
    s->client_name = client.name;
    s->client_reverse = client.reverse;
    s->name_status = client.name_status;
    s->reverse_status = client.reverse_status;
}

static bool is_listed(struct smtpd_session *s, struct match_list *list, const char *what) CO
{
    struct err err = ERR_INIT;
    int found = list == NULL ? 0 : match_list_has_addr(list, s->client_name, &s->peer, &err);
    if (found < 0) // unknown is a stranger: the safe side
        log_warn("%s lookup for " STR_FMT ": %s: treated as not listed", what, STR_ARG(s->client_log), err.text);
    return found > 0;
}

static void write_texts(struct smtpd_session *s)
{
    struct buf text = BUF_INIT;
    net_addr_add_text(&text, &s->peer);
    s->client_address = arena_str(&s->session_arena, buf_str(&text));
    buf_clear(&text);
    net_addr_add_literal(&text, &s->peer);
    s->client_rfc = arena_str(&s->session_arena, buf_str(&text));
    buf_clear(&text);
    s->client_port = arena_strf(&s->session_arena, "%u", net_addr_port(&s->peer));
    buf_addf(&text, STR_FMT "[" STR_FMT "]", STR_ARG(s->client_name), STR_ARG(s->client_address));
    if (s->settings->smtpd_client_port_logging)
        buf_addf(&text, ":" STR_FMT, STR_ARG(s->client_port));
    s->client_log = arena_str(&s->session_arena, buf_str(&text));
    buf_release(&text);
}

void smtpd_client_describe(struct smtpd_session *s)
{
    struct smtpd *d = s->daemon;
    write_texts(s);
    s->is_mynetworks = s->is_standalone || is_listed(s, d->mynetworks, "mynetworks");
    s->may_send_bare_lf = is_listed(s, d->bare_newline_exclusions, "smtpd_forbid_bare_newline_exclusions");
    s->may_xclient = is_listed(s, d->xclient_hosts, "smtpd_authorized_xclient_hosts");
    s->may_verp = is_listed(s, d->verp_clients, "smtpd_authorized_verp_clients");
    s->is_debugged = is_listed(s, d->debug_peers, "debug_peer_list");
    smtpd_keywords_for_client(s);
}

void smtpd_client_identify(struct smtpd_session *s)
{
    s->client_name = s->client_reverse = STR("unknown");
    s->name_status = s->reverse_status = ACCESS_NAME_UNKNOWN;
    if (s->is_standalone) {
        s->client_name = s->client_reverse = STR("localhost");
        if (net_addr_parse(STR("127.0.0.1"), 0, &s->peer) < 0)
            bug("loopback address does not parse");
    }
    write_texts(s);
    if (s->settings->smtpd_peername_lookup && !s->is_standalone)
        look_up_name(s);
    smtpd_client_describe(s);
    s->may_xforward =
        is_listed(s, s->daemon->xforward_hosts, "smtpd_authorized_xforward_hosts"); // XCLIENT does not change it
}
