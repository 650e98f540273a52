// SPDX-License-Identifier: ISC
// postqueue_list.c: gets the listing from showq, or from the files when the mail system is down, and shows it.
//
// Trust: runs set-gid; what showq sends is checked by its reader. Progress goes to standard error, to a terminal only.
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "commands/postqueue.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

enum { CONNECT_SECONDS = 10, ANSWER_SECONDS = 3600, PROGRESS_MS = 250, PROGRESS_LOOK = 64 };

// ---- Progress, and the way of each message through the criteria to the last sink

struct progress {
    struct queue_list_sink next;
    int64_t messages, next_ms;
    bool is_shown;
};

struct listing {
    struct postqueue *pq;
    struct progress progress;
    struct queue_filter_pass pass;
    struct queue_list_sink sink; // where it begins
    const char *service;
    bool is_connected; // showq was reached
};

static int count_message(void *arg, const struct queue_list_message *m)
{
    struct progress *p = arg;
    if (++p->messages % PROGRESS_LOOK == 0 && clock_ms() >= p->next_ms) {
        p->next_ms = clock_ms() + PROGRESS_MS;
        p->is_shown = true;
        fprintf(stderr, "\r%lld messages", (long long)p->messages);
    }
    return p->next.message(p->next.arg, m);
}

static int pass_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct progress *p = arg;
    return p->next.recipient(p->next.arg, r);
}

static void progress_end(struct progress *p)
{
    if (p->is_shown)
        fputs("\r\033[K", stderr);
    p->is_shown = false;
}

static void listing_init(struct listing *l, struct postqueue *pq, const struct queue_list_sink *sink)
{
    *l = (struct listing){.pq = pq, .sink = *sink};
    l->service = arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(pq->settings.showq_service_name)).ptr;
    queue_filter_pass_init(&l->pass, &pq->options.filter, *sink);
    if (!queue_filter_is_empty(&pq->options.filter))
        l->sink = queue_filter_pass_sink(&l->pass);
    if (isatty(2) && (!isatty(1) || pq->options.counts || pq->options.top != POSTQUEUE_TOP_NONE)) {
        l->progress = (struct progress){.next = l->sink, .next_ms = clock_ms() + PROGRESS_MS};
        l->sink = (struct queue_list_sink){&l->progress, count_message, pass_recipient};
    }
}

// ---- From showq

static int receive_listing(struct listing *l, struct ipc_conn *conn) CO
{
    struct err *err = &l->pq->err;
    struct ipc_view view;
    int rc = 1;
    while (rc == 1) {
        rc = ipc_recv(conn, &view, clock_deadline(ANSWER_SECONDS), err);
        if (rc == 0)
            return err_set(err, ERR_PROTOCOL, "the listing is incomplete: connection closed");
        if (rc == 1)
            rc = queue_list_read(&view, &l->sink, err);
    }
    return rc;
}

static void ask_showq(void *arg)
{
    co_assert_running();
    struct listing *l = arg;
    struct ipc_conn *conn = ipc_connect(l->service, clock_deadline(CONNECT_SECONDS), &l->pq->err);
    l->is_connected = conn != NULL;
    l->pq->result = conn == NULL ? -1 : receive_listing(l, conn);
    ipc_conn_free(conn);
    co_loop_stop();
}

// ---- From the files

// The owner of the queue may look without a service.
static bool may_read_directly(void)
{
    return getuid() == 0 || access(QUEUE_DEFERRED, R_OK | X_OK) == 0;
}

static int read_directly(struct listing *l)
{
    struct postqueue *pq = l->pq;
    const struct settings *s = &pq->settings;
    struct queue_layout layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    struct sys_user owner;
    log_warn("Mail system is down -- accessing queue directly (Connect to the %s %s service: %s)", s->mail_name.ptr,
             s->showq_service_name.ptr, pq->err.errnum ? strerror(pq->err.errnum) : pq->err.text);
    if (getuid() == 0 && (sys_user_by_name(s->mail_owner, &owner, &pq->err) != 1 || sys_become(&owner, &pq->err) < 0))
        return -1;
    return queue_list_walk(&layout, &l->sink, &pq->err);
}

void postqueue_list(struct postqueue *pq, const struct queue_list_sink *sink)
{
    struct listing *l = MEM_NEW(struct listing);
    listing_init(l, pq, sink);
    int rc = postqueue_on_loop(ask_showq, pq, l);
    if (rc < 0 && !l->is_connected) {
        if (!may_read_directly())
            die("Queue report unavailable - mail system is down");
        rc = read_directly(l);
    }
    progress_end(&l->progress);
    if (rc < 0)
        die("Queue report unavailable: %s", pq->err.text);
    queue_filter_pass_release(&l->pass);
    mem_free(l);
}

// ---- Showing it

static void print_listing(struct postqueue *pq)
{
    struct postqueue_printer printer;
    bool is_json = pq->options.action == 'j';
    postqueue_printer_init(&printer, is_json, pq->settings.enable_long_queue_ids, pq->settings.empty_address_recipient);
    struct queue_list_sink sink = postqueue_printer_sink(&printer);
    postqueue_list(pq, &sink);
    if (postqueue_printer_end(&printer) < 0)
        die("write error: %s", strerror(errno));
    postqueue_printer_release(&printer);
}

static void print_summary(struct postqueue *pq)
{
    struct postqueue_summary summary;
    struct buf out = BUF_INIT;
    postqueue_summary_init(&summary, pq->options.top, pq->settings.empty_address_recipient);
    struct queue_list_sink sink = postqueue_summary_sink(&summary);
    postqueue_list(pq, &sink);
    postqueue_summary_print(&summary, pq->options.limit, pq->options.action == 'j', &out);
    if (postqueue_write(&out) < 0)
        die("write error: %s", strerror(errno));
    postqueue_summary_release(&summary);
    buf_release(&out);
}

static int add_one(void *arg, const struct queue_list_message *m)
{
    ++*(int64_t *)arg;
    return 0;
}

static int ignore_recipient(void *arg, const struct queue_list_recipient *r)
{
    return 0;
}

static void print_count(struct postqueue *pq)
{
    int64_t count = 0;
    struct queue_list_sink sink = {&count, add_one, ignore_recipient};
    postqueue_list(pq, &sink);
    printf("%lld\n", (long long)count);
    if (fflush(stdout) != 0)
        die("write error: %s", strerror(errno));
}

void postqueue_show(struct postqueue *pq)
{
    if (pq->options.counts)
        print_count(pq);
    else if (pq->options.top != POSTQUEUE_TOP_NONE)
        print_summary(pq);
    else
        print_listing(pq);
}
