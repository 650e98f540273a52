// SPDX-License-Identifier: ISC
// cleanup_arrival.c: tells the queue manager about a message that is safe. A lost notice costs time, never mail.
// Suspends: while the queue manager is slow to read, NOTICE_MS at most.
#include "cleanup/cleanup.h"
#include "lib/base/log.h"

enum { NOTICE_MS = 5000, TRIES = 2, WARN_MS = 60000 };

static struct str attr(const struct cleanup_message *m, const char *name)
{
    for (size_t i = 0; i < m->attr_count; i++)
        if (str_is(m->attrs[i].name, str_from(name)))
            return m->attrs[i].value;
    return STR("");
}

// The client as earlier hops reported it (log_*), else the client itself.
static struct str client_attr(const struct cleanup_message *m, const char *logged, const char *actual)
{
    struct str value = attr(m, logged);
    return value.len > 0 ? value : attr(m, actual);
}

static void fill(const struct cleanup_message *m, struct arrival *a)
{
    bool has_all = m->recipient_count <= ARRIVAL_RECIPIENTS_MAX;
    *a = (struct arrival){
        .warn_time = m->warn_time,
        .warn_offset = m->warn_offset,
        .create_time = m->created_us / 1000000,
        .has_trace = m->has_trace,
        .trace_flags = m->trace_flags,
        .trace_flags_offset = m->trace_offset,
        .filter = m->filter,
        .redirect = m->redirect,
        .verp = m->sender.len > 0 ? m->verp : STR(""),
        .has_all_recipients = has_all,
    };
    a->request = (struct delivery_request){
        .queue_name = str_from(m->queue),
        .queue_id = buf_str(&m->id),
        .nexthop = STR(""),
        .encoding = m->encoding.len > 0 ? m->encoding : attr(m, "encoding"),
        .sender = m->sender,
        .envelope_id = m->envelope_id,
        .data_offset = m->data_offset,
        .message_size = m->content_end - m->data_offset,
        .ret_flags = m->ret_flags,
        .sendopts = m->sendopts,
        .arrival_us = m->arrival_us,
        .client_name = client_attr(m, "log_client_name", "client_name"),
        .client_address = client_attr(m, "log_client_address", "client_address"),
        .client_port = client_attr(m, "log_client_port", "client_port"),
        .protocol_name = client_attr(m, "log_protocol_name", "protocol_name"),
        .helo_name = client_attr(m, "log_helo_name", "helo_name"),
        .sasl_method = attr(m, "sasl_method"),
        .sasl_username = attr(m, "sasl_username"),
        .sasl_sender = attr(m, "sasl_sender"),
        .log_ident = buf_str(&m->id),
        .rewrite_context = m->is_local ? STR("local") : STR("remote"),
        .recipients = m->recipients,
        .recipient_count = has_all ? m->recipient_count : 0,
    };
}

static void notices_leave(struct cleanup_notices *n)
{
    if (--n->users > 0)
        return;
    ipc_conn_free(n->conn);
    mem_free(n);
}

// One connection serves all coroutines; whoever finds it broken takes it out, and the last one that uses it frees it.
static struct cleanup_notices *notices_join(struct cleanup *d, int64_t deadline, struct err *err) CO
{
    if (d->notices == NULL) {
        struct ipc_conn *fresh = ipc_connect(buf_cstr(&d->queue_manager_path), deadline, err);
        if (fresh == NULL)
            return NULL;
        if (d->notices == NULL) {
            d->notices = MEM_NEW(struct cleanup_notices);
            *d->notices = (struct cleanup_notices){.conn = fresh, .users = 1};
        } else { // another coroutine was faster
            ipc_conn_free(fresh);
        }
    }
    d->notices->users++;
    return d->notices;
}

void cleanup_notices_close(struct cleanup *d)
{
    if (d->notices != NULL)
        notices_leave(d->notices);
    d->notices = NULL;
}

static int send_notice(struct cleanup *d, const struct arrival *a, struct err *err) CO
{
    int64_t deadline = clock_ms() + NOTICE_MS;
    struct cleanup_notices *n = notices_join(d, deadline, err);
    if (n == NULL)
        return -1;
    struct ipc_msg m = IPC_MSG_INIT;
    arrival_add(&m, a);
    int rc = ipc_send(n->conn, &m, deadline, err);
    ipc_msg_release(&m);
    if (rc < 0 && d->notices == n)
        cleanup_notices_close(d);
    notices_leave(n);
    return rc;
}

void cleanup_announce(struct cleanup_message *m)
{
    struct arrival a;
    struct err err = ERR_INIT;
    if (m->result.code != 250 || strcmp(m->queue, QUEUE_INCOMING) != 0 || (m->flags & SUBMIT_DISCARD))
        return;
    in_flow_arrived(m->daemon->in_flow);
    fill(m, &a);
    for (int i = 0; i < TRIES; i++)
        if (send_notice(m->daemon, &a, &err) == 0)
            return;
    struct cleanup *d = m->daemon;
    if (ipc_trigger(buf_cstr(&d->queue_manager_path), STR("I"), &err) == 0 || clock_ms() < d->next_warning)
        return;
    d->next_warning = clock_ms() + WARN_MS; // the mail is safe: one line a minute says enough
    log_warn("cannot tell the queue manager about new mail: %s", err.text);
}
