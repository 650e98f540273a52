// SPDX-License-Identifier: ISC
// flush.c: knows which deferred messages wait for which site, so that one site's mail can be tried at once (ETRN,
// postqueue -s).
//
// The bounce service tells it of each deferral to a site of fast_flush_domains. Asked for a site, it has the queue
// manager try those messages. Woken up, it does so for files that nobody asked for in fast_flush_refresh_time, and
// removes empty ones after fast_flush_purge_time. A lost file costs time, never mail: the queue manager retries by its
// own clock.
// Trust: sites come from addresses and from ETRN: they are domain names in fast_flush_domains before anything is done.
// Suspends: for the queue manager and for tables of fast_flush_domains.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/qmgr_client.h"
#include "lib/mail/address.h"
#include "services/flush/flush.h"

static int init(struct service_context *ctx, struct err *err)
{
    const struct settings *s = ctx->settings;
    struct flush_state *st = MEM_NEW(struct flush_state);
    struct buf path = BUF_INIT;
    ctx->state = st;
    st->settings = s;
    st->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    buf_addf(&path, "public/" STR_FMT, STR_ARG(s->queue_service_name));
    st->qmgr_path = mem_strdup(buf_cstr(&path));
    buf_release(&path);
    st->domains = match_list_open_domains(s->fast_flush_domains, 0, "fast_flush_domains",
                                          s->parent_domain_matches_subdomains, err);
    return st->domains == NULL ? -1 : 0;
}

static void deinit(struct service_context *ctx)
{
    struct flush_state *st = ctx->state;
    match_list_close(st->domains);
    mem_free(st->qmgr_path);
    mem_free(st);
}

// ---- The queue manager

static bool is_deferred(const struct flush_state *st, struct str id)
{
    struct buf path = BUF_INIT;
    bool is = queue_id_is_valid(id) && queue_path(&st->layout, QUEUE_DEFERRED, id, &path) == 0 &&
              access(buf_cstr(&path), F_OK) == 0;
    buf_release(&path);
    return is;
}

// Those that are not deferred any more are passed over. What could not be handed on goes back into the file.
static int release_all(const struct flush_state *st, struct str name, struct str ids, struct err *err) CO
{
    struct err ignored = ERR_INIT;
    struct str id;
    struct ipc_conn *conn = ipc_connect(st->qmgr_path, clock_deadline(QMGR_CLIENT_SECONDS), err);
    int rc = conn == NULL ? -1 : 0;
    while (str_token(&ids, "\n", &id)) {
        if (!is_deferred(st, id))
            continue;
        if (rc == 0)
            rc = qmgr_client_release(conn, id, err);
        if (rc < 0 && flush_file_add(st, name, id, &ignored) < 0)
            log_warn("%s", ignored.text);
    }
    ipc_conn_free(conn);
    return rc;
}

static enum flush_status send_name(const struct flush_state *st, struct str name, struct err *err) CO
{
    struct buf ids = BUF_INIT;
    int rc = flush_file_take(st, name, &ids, err);
    if (rc > 0 && ids.len > 0)
        rc = release_all(st, name, buf_str(&ids), err);
    buf_release(&ids);
    return rc < 0 ? FLUSH_FAILED : FLUSH_OK;
}

// ---- Requests

static enum flush_status check_site(const struct flush_state *st, struct str site, struct err *err) CO
{
    if (site.len == 0 || site.len > FLUSH_SITE_MAX ||
        !(address_domain_is_valid(site) || address_domain_is_literal(site)))
        return FLUSH_BAD_SITE;
    int found = match_list_has(st->domains, site, err);
    return found < 0 ? FLUSH_FAILED : found > 0 ? FLUSH_OK : FLUSH_UNKNOWN_SITE;
}

static enum flush_status perform(const struct flush_state *st, const struct ipc_view *view, struct err *err) CO
{
    struct buf site = BUF_INIT, id = BUF_INIT, name = BUF_INIT;
    bool adds = str_is(view->verb, STR("add"));
    if (!adds && !str_is(view->verb, STR("send"))) {
        err_set(err, ERR_PROTOCOL, "unknown request");
        return FLUSH_FAILED;
    }
    buf_add_lower(&site, ipc_str_or(view, "site", STR("")));
    buf_add_str(&id, ipc_str_or(view, "id", STR("")));
    enum flush_status status = check_site(st, buf_str(&site), err);
    flush_file_name(buf_str(&site), &name);
    if (status == FLUSH_OK && adds &&
        (!queue_id_is_valid(buf_str(&id)) || flush_file_add(st, buf_str(&name), buf_str(&id), err) < 0))
        status = FLUSH_FAILED;
    else if (status == FLUSH_OK && !adds)
        status = send_name(st, buf_str(&name), err);
    if (status == FLUSH_FAILED)
        log_warn("%s: %s", buf_cstr(&site), err->text);
    buf_release(&site);
    buf_release(&id);
    buf_release(&name);
    return status;
}

static int respond(void *arg, const struct ipc_view *request, struct ipc_msg *answer)
{
    co_assert_running();
    struct err err = ERR_INIT;
    enum flush_status status = perform(arg, request, &err);
    ipc_begin(answer, request->id, flush_status_verb(status));
    if (status == FLUSH_FAILED)
        ipc_add_str(answer, "reason", str_from(err.text));
    return ipc_end(answer);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, ctx->settings->daemon_timeout, respond, ctx->state);
}

// ---- Wake-ups

static void refresh_one(const struct flush_state *st, struct str name) CO
{
    struct err err = ERR_INIT;
    bool is_empty = false;
    if (flush_file_is_idle(st, name, st->settings->fast_flush_purge_time, &is_empty) && is_empty)
        flush_file_remove(st, name);
    else if (flush_file_is_idle(st, name, st->settings->fast_flush_refresh_time, &is_empty) && !is_empty &&
             send_name(st, name, &err) == FLUSH_FAILED)
        log_warn(STR_FMT ": %s", STR_ARG(name), err.text);
}

static void refresh_main(void *arg)
{
    co_assert_running();
    struct service_context *ctx = arg;
    struct flush_state *st = ctx->state;
    struct err err = ERR_INIT;
    struct str name;
    int rc = 0;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, "flush", &err);
    while (names != NULL && !ctx->is_retiring && (rc = queue_scan_next(names, &name, &err)) == 1) {
        refresh_one(st, name);
        if (co_yield () < 0)
            break;
    }
    if (names == NULL || rc < 0)
        log_warn("%s", err.text);
    queue_scan_close(names);
    st->is_refreshing = false;
    service_unhold(ctx);
}

static void trigger(struct service_context *ctx, char request)
{
    struct flush_state *st = ctx->state;
    if (request != 'W' || st->is_refreshing)
        return;
    st->is_refreshing = true;
    service_hold(ctx);
    co_spawn("refresh", refresh_main, ctx);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "flush",
        .flags = SERVICE_UNLIMITED | SERVICE_WRITES_QUEUE,
        .init = init,
        .serve = serve,
        .trigger = trigger,
        .deinit = deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
