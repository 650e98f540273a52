// SPDX-License-Identifier: ISC
// postqueue_flush.c: asks the queue manager for delivery attempts: of everything, of one message, of those that are
// chosen.
#include <errno.h>
#include <stdio.h>

#include "commands/postqueue.h"
#include "lib/base/log.h"
#include "lib/ipc/flush_client.h"
#include "lib/ipc/qmgr_client.h"
#include "lib/mail/address.h"
#include "lib/table/table.h"

static const char *service_path(struct postqueue *pq, struct str name)
{
    return arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(name)).ptr;
}

static void die_down(const struct postqueue *pq, const char *path)
{
    log_warn("unable to look up %s: %s", path, pq->err.errnum ? strerror(pq->err.errnum) : pq->err.text);
    die("Cannot flush mail queue - mail system is down");
}

void postqueue_flush_all(struct postqueue *pq)
{
    const struct settings *s = &pq->settings;
    const char *qmgr = service_path(pq, s->queue_service_name);
    if (ipc_trigger(qmgr, STR("FAID"), &pq->err) < 0)
        die_down(pq, qmgr);
    (void)!ipc_trigger(service_path(pq, s->pickup_service_name), STR("W"), &pq->err); // it looks by itself, only later
}

struct site_request {
    struct postqueue *pq;
    struct str site;
    enum flush_status status;
};

static void ask_site(void *arg)
{
    co_assert_running();
    struct site_request *r = arg;
    struct postqueue *pq = r->pq;
    const struct settings *s = &pq->settings;
    struct match_list *domains = match_list_open_domains(s->fast_flush_domains, 0, "fast_flush_domains",
                                                         s->parent_domain_matches_subdomains, &pq->err);
    int found = domains == NULL ? -1 : match_list_has(domains, r->site, &pq->err);
    r->status = found < 0 ? FLUSH_FAILED : FLUSH_UNKNOWN_SITE;
    if (found > 0) {
        struct flush_client *client = flush_client_new(pq->settings.flush_service_name);
        r->status = flush_client_send(client, r->site, &pq->err);
        flush_client_free(client);
    }
    if (domains != NULL)
        match_list_close(domains);
    co_loop_stop();
}

void postqueue_flush_site(struct postqueue *pq)
{
    struct site_request r = {.pq = pq, .site = str_from(pq->options.argument)};
    if (!address_domain_is_valid(r.site) && !address_domain_is_literal(r.site))
        die("Cannot flush mail queue - invalid destination: \"%.100s%s\"", r.site.ptr, r.site.len > 100 ? "..." : "");
    postqueue_on_loop(ask_site, pq, &r);
    if (r.status == FLUSH_UNKNOWN_SITE)
        die("Flush service is not configured for destination \"%s\"", r.site.ptr);
    if (r.status != FLUSH_OK)
        die_down(pq, service_path(pq, pq->settings.flush_service_name));
}

// ---- Messages by id

struct release {
    struct postqueue *pq;
    struct buf ids; // each ends in a line feed
    int64_t count;
};

static void ask_release(void *arg)
{
    co_assert_running();
    struct release *r = arg;
    struct postqueue *pq = r->pq;
    struct str rest = buf_str(&r->ids), id;
    const char *path = service_path(pq, pq->settings.queue_service_name);
    struct ipc_conn *conn = ipc_connect(path, clock_deadline(QMGR_CLIENT_SECONDS), &pq->err);
    pq->result = conn == NULL ? -1 : 0;
    while (pq->result == 0 && str_token(&rest, "\n", &id))
        pq->result = qmgr_client_release(conn, id, &pq->err);
    ipc_conn_free(conn);
    co_loop_stop();
}

static void release_all(struct release *r)
{
    if (postqueue_on_loop(ask_release, r->pq, r) < 0)
        die_down(r->pq, service_path(r->pq, r->pq->settings.queue_service_name));
    buf_release(&r->ids);
}

void postqueue_flush_id(struct postqueue *pq)
{
    struct release r = {.pq = pq, .ids = BUF_INIT};
    if (!queue_id_is_valid(str_from(pq->options.argument)))
        die("Cannot flush queue ID - invalid name: \"%s\"", pq->options.argument);
    buf_add_cstr(&r.ids, pq->options.argument);
    release_all(&r);
}

static int note_id(void *arg, const struct queue_list_message *m)
{
    struct release *r = arg;
    if (!str_is(m->queue, STR(QUEUE_DEFERRED)))
        return 0; // the others are under way, or on hold
    buf_add_str(&r->ids, m->id);
    buf_add_char(&r->ids, '\n');
    r->count++;
    return 0;
}

static int ignore_recipient(void *arg, const struct queue_list_recipient *recipient)
{
    return 0;
}

void postqueue_flush_chosen(struct postqueue *pq)
{
    struct release r = {.pq = pq, .ids = BUF_INIT};
    struct queue_list_sink sink = {&r, note_id, ignore_recipient};
    postqueue_list(pq, &sink);
    if (pq->options.counts)
        printf("%lld\n", (long long)r.count);
    else if (pq->options.is_dry_run)
        printf(STR_FMT, STR_ARG(buf_str(&r.ids)));
    if (fflush(stdout) != 0)
        die("write error: %s", strerror(errno));
    if (!pq->options.is_dry_run && !pq->options.counts && r.count > 0)
        release_all(&r);
}
