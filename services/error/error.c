// SPDX-License-Identifier: ISC
// error.c: the delivery agent that fails (service error) or defers (service retry) mail with the next hop's text as the
// reason. Trust: requests come from the queue manager and are checked in lib/ipc. Suspends: in the bounce, defer and
// trace services.
#include "lib/agent/agent.h"
#include "lib/ipc/service.h"
#include "lib/mail/smtp_syntax.h"

static bool always_defers(const struct service_context *ctx)
{
    return strcmp(ctx->name, "retry") == 0;
}

// The reason may begin with an enhanced status code: one that says "temporary" defers, wherever it stands.
static void deliver(struct service_context *ctx, struct delivery *d)
{
    co_assert_running();
    struct str status, text = d->request.nexthop;
    bool defers = always_defers(ctx);
    if (smtp_enhanced_status(d->request.nexthop, &status, &text))
        defers = defers || status.ptr[0] == '4';
    else
        status = defers ? STR("4.0.0") : STR("5.0.0");
    struct delivery_report report = {
        .status = defers ? DELIVERY_DEFERRED : DELIVERY_BOUNCED,
        .dsn = arena_strf(d->arena, "%c" STR_FMT, defers ? '4' : '5', STR_ARG(str_slice(status, 1, status.len))),
        .text = text.len ? text : STR("mail delivery failed"),
    };
    delivery_settle_all(d, &report);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    delivery_serve(ctx, client, ctx->session_limit, deliver);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "error", .flags = SERVICE_WRITES_QUEUE | SERVICE_TAKES_ALL, .serve = serve};
    return service_main(&service, argc, argv);
}
