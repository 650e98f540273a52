// SPDX-License-Identifier: ISC
// mtasts.c: fetches, keeps and renews the MTA-STS policies of other domains (RFC 8461), and tells delivery agents of
// them.
//
// Request: policy {domain}. Answer: policy {id, text} | none. A domain without a policy in force is answered with none,
// whatever the reason. Trust: DNS and web servers are hostile; clients, too: the domain is checked.
// Runs as mail_owner, jailed; writes its cache only. Suspends: everywhere; one question about a domain at a time.
#include <curl/curl.h>

#include "lib/base/log.h"
#include "lib/ipc/service.h"
#include "lib/net/dns.h"
#include "services/mtasts/mtasts.h"

#define DOMAIN_MAX   240 // with "_mta-sts." in front a name of DNS
#define IDLE_SECONDS 3600
#define BUSY_MS      120000
#define FETCHES_MAX  32 // at a time: a few web servers that hang do not hold up the others

static int mtasts_init(struct service_context *ctx, struct err *err)
{
    struct mtasts *m = MEM_NEW(struct mtasts);

    ctx->state = m;
    m->settings = ctx->settings;
    co_jobs_set_threads(FETCHES_MAX);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_TEMPORARY, "cannot start libcurl");
    return dns_init(err);
}

// ---- Requests

static bool domain_is_valid(struct str domain)
{
    if (domain.len == 0 || domain.len > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

static int answer_request(void *arg, const struct ipc_view *view, struct ipc_msg *answer)
{
    co_assert_running();
    struct mtasts *m = arg;
    struct arena arena = ARENA_INIT;
    struct str domain = arena_lower(&arena, ipc_str_or(view, "domain", STR("")));
    uint32_t id = view->id;
    struct mtasts_entry *e = NULL;

    if (str_is(view->verb, STR("policy")) && domain_is_valid(domain)) {
        int64_t deadline = clock_ms() + BUSY_MS;
        while ((e = mtasts_cache_get(m, domain))->is_busy) // looked up anew after each wait
            if (co_event_wait(&e->done, deadline) < 0)
                break;
        if (!e->is_busy) {
            mtasts_policy_refresh(m, e, false);
            e = mtasts_cache_get(m, domain);
        }
    }
    bool is_in_force = e != NULL && mtasts_entry_is_valid(e, clock_wall());
    ipc_begin(answer, id, is_in_force ? "policy" : "none");
    if (is_in_force) {
        ipc_add_str(answer, "id", str_from(e->id));
        ipc_add_str(answer, "text", buf_str(&e->text));
    }
    arena_release(&arena);
    return ipc_end(answer);
}

static void mtasts_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, IDLE_SECONDS, answer_request, ctx->state);
}

// ---- Renewal ahead of expiry

static void renew(struct mtasts *m, struct str domain) CO
{
    struct mtasts_entry *e = mtasts_cache_get(m, domain);
    int64_t now = clock_wall();

    if (e->is_busy)
        return;
    if (mtasts_entry_is_valid(e, now) && now - e->fetched > (e->expires - e->fetched) / 2)
        mtasts_policy_refresh(m, e, true);
    else if (!mtasts_entry_is_valid(e, now))
        mtasts_cache_remove(m, e); // nobody has renewed it
}

static void mtasts_start(struct service_context *ctx)
{
    struct mtasts *m = ctx->state;
    struct buf domain = BUF_INIT, next = BUF_INIT;

    co_assert_running();
    // Only now, with the rights of mail_owner: the file is made if need be.
    if (m->settings->mtasts_cache_map.len > 0)
        m->table = table_open(m->settings->mtasts_cache_map, TABLE_WRITE | TABLE_KEEP_CASE);
    while (!co_is_cancelled()) {
        co_sleep_until(clock_deadline(m->settings->mtasts_refresh_time));
        buf_clear(&domain);
        while (!co_is_cancelled() && mtasts_cache_next(m, buf_str(&domain), &next) == 1) {
            buf_clear(&domain);
            buf_add_str(&domain, buf_str(&next));
            if (domain_is_valid(buf_str(&domain)))
                renew(m, buf_str(&domain));
        }
    }
    buf_release(&domain);
    buf_release(&next);
}

static void mtasts_deinit(struct service_context *ctx)
{
    struct mtasts *m = ctx->state;

    if (m == NULL)
        return;
    mtasts_cache_free(m);
    dns_deinit();
    curl_global_cleanup();
    mem_free(m);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "mtasts",
        .flags = SERVICE_NETWORK | SERVICE_SOLITARY,
        .init = mtasts_init,
        .start = mtasts_start,
        .serve = mtasts_serve,
        .deinit = mtasts_deinit,
    };
    return service_main(&service, argc, argv);
}
