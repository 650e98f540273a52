// SPDX-License-Identifier: ISC
// bounce.c: keeps the logs of what could not be delivered (bounce), not yet (defer), or must be reported (trace), and
// notifies people. Trust: delivery agents and the queue manager ask; every field is checked before it becomes a path or
// a line of a log. Suspends: appending and submitting.
#include "services/bounce/bounce.h"

#include <fcntl.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"

enum { FLUSH_RETRY_SECONDS = 60 };

static int init(struct service_context *ctx, struct err *err)
{
    const struct settings *s = ctx->settings;
    struct bounce_state *state = MEM_NEW(struct bounce_state);
    state->settings = s;
    state->arena = ARENA_INIT;
    state->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    bounce_templates_load(&state->templates, ctx->conf, s, &state->arena);
    ctx->state = state;
    state->flush = flush_client_new(s->flush_service_name);
    state->flush_domains = match_list_open_domains(s->fast_flush_domains, 0, "fast_flush_domains",
                                                   s->parent_domain_matches_subdomains, err);
    if (state->flush_domains == NULL)
        return -1;
    return 0;
}

static void deinit(struct service_context *ctx)
{
    struct bounce_state *state = ctx->state;
    submit_pool_free(state->pool);
    flush_client_free(state->flush);
    match_list_close(state->flush_domains);
    arena_release(&state->arena);
    mem_free(state);
}

static const char *log_name(const struct ipc_view *view)
{
    static const char *const names[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};
    struct str which = ipc_str_or(view, "which", STR(""));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is(which, str_from(names[i])))
            return names[i];
    return NULL;
}

// Field as one printable line: agents pass on what remote servers said.
static struct str clean(struct arena *arena, const struct ipc_view *view, const char *name)
{
    struct buf b = BUF_INIT;
    buf_add_printable(&b, ipc_str_or(view, name, STR("")), 4096);
    struct str text = arena_str(arena, buf_str(&b));
    buf_release(&b);
    return text;
}

// Mail that waits for a site which may ask for it (fast_flush_domains): the flush service remembers. Losing that costs
// time, not mail.
static void note_deferral(struct bounce_state *state, struct str recipient, struct str id) CO
{
    struct err err = ERR_INIT;
    struct str site = address_domain(recipient);
    if (site.len == 0 || clock_ms() < state->flush_dead_until || match_list_has(state->flush_domains, site, &err) <= 0)
        return;
    if (flush_client_add(state->flush, site, id, &err) != FLUSH_FAILED)
        return;
    state->flush_dead_until = clock_deadline(FLUSH_RETRY_SECONDS); // a stuck service must not hold up each deferral
    log_warn("the flush service does not learn of a message for " STR_FMT ": %s", STR_ARG(site), err.text);
}

static int append(struct bounce_state *state, const struct ipc_view *view, struct err *err) CO
{
    struct arena arena = ARENA_INIT;
    struct buf block = BUF_INIT;
    const char *which = log_name(view);
    struct str id = arena_str(&arena, ipc_str_or(view, "id", STR("")));
    struct bounce_entry e = {
        .recipient = clean(&arena, view, "recipient"),
        .original_recipient = clean(&arena, view, "original"),
        .dsn_orcpt = clean(&arena, view, "orcpt"),
        .offset = ipc_int_or(view, "offset", 0),
        .notify = (int)(ipc_int_or(view, "notify", 0) & 15),
        .status = clean(&arena, view, "status"),
        .action = clean(&arena, view, "action"),
        .diag_type = clean(&arena, view, "diag_type"),
        .diag_text = clean(&arena, view, "diag_text"),
        .mta_type = STR("dns"),
        .mta_name = clean(&arena, view, "mta"),
        .reason = clean(&arena, view, "reason"),
    };
    int rc;
    if (which == NULL || !queue_id_is_valid(id) || e.offset < 0)
        rc = err_set(err, ERR_PROTOCOL, "bad log request");
    else if (bounce_log_add(&block, &e, state->settings->backwards_bounce_logfile_compatibility) < 0)
        rc = err_set(err, ERR_PROTOCOL, "bad text in log request");
    else
        rc = bounce_file_append(&state->layout, which, id, buf_str(&block), err);
    if (rc == 0 && strcmp(which, QUEUE_DEFER) == 0)
        note_deferral(state, e.recipient, id);
    buf_release(&block);
    arena_release(&arena);
    return rc;
}

static int forget(struct bounce_state *state, const struct ipc_view *view, struct err *err)
{
    const char *which = log_name(view);
    struct str id = ipc_str_or(view, "id", STR(""));
    if (which == NULL || !queue_id_is_valid(id))
        return err_set(err, ERR_PROTOCOL, "bad log request");
    return queue_file_remove(AT_FDCWD, &state->layout, which, id, err) < 0 ? -1 : 0;
}

static bool read_notice(struct str name, enum bounce_notice *notice_r)
{
    static const char *const names[] = {"failure", "delay", "success", "verify"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is(name, str_from(names[i]))) {
            *notice_r = (enum bounce_notice)i;
            return true;
        }
    return false;
}

static int flush(struct bounce_state *state, const struct ipc_view *view, struct err *err) CO
{
    struct arena arena = ARENA_INIT;
    struct bounce_flush f = {
        .queue_name = clean(&arena, view, "queue"),
        .queue_id = clean(&arena, view, "id"),
        .sender = clean(&arena, view, "sender"),
        .envelope_id = clean(&arena, view, "envid"),
        .encoding = clean(&arena, view, "encoding"),
        .ret_flags = (int)(ipc_int_or(view, "ret", 0) & 3),
        .sendopts = (int)(ipc_int_or(view, "sendopts", 0) & 0xffff),
        .arrival_s = ipc_int_or(view, "arrival", 0),
    };
    int rc;
    if (!read_notice(ipc_str_or(view, "notice", STR("")), &f.notice) || !queue_id_is_valid(f.queue_id) ||
        !queue_id_is_valid(f.queue_name))
        rc = err_set(err, ERR_PROTOCOL, "bad notification request");
    else
        rc = bounce_notify(state, &f, err);
    arena_release(&arena);
    return rc;
}

static int perform(struct bounce_state *state, const struct ipc_view *view, struct err *err) CO
{
    if (str_is(view->verb, STR("append")))
        return append(state, view, err);
    if (str_is(view->verb, STR("flush")))
        return flush(state, view, err);
    if (str_is(view->verb, STR("forget")))
        return forget(state, view, err);
    return err_set(err, ERR_PROTOCOL, "unknown request");
}

static int respond(void *arg, const struct ipc_view *request, struct ipc_msg *answer)
{
    co_assert_running();
    struct err err = ERR_INIT;
    uint32_t id = request->id;
    int rc = perform(arg, request, &err);
    ipc_begin(answer, id, rc == 0 ? "ok" : "failed");
    if (rc < 0) {
        log_warn("request failed: %s", err.text);
        ipc_add_str(answer, "reason", str_from(err.text));
    }
    return ipc_end(answer);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct bounce_state *state = ctx->state;
    if (state->pool == NULL)
        state->pool = submit_pool_new("public/cleanup");
    service_answer(ctx, client, 0, respond, state); // agents keep their connection as long as they live
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "bounce",
        .flags = SERVICE_UNLIMITED | SERVICE_WRITES_QUEUE,
        .init = init,
        .serve = serve,
        .deinit = deinit,
    };
    return service_main(&service, argc, argv);
}
