// SPDX-License-Identifier: ISC
// verify.c: answers from its cache whether mail for an address can be delivered, and finds out by probe messages.
//
// Requests: "query" (address) gives "answer" (status, text); "update" (address, status, text), from delivery agents,
// gives "ok"; what is malformed gives "failed" (reason). A question never waits for a probe. Trust: requests come from
// daemons that talk to the network: addresses are hostile, and so are texts, which repeat what remote servers said.
// Suspends: in tables of proxywrite.
#include "services/verify/verify.h"

#include "lib/base/log.h"
#include "lib/mail/address.h"

#define IDLE_SECONDS 3600

static int verify_init(struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;
    struct verify *v = MEM_NEW(struct verify);
    struct buf path = BUF_INIT;

    v->ctx = ctx;
    v->settings = set;
    v->memory = MAP_INIT;
    ctx->state = v;
    verify_store_open(v);
    buf_addf(&path, "public/" STR_FMT, STR_ARG(set->cleanup_service_name));
    v->submit = submit_pool_new(buf_cstr(&path));
    buf_release(&path);
    return 0;
}

static void verify_start(struct service_context *ctx)
{
    co_assert_running();
    verify_store_clean(ctx->state);
}

// Probes may still be on their way to cleanup, while the next process begins.
static void verify_retire(struct service_context *ctx)
{
    verify_store_hand_over(ctx->state);
}

static void verify_deinit(struct service_context *ctx)
{
    struct verify *v = ctx->state;

    submit_pool_free(v->submit);
    verify_store_close(v);
    mem_free(v);
}

// ---- Requests

static struct str take_address(const struct ipc_view *view, struct err *err)
{
    struct str address = ipc_str_or(view, "address", STR(""));

    if (address.len > 0 && address.len <= VERIFY_ADDRESS_MAX && address_is_sane(address))
        return address;
    err_set(err, ERR_PROTOCOL, "malformed address");
    return STR_NULL;
}

static void answer(struct ipc_msg *m, uint32_t id, const struct verify_entry *entry)
{
    ipc_begin(m, id, "answer");
    ipc_add_int(m, "status", entry->status);
    ipc_add_str(m, "text", entry->status == VERIFY_PENDING ? STR("Address verification in progress") : entry->text);
}

static int answer_query(struct verify *v, const struct ipc_view *view, struct ipc_msg *m, struct err *err) CO
{
    struct str address = take_address(view, err);
    struct verify_entry entry = {.status = VERIFY_PENDING, .text = STR("")};
    struct buf value = BUF_INIT;
    int64_t now = clock_wall();

    if (address.ptr == NULL)
        return -1;
    int found = verify_store_get(v, address, &value, &entry);
    if (found < 0) {
        buf_release(&value);
        return err_set(err, ERR_TEMPORARY, "the cache cannot be read");
    }
    bool is_usable = found > 0 && verify_entry_is_usable(&entry, v->settings, now);
    bool wants_probe = found == 0 || verify_entry_wants_probe(&entry, v->settings, now);
    if (!is_usable)
        entry = (struct verify_entry){.status = VERIFY_PENDING, .text = STR("")};
    answer(m, view->id, &entry);
    if (wants_probe && v->probes < VERIFY_PROBES_MAX) { // else a later question starts it
        entry.probed = now;
        verify_store_put(v, address, &entry);
        verify_probe_start(v, address);
    }
    buf_release(&value);
    return 0;
}

static int take_update(struct verify *v, const struct ipc_view *view, struct ipc_msg *m, struct err *err) CO
{
    struct str address = take_address(view, err);
    int64_t status = ipc_int_or(view, "status", -1), now = clock_wall();
    struct verify_entry old, new = {.updated = now, .text = ipc_str_or(view, "text", STR(""))};
    struct buf value = BUF_INIT;

    if (address.ptr == NULL)
        return -1;
    if (status < VERIFY_OK || status > VERIFY_BOUNCED)
        return err_set(err, ERR_PROTOCOL, "malformed status");
    new.status = (enum verify_status)status;
    int found = verify_store_get(v, address, &value, &old);
    if (found <= 0 || verify_entry_yields_to(&old, new.status, v->settings, now))
        verify_store_put(v, address, &new);
    buf_release(&value);
    ipc_begin(m, view->id, "ok");
    return 0;
}

static int respond(void *arg, const struct ipc_view *view, struct ipc_msg *m)
{
    co_assert_running();
    struct verify *v = arg;
    struct err err = ERR_INIT;
    int rc;

    if (str_is(view->verb, STR("query")))
        rc = answer_query(v, view, m, &err);
    else if (str_is(view->verb, STR("update")))
        rc = take_update(v, view, m, &err);
    else
        rc = err_set(&err, ERR_PROTOCOL, "unknown request");
    if (rc < 0) {
        ipc_begin(m, view->id, "failed");
        ipc_add_str(m, "reason", str_from(err.text));
    }
    return ipc_end(m);
}

static void verify_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, IDLE_SECONDS, respond, ctx->state);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "verify",
        .flags = SERVICE_SOLITARY,
        .init = verify_init,
        .start = verify_start,
        .serve = verify_serve,
        .retire = verify_retire,
        .deinit = verify_deinit,
    };
    return service_main(&service, argc, argv);
}
