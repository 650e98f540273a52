// SPDX-License-Identifier: ISC
// smtp.c: the SMTP and LMTP delivery agent: takes messages from the queue manager to other servers.
//
// Trust: servers and DNS are hostile. Runs as mail_owner, jailed; writes nothing but the marks of the queue file. Many
// deliveries in a process, each a coroutine. Called as lmtp it speaks LMTP and reads the lmtp_* parameters.
#include <string.h>

#include "lib/ipc/service.h"
#include "lib/net/dns.h"
#include "smtp/smtp.h"

static int open_tables(struct smtp_client *client, struct err *err)
{
    const struct smtp_profile *p = &client->profile;

    if (p->connection_cache_destinations.len > 0) {
        client->cache_destinations = match_list_open(p->connection_cache_destinations, 0, err);
        if (client->cache_destinations == NULL)
            return -1;
    }
    return smtp_sasl_open(client, err);
}

static int smtp_init(struct service_context *ctx, struct err *err)
{
    struct smtp_client *client = MEM_NEW(struct smtp_client);

    ctx->state = client;
    client->settings = ctx->settings;
    smtp_profile_fill(&client->profile, ctx->settings, strcmp(ctx->program, "lmtp") == 0);
    if (net_port_by_name(client->profile.tcp_port, &client->port) < 0)
        return err_set(err, ERR_PERMANENT, "unknown port \"" STR_FMT "\"", STR_ARG(client->profile.tcp_port));
    if (smtp_lookup_init(client, err) < 0 || open_tables(client, err) < 0 || smtp_tls_open(client, err) < 0)
        return -1;
    smtp_transcript_init(client, ctx);
    client->requiretls = smtp_requiretls_open(client->profile.requiretls_policy, err);
    if (client->requiretls == NULL)
        return -1;
    client->cache = smtp_connection_cache_new(client);
    return dns_init(err);
}

static void deliver(struct service_context *ctx, struct delivery *d)
{
    co_assert_running();
    smtp_deliver(ctx->state, d);
}

static void smtp_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    delivery_serve(ctx, client, ctx->session_limit, deliver);
}

static void smtp_deinit(struct service_context *ctx)
{
    struct smtp_client *client = ctx->state;

    if (client == NULL)
        return;
    smtp_connection_cache_free(client->cache);
    dns_deinit();
    smtp_tls_close(client);
    smtp_requiretls_close(client->requiretls);
    smtp_sasl_close(client);
    submit_pool_free(client->submit);
    match_list_close(client->cache_destinations);
    mem_free(client->own);
    mem_free(client);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "smtp";
    const struct service service = {
        .program = strcmp(name, "lmtp") == 0 ? "lmtp" : "smtp",
        .flags = SERVICE_NETWORK | SERVICE_WRITES_QUEUE | SERVICE_TAKES_ALL,
        .init = smtp_init,
        .serve = smtp_serve,
        .deinit = smtp_deinit,
        .outdated = table_outdated,
    };

    return service_main(&service, argc, argv);
}
