// SPDX-License-Identifier: ISC
// trivial-rewrite.c: answers rewriting and resolution questions by socket, for those who have no tables of their own.
//
// Requests: "rewrite" (context local|remote, address) gives address; "resolve" (sender, address) gives class,
// transport, nexthop, recipient, routed. A failed table is answered with "error". Trust: requests come from our daemons
// and are still checked.
#include "lib/base/log.h"
#include "lib/ipc/service.h"
#include "lib/mail/address.h"
#include "lib/route/route.h"

static int rewrite_init(struct service_context *ctx, struct err *err)
{
    ctx->state = route_open(ctx->settings, err);
    return ctx->state ? 0 : -1;
}

static const char *class_name(enum route_class class)
{
    switch (class) {
    case ROUTE_LOCAL:
        return "local";
    case ROUTE_VIRTUAL_ALIAS:
        return "virtual_alias";
    case ROUTE_VIRTUAL_MAILBOX:
        return "virtual_mailbox";
    case ROUTE_RELAY:
        return "relay";
    case ROUTE_DEFAULT:
        return "default";
    case ROUTE_ERROR:
        break;
    }
    return "error";
}

static int answer_rewrite(struct route *route, const struct ipc_view *v, struct arena *arena, struct ipc_msg *m,
                          struct err *err) CO
{
    struct str address = ipc_str_or(v, "address", STR("")), result;
    bool is_local = str_is(ipc_str_or(v, "context", STR("local")), STR("local"));

    if (!address_is_sane(address))
        return err_set(err, ERR_PROTOCOL, "malformed address");
    if (route_rewrite(route, is_local, address, arena, &result, err) < 0)
        return -1;
    ipc_begin(m, v->id, "rewritten");
    ipc_add_str(m, "address", result);
    return ipc_end(m);
}

static int answer_resolve(struct route *route, const struct ipc_view *v, struct arena *arena, struct ipc_msg *m,
                          struct err *err) CO
{
    struct str sender = ipc_str_or(v, "sender", STR("")), address = ipc_str_or(v, "address", STR(""));
    struct route_result result;

    if (!address_is_sane(sender))
        return err_set(err, ERR_PROTOCOL, "malformed sender");
    if (route_resolve(route, sender, address, arena, &result, err) < 0)
        return -1;
    ipc_begin(m, v->id, "resolved");
    ipc_add_str(m, "class", str_from(class_name(result.class)));
    ipc_add_str(m, "transport", result.transport);
    ipc_add_str(m, "nexthop", result.nexthop);
    ipc_add_str(m, "recipient", result.recipient);
    ipc_add_int(m, "routed", result.has_source_route);
    return ipc_end(m);
}

static int answer(void *arg, const struct ipc_view *v, struct ipc_msg *m)
{
    co_assert_running();
    struct route *route = arg;
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    int rc;

    if (str_is(v->verb, STR("rewrite")))
        rc = answer_rewrite(route, v, &arena, m, &err);
    else if (str_is(v->verb, STR("resolve")))
        rc = answer_resolve(route, v, &arena, m, &err);
    else
        rc = err_set(&err, ERR_PROTOCOL, "unknown request");
    if (rc < 0) {
        ipc_begin(m, v->id, "error");
        ipc_add_str(m, "text", str_from(err.text));
        if (ipc_end(m) < 0)
            log_warn("an answer does not fit into a frame");
    }
    arena_release(&arena);
    return 0;
}

static void rewrite_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, ctx->settings->ipc_idle, answer, ctx->state);
}

static void rewrite_deinit(struct service_context *ctx)
{
    route_close(ctx->state);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "trivial-rewrite",
        .init = rewrite_init,
        .serve = rewrite_serve,
        .deinit = rewrite_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
