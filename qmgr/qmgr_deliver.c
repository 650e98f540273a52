// SPDX-License-Identifier: ISC
// qmgr_deliver.c: conversations with delivery agents: requests go out together, answers come as they are ready.
//
// Two coroutines for each agent: the reader owns the connection and takes answers; the writer sends what has been
// gathered since it was woken, in one write. When the connection ends, the marks in the queue files say what was done.
// Trust: the agent's answers are checked; a wrong id or status ends the connection.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/agent/verp.h"
#include "lib/base/log.h"
#include "qmgr/qmgr.h"

enum { SENDOPT_UTF8_RECIPIENT = 8 };
enum { CONNECT_SECONDS = 10, CAPACITY_MAX = 10000, ATTEMPTS_MAX = 3 };

static void agent_unref(struct qmgr_agent *a)
{
    if (--a->references > 0)
        return;
    ipc_conn_free(a->conn);
    ipc_msg_release(&a->out);
    mem_free(a->slots);
    mem_free(a);
}

// ---- Requests

static unsigned request_flags(const struct qmgr_entry *e)
{
    const struct qmgr_message *m = e->message;
    unsigned flags = qmgr_message_is_expired(m) ? DELIVERY_BOUNCE_ALL : 0;
    if (m->trace_flags & 256)
        flags |= DELIVERY_PROBE_MTA;
    if (m->trace_flags & 512)
        flags |= DELIVERY_PROBE_USER;
    if (m->trace_flags & 1024)
        flags |= DELIVERY_RECORD;
    if (e->destination->busy > 1 || qmgr_destination_has_waiting(e->destination))
        flags |= DELIVERY_CACHE_CONNECTION;
    if (qmgr_message_was_warned_about(m))
        flags |= DELIVERY_AFTER_WARNING;
    return flags;
}

// The message was announced as internationalised: does this request need that for its recipients?
static int request_sendopts(const struct qmgr_entry *e)
{
    int options = e->message->request.sendopts;
    for (size_t i = 0; options != 0 && i < e->count; i++)
        if (!str_is_ascii(e->recipients[i].address))
            return options | SENDOPT_UTF8_RECIPIENT;
    return options;
}

static unsigned free_slot(struct qmgr_agent *a)
{
    unsigned slot = a->next_slot;
    while (a->slots[slot] != NULL)
        slot = (slot + 1) % a->capacity;
    a->next_slot = (slot + 1) % a->capacity;
    return slot;
}

void qmgr_agent_give(struct qmgr_agent *a, struct qmgr_entry *e)
{
    const struct qmgr_message *m = e->message;
    struct delivery_request request = m->request;
    struct buf sender = BUF_INIT;
    unsigned slot = free_slot(a);
    a->slots[slot] = e;
    a->busy++;
    a->transport->qmgr->outstanding++;
    if (m->verp.len) {
        verp_add_sender(&sender, m->verp, m->request.sender, e->recipients[0].original);
        request.sender = buf_str(&sender);
    }
    request.nexthop = e->destination->nexthop;
    request.flags = request_flags(e);
    request.sendopts = request_sendopts(e);
    request.request_us = clock_wall_us();
    request.recipients = e->recipients;
    request.recipient_count = e->count;
    delivery_request_add(&a->out, slot, &request);
    buf_release(&sender);
    co_event_signal(&a->out_filled);
}

static void let_go(struct qmgr_agent *a)
{
    list_remove(&a->link); // not chosen again
    a->is_leaving = true;
    co_event_signal(&a->out_filled);
}

// What the agent has may be under way still, so it is not given to others before the connection ends.
static void send_failed(struct qmgr_agent *a, const struct err *err)
{
    if (a->is_closed || co_has_finished(a->reader))
        return;
    if (err->errnum == EPIPE)
        let_go(a); // it reads no more
    else
        co_cancel(a->reader);
}

static void writer_main(void *arg)
{
    co_assert_running();
    struct qmgr_agent *a = arg;
    struct err err = ERR_INIT;
    struct ipc_msg batch = IPC_MSG_INIT;
    while (!a->is_closed) {
        if (a->out.data.len == 0 && a->is_leaving) {
            shutdown(ipc_conn_fd(a->conn), SHUT_WR);
            break;
        }
        if (a->out.data.len == 0) {
            // Woken by the next request or by the end of the connection.
            if (co_event_wait(&a->out_filled, CLOCK_NEVER) < 0)
                break;
            continue;
        }
        struct ipc_msg sending = a->out; // requests made meanwhile gather in the other one
        a->out = batch;
        batch = sending;
        if (ipc_send(a->conn, &batch, clock_deadline(a->transport->qmgr->settings->qmgr_ipc_timeout), &err) < 0) {
            send_failed(a, &err);
            break;
        }
    }
    ipc_msg_release(&batch);
    co_unref(a->reader);
    agent_unref(a);
}

// ---- Answers

