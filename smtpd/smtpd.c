// SPDX-License-Identifier: ISC
// smtpd.c: the SMTP server: receives mail from the network, decides, and hands it to cleanup.
//
// Trust: clients are hostile. Runs as mail_owner, jailed, without write access to files; many sessions in a process,
// each a coroutine. Holds no secret. With -S it serves one session on standard input and output (sendmail -bs).
#include <unistd.h>

#include "lib/ipc/anvil_client.h"
#include "lib/ipc/flush_client.h"
#include "lib/net/dns.h"
#include "smtpd/smtpd.h"

static unsigned notify_classes(const struct settings *set)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {{"resource", SMTPD_TROUBLE_RESOURCE},
                 {"software", SMTPD_TROUBLE_SOFTWARE},
                 {"policy", SMTPD_TROUBLE_POLICY},
                 {"protocol", SMTPD_TROUBLE_PROTOCOL},
                 {"data", SMTPD_TROUBLE_DATA}};
    struct str word, rest = set->notify_classes;
    unsigned classes = 0;
    while (str_token(&rest, ", \t\r\n", &word))
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (str_is_nocase(word, str_from(names[i].name)))
                classes |= names[i].bit;
    return classes;
}

// The lists of names and networks, each with the parameter that holds it.
static int open_lists(struct smtpd *d, const struct settings *set, struct err *err)
{
    const struct {
        struct match_list **list;
        struct str text;
        unsigned flags;
    } lists[] = {
        {&d->mynetworks, set->mynetworks, MATCH_NETWORKS},
        {&d->noop_commands, set->smtpd_noop_commands, 0},
        {&d->forbidden_commands, set->smtpd_forbidden_commands, 0},
        {&d->bare_newline_exclusions, set->smtpd_forbid_bare_newline_exclusions, MATCH_NETWORKS},
        {&d->limit_exceptions, set->smtpd_client_event_limit_exceptions, MATCH_NETWORKS},
        {&d->xclient_hosts, set->smtpd_authorized_xclient_hosts, MATCH_NETWORKS},
        {&d->xforward_hosts, set->smtpd_authorized_xforward_hosts, MATCH_NETWORKS},
        {&d->verp_clients, set->smtpd_authorized_verp_clients, MATCH_NETWORKS},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if ((*lists[i].list = match_list_open(lists[i].text, lists[i].flags, err)) == NULL)
            return -1;
    struct str parents = set->parent_domain_matches_subdomains;
    d->flush_domains = match_list_open_domains(set->fast_flush_domains, 0, "fast_flush_domains", parents, err);
    d->debug_peers = match_list_open_domains(set->debug_peer_list, MATCH_NETWORKS, "debug_peer_list", parents, err);
    if (d->flush_domains == NULL || d->debug_peers == NULL)
        return -1;
    d->ehlo_discard_maps = table_list_open(set->smtpd_discard_ehlo_keyword_address_maps, 0);
    d->command_filter = table_list_open(set->smtpd_command_filter, 0);
    d->reject_filter = table_list_open(set->smtpd_reject_filter_maps, 0);
    d->footer_maps = table_list_open(set->smtpd_reject_footer_maps, 0);
    return 0;
}

static void close_lists(struct smtpd *d)
{
    struct match_list *const lists[] = {
        d->mynetworks,    d->noop_commands,    d->forbidden_commands, d->bare_newline_exclusions,
        d->flush_domains, d->limit_exceptions, d->xclient_hosts,      d->xforward_hosts,
        d->verp_clients,  d->debug_peers};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        match_list_close(lists[i]);
    table_list_close(d->ehlo_discard_maps);
    table_list_close(d->command_filter);
    table_list_close(d->reject_filter);
    table_list_close(d->footer_maps);
}

static int open_sasl(struct smtpd *d, struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;

    if (!set->smtpd_sasl_auth_enable || ctx->is_standalone)
        return 0;
    d->sasl_exceptions = match_list_open(set->smtpd_sasl_exceptions_networks, MATCH_NETWORKS, err);
    if (d->sasl_exceptions == NULL)
        return -1;
    d->sasl = sasl_server_open(ctx, err);
    return d->sasl == NULL ? -1 : 0;
}

static int smtpd_init(struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;
    struct smtpd *d = MEM_NEW(struct smtpd);
    struct buf path = BUF_INIT;

    d->settings = set;
    ctx->state = d;
    d->service = ctx;
    list_init(&d->sessions);
    d->ehlo_keywords = smtpd_keywords_offered(set);
    d->notify_classes = notify_classes(set);
    if (open_lists(d, set, err) < 0)
        return -1;
    d->route = route_open(set, err);
    if (d->route == NULL)
        return -1;
    d->access = access_open(ctx->conf, set, d->route, err);
    if (d->access == NULL)
        return -1;
    if (open_sasl(d, ctx, err) < 0)
        return -1;
    d->tls = smtpd_tls_open(set);
    buf_addf(&path, "public/" STR_FMT, STR_ARG(set->cleanup_service_name));
    d->flush = flush_client_new(set->flush_service_name);
    d->anvil = anvil_client_new("private/anvil");
    d->submit = submit_pool_new(buf_cstr(&path));
    buf_release(&path);
    return dns_init(err);
}

static void smtpd_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct smtpd *d = ctx->state;
    struct smtpd_session *s = MEM_NEW(struct smtpd_session);
    s->daemon = d;
    list_append(&d->sessions, &s->link);
    s->settings = ctx->settings;
    s->service = ctx;
    s->peer = client->peer;
    s->local = client->local;
    s->is_standalone = client->is_standalone;
    if (s->is_standalone) {
        smtpd_standalone_run(s);
    } else {
        s->stream = stream_new(client->fd);
        smtpd_session_run(s);
        stream_free(s->stream);
    }
    access_session_free(s->access);
    list_remove(&s->link);
    arena_release(&s->session_arena);
    arena_release(&s->transaction_arena);
    arena_release(&s->forward_arena);
    mem_free(s);
}

static void smtpd_deinit(struct service_context *ctx)
{
    struct smtpd *d = ctx->state;
    if (d->stress_timer != NULL)
        co_timer_free(d->stress_timer);
    dns_deinit();
    submit_pool_free(d->submit);
    smtpd_tls_close(d->tls);
    anvil_client_free(d->anvil);
    flush_client_free(d->flush);
    access_close(d->access);
    sasl_server_close(d->sasl);
    match_list_close(d->sasl_exceptions);
    route_close(d->route);
    close_lists(d);
    mem_free(d);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "smtpd",
        .flags = SERVICE_NETWORK | SERVICE_STANDALONE_OK,
        .init = smtpd_init,
        .serve = smtpd_serve,
        .stress = smtpd_stress,
        .deinit = smtpd_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
