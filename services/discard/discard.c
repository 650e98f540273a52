// SPDX-License-Identifier: ISC
// discard.c: the delivery agent that drops mail and says that it was sent, with the next hop's text as the reason.
// Trust: requests come from the queue manager and are checked in lib/ipc.
// Suspends: in the trace service.
#include "lib/agent/agent.h"
#include "lib/ipc/service.h"
#include "lib/mail/smtp_syntax.h"

static void deliver(struct service_context *ctx, struct delivery *d)
{
    co_assert_running();
    struct str status, text = d->request.nexthop;
    if (!smtp_enhanced_status(d->request.nexthop, &status, &text) || status.ptr[0] != '2')
        status = STR("2.0.0");
    delivery_settle_all(d, &(struct delivery_report){.status = DELIVERY_SENT, .dsn = status, .text = text});
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    delivery_serve(ctx, client, ctx->session_limit, deliver);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "discard", .flags = SERVICE_WRITES_QUEUE | SERVICE_TAKES_ALL, .serve = serve};
    return service_main(&service, argc, argv);
}