static int take_answer(struct qmgr_agent *a, const struct ipc_view *view, struct err *err)
{
    struct delivery_done done;
    if (str_is(view->verb, STR("bye"))) {
        let_go(a);
        return 0;
    }
    if (delivery_done_read(view, &done, err) < 0)
        return -1;
    if (view->id >= a->capacity || a->slots[view->id] == NULL)
        return err_set(err, ERR_PROTOCOL, "answer to no request");
    struct qmgr_entry *e = a->slots[view->id];
    struct qmgr_destination *d = e->destination;
    a->slots[view->id] = NULL;
    a->transport->qmgr->outstanding--;
    if (--a->busy == 0)
        a->idle_since = clock_ms();
    d->references++;
    qmgr_destination_delivered(d);
    if (done.dead_dsn.len > 0)
        qmgr_destination_failed(d, done.dead_dsn, done.dead_reason);
    else
        qmgr_destination_succeeded(d);
    qmgr_entry_settled(e, done.statuses);
    qmgr_destination_unref(d);
    return 0;
}

static void read_answers(struct qmgr_agent *a, struct err *err) CO
{
    struct ipc_view view;
    int64_t longest = a->transport->qmgr->settings->daemon_timeout;
    do {
        if (ipc_recv(a->conn, &view, clock_deadline(longest), err) != 1)
            return;
        do {
            if (take_answer(a, &view, err) < 0)
                return;
        } while (ipc_has_input(a->conn) && ipc_recv(a->conn, &view, clock_deadline(longest), err) == 1);
        qmgr_transport_run(a->transport);
    } while (!co_is_cancelled());
}

static void give_up_requests(struct qmgr_agent *a)
{
    for (unsigned i = 0; i < a->capacity; i++) {
        struct qmgr_entry *e = a->slots[i];
        if (e == NULL)
            continue;
        a->slots[i] = NULL;
        a->transport->qmgr->outstanding--;
        qmgr_destination_delivered(e->destination);
        qmgr_destination_update(e->destination);
        qmgr_entry_lost(e);
    }
    a->busy = 0;
}

static void converse(struct qmgr_agent *a) CO
{
    struct qmgr_transport *t = a->transport;
    struct err err = ERR_INIT;
    a->references++;
    co_ref(a->reader);
    co_spawn("agent-writer", writer_main, a);
    list_append(&t->agents, &a->link);
    a->idle_since = clock_ms();
    t->failures = 0;
    t->dead_until = 0;
    t->is_given_up = false;
    qmgr_transport_run(t);
    read_answers(a, &err);
    a->is_closed = true;
    list_remove(&a->link);
    if (a->busy > 0 && !qmgr_is_ending(t->qmgr))
        log_warn("private/" STR_FMT ": an agent went away with %u deliveries: %s", STR_ARG(t->name), a->busy,
                 err.kind ? err.text : "connection closed");
    give_up_requests(a);
    co_event_signal(&a->out_filled);
    qmgr_transport_run(t);
}

// ---- Meeting an agent

static int read_hello(struct qmgr_agent *a, struct err *err) CO
{
    struct ipc_view view;
    int64_t capacity;
    int rc = ipc_recv(a->conn, &view, clock_deadline(a->transport->qmgr->settings->qmgr_ipc_timeout), err);
    if (rc == 0)
        return err_set(err, ERR_TEMPORARY, "connection closed before the greeting");
    if (rc < 0)
        return -1;
    if (!str_is(view.verb, STR("hello")) || !ipc_get_int(&view, "capacity", &capacity) || capacity < 1 ||
        capacity > CAPACITY_MAX)
        return err_set(err, ERR_PROTOCOL, "malformed greeting");
    a->capacity = (unsigned)capacity;
    a->slots = mem_alloc(sizeof *a->slots * a->capacity);
    return 0;
}

static void agent_main(void *arg)
{
    co_assert_running();
    struct qmgr_transport *t = arg;
    struct err err = ERR_INIT;
    struct buf path = BUF_INIT;
    struct qmgr_agent *a = MEM_NEW(struct qmgr_agent);
    *a = (struct qmgr_agent){.transport = t, .reader = co_self(), .references = 1, .out = IPC_MSG_INIT};
    list_init(&a->link);
    co_event_init(&a->out_filled);
    buf_addf(&path, "private/" STR_FMT, STR_ARG(t->name));
    a->conn = ipc_connect(buf_cstr(&path), clock_deadline(CONNECT_SECONDS), &err);
    bool is_met = a->conn != NULL && read_hello(a, &err) == 0;
    // Nobody listens there, or master does not start the program: no use to ask again at once.
    bool is_hopeless = a->conn == NULL || err.kind == ERR_TIMEOUT;
    t->is_connecting = false;
    if (is_met)
        converse(a);
    else if (!qmgr_is_ending(t->qmgr) &&
             list_is_empty(&t->agents)) // while others work, this one may wait for a process
        qmgr_transport_failed(t, err.errnum ? strerror(err.errnum) : err.text, is_hopeless);
    buf_release(&path);
    agent_unref(a);
}

void qmgr_agent_connect(struct qmgr_transport *t)
{
    t->is_connecting = true;
    co_event_signal(&t->qmgr->stirred);
    co_spawn("agent", agent_main, t);
}

