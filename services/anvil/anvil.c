// SPDX-License-Identifier: ISC
// anvil.c: counts, for all SMTP servers together, connections and requests by client. It decides nothing: it tells
// numbers.
//
// Trust: its clients are our own servers, whose sessions hostile clients drive: names are bounded, and a process can
// only give back what it took itself. Holds no secret, opens nothing. Suspends: between requests.
#include "services/anvil/anvil.h"
#include "lib/base/log.h"
#include "lib/ipc/service.h"

struct anvil_state {
    struct anvil anvil;
    struct co_timer *statistics;
    int64_t interval_ms; // anvil_status_update_time
};

static void log_status(void *arg)
{
    struct anvil_state *st = arg;
    anvil_log_statistics(&st->anvil);
    co_timer_set(st->statistics, clock_ms() + st->interval_ms);
}

static int init(struct service_context *ctx, struct err *err)
{
    struct anvil_state *st = MEM_NEW(struct anvil_state);
    ctx->state = st;
    anvil_init(&st->anvil, ctx->settings->anvil_rate_time_unit);
    st->interval_ms = ctx->settings->anvil_status_update_time * 1000;
    return 0;
}

static void start(struct service_context *ctx)
{
    struct anvil_state *st = ctx->state;
    st->statistics = co_timer_new(log_status, st);
    co_timer_set(st->statistics, clock_ms() + st->interval_ms);
}

// The event that a request names, or -1.
static int event_of(const struct ipc_view *view)
{
    for (int event = 0; event < ANVIL_EVENT_COUNT; event++)
        if (str_is(view->verb, str_from(anvil_event_verb((enum anvil_event)event))))
            return event;
    return -1;
}

// 0 go on, -1 the connection cannot be used any more.
struct client {
    struct anvil *anvil;
    struct anvil_holder holder;
};

static int respond(void *arg, const struct ipc_view *view, struct ipc_msg *answer)
{
    struct client *c = arg;
    struct str client = ipc_str_or(view, "client", STR(""));
    int event = event_of(view);
    if (event < 0 || client.len == 0 || client.len > ANVIL_CLIENT_MAX) {
        log_warn("malformed request: \"" STR_FMT "\"", STR_ARG(str_slice(view->verb, 0, 50)));
        return -1;
    }
    struct anvil_counts counts = anvil_note(c->anvil, &c->holder, (enum anvil_event)event, client);
    if (event == ANVIL_DISCONNECT)
        return 0;
    ipc_begin(answer, view->id, "counts");
    ipc_add_int(answer, "count", counts.count);
    ipc_add_int(answer, "rate", counts.rate);
    return ipc_end(answer);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct anvil_state *st = ctx->state;
    struct client c = {.anvil = &st->anvil, .holder = {.connections = MAP_INIT}};
    service_answer(ctx, client, ctx->settings->daemon_timeout, respond, &c);
    anvil_end_holder(&st->anvil, &c.holder);
}

static void deinit(struct service_context *ctx)
{
    struct anvil_state *st = ctx->state;
    anvil_log_statistics(&st->anvil);
    if (st->statistics != NULL)
        co_timer_free(st->statistics);
    anvil_release(&st->anvil);
    mem_free(st);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "anvil",
        .flags = SERVICE_SOLITARY,
        .init = init,
        .start = start,
        .serve = serve,
        .deinit = deinit,
    };
    return service_main(&service, argc, argv);
}
