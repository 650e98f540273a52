// SPDX-License-Identifier: ISC
// smtpd.c: the SMTP server: receives mail from the network, decides, and hands it to cleanup.
//
// Trust: clients are hostile. Runs as mail_owner, jailed, without write access to files; many sessions in a process, each a
// coroutine. Holds no secret. With -S it serves one session on standard input and output (sendmail -bs).
#include <unistd.h>

#include "lib/net/dns.h"
#include "smtpd/smtpd.h"

static unsigned offered_keywords(const struct settings *set)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {{"size", SMTPD_EHLO_SIZE},         {"pipelining", SMTPD_EHLO_PIPELINING}, {"vrfy", SMTPD_EHLO_VRFY},
                 {"8bitmime", SMTPD_EHLO_8BITMIME}, {"dsn", SMTPD_EHLO_DSN},               {"smtputf8", SMTPD_EHLO_SMTPUTF8},
                 {"chunking", SMTPD_EHLO_CHUNKING}, {"enhancedstatuscodes", SMTPD_EHLO_ENHANCED}};
    unsigned offered = SMTPD_EHLO_ALL;
    struct str word, rest = set->smtpd_discard_ehlo_keywords;
    while (str_token(&rest, ", \t\r\n", &word))
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (str_is_nocase(word, str_from(names[i].name)))
                offered &= ~names[i].bit;
    if (!set->smtputf8_enable)
        offered &= ~(unsigned)SMTPD_EHLO_SMTPUTF8;
    if (set->disable_vrfy_command)
        offered &= ~(unsigned)SMTPD_EHLO_VRFY;
    return offered;
}

static int smtpd_init(struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;
    struct smtpd *d = MEM_NEW(struct smtpd);
    struct buf path = BUF_INIT;

    d->settings = set;
    ctx->state = d;
    d->ehlo_keywords = offered_keywords(set);
    d->mynetworks = match_list_open(set->mynetworks, MATCH_NETWORKS, err);
    if (d->mynetworks == NULL)
        return -1;
    d->route = route_open(set, err);
    if (d->route == NULL)
        return -1;
    d->access = access_open(ctx->conf, set, d->route, err);
    if (d->access == NULL)
        return -1;
    buf_addf(&path, "public/" STR_FMT, STR_ARG(set->cleanup_service_name));
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
    arena_release(&s->session_arena);
    arena_release(&s->transaction_arena);
    mem_free(s);
}

static void smtpd_deinit(struct service_context *ctx)
{
    struct smtpd *d = ctx->state;
    dns_deinit();
    submit_pool_free(d->submit);
    access_close(d->access);
    route_close(d->route);
    match_list_close(d->mynetworks);
    mem_free(d);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "smtpd",
        .flags = SERVICE_NETWORK | SERVICE_STANDALONE_OK,
        .init = smtpd_init,
        .serve = smtpd_serve,
        .deinit = smtpd_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