// ---- What becomes of entries

void qmgr_entry_close(struct qmgr_entry *e)
{
    struct qmgr_message *m = e->message;
    m->recipients -= e->count;
    m->qmgr->recipients -= e->count;
    m->batches[e->batch].open--;
    qmgr_destination_left(e);
    qmgr_message_release(m);
}

void qmgr_entry_settled(struct qmgr_entry *e, struct str statuses)
{
    struct qmgr_message *m = e->message;
    for (size_t i = 0; i < e->count; i++) {
        char status = i < statuses.len ? statuses.ptr[i] : 'd';
        m->deferred += status == 'd';
        m->has_bounced |= status == 'b' || status == 'e';
        m->has_expired |= status == 'e';
        m->has_trace |= status == 's' && (e->recipients[i].notify & 2 || qmgr_message_was_warned_about(m));
    }
    m->has_trace |= (m->trace_flags & (512 | 1024)) != 0;
    qmgr_entry_close(e);
}

// Nobody is there to record the reason: the log says it, the message is deferred.
static void defer_unrecorded(struct qmgr_entry *e, struct str text)
{
    struct qmgr_message *m = e->message;
    struct buf line = BUF_INIT;
    struct delivery d = {.settings = m->qmgr->settings, .request = m->request};
    struct str rest = text, dsn;
    if (!str_cut(&rest, ' ', &dsn))
        rest = text;
    struct delivery_report report = {.status = DELIVERY_DEFERRED, .dsn = dsn, .text = rest};
    d.request.recipients = e->recipients;
    d.request.recipient_count = e->count;
    d.request.request_us = clock_wall_us();
    for (size_t i = 0; i < e->count; i++) {
        buf_clear(&line);
        delivery_add_status_line(&line, &d, i, &report);
        log_info(STR_FMT ": %s", STR_ARG(m->request.queue_id), buf_cstr(&line));
    }
    buf_release(&line);
    qmgr_entry_settled(e, STR(""));
}

void qmgr_job_to_retry(struct qmgr_job *job, struct str text)
{
    struct list *first = list_first(&job->entries);
    struct qmgr_entry *e = container_of(first, struct qmgr_entry, link);
    struct qmgr_message *m = e->message;
    struct qmgr_transport *retry = qmgr_transport_find(m->qmgr, STR("retry"));
    bool is_hopeless = qmgr_transport_is_reporter(e->destination->transport) || retry->is_given_up;
    struct qmgr_destination *d = is_hopeless ? NULL : qmgr_destination_find(retry, text, STR(""));
    struct qmgr_job *next = qmgr_job_new(m, e->batch);
    m->open++; // it stays while its entries move
    for (bool is_last = false; !is_last;) {
        is_last = job->left == 1; // the job may be gone with its last entry
        e = container_of(list_first(&job->entries), struct qmgr_entry, link);
        qmgr_job_drop(e);
        if (is_hopeless) {
            defer_unrecorded(e, text);
            continue;
        }
        qmgr_destination_left(e);
        e->destination = d;
        e->attempts = 0;
        d->references++;
        qmgr_job_add(next, e);
    }
    if (!is_hopeless) {
        qmgr_destination_queue(d, next);
        qmgr_destination_unref(d);
        qmgr_transport_run(retry);
    }
    qmgr_message_release(m);
}

static bool is_marked_done(int fd, int64_t offset)
{
    char mark = 0;
    return pread(fd, &mark, 1, offset) == 1 && mark == REC_DONE;
}

// Takes recipients off that the lost agent had finished with.
static void drop_done(struct qmgr_entry *e)
{
    struct qmgr_message *m = e->message;
    struct err err = ERR_INIT;
    int fd = queue_file_open(AT_FDCWD, &m->qmgr->layout, QUEUE_ACTIVE, m->request.queue_id, O_RDONLY, &err);
    if (fd < 0)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (!is_marked_done(fd, e->recipients[i].offset))
            e->recipients[kept++] = e->recipients[i];
        else // delivered or bounced: the services know which
            m->has_bounced = m->has_trace = true;
    }
    close(fd);
    size_t gone = e->count - kept;
    m->recipients -= gone;
    m->qmgr->recipients -= gone;
    e->destination->recipients -= gone;
    e->destination->transport->recipients -= gone;
    e->count = kept;
}

void qmgr_entry_lost(struct qmgr_entry *e)
{
    struct qmgr_destination *d = e->destination;
    drop_done(e);
    if (e->count == 0) {
        qmgr_entry_settled(e, STR(""));
        return;
    }
    qmgr_job_take_back(e->job, e, &d->jobs[e->message->is_retried ? QMGR_RETRIED : QMGR_FRESH]);
    if (d->dead_until)
        qmgr_job_to_retry(e->job, buf_str(&d->dead_text));
    else if (++e->attempts >= ATTEMPTS_MAX)
        qmgr_job_to_retry(e->job, STR("4.3.0 unknown mail transport error"));
    else
        qmgr_destination_update(d);
}
