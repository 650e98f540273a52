// SPDX-License-Identifier: ISC
// local_transport.c: hands one address of the message to another delivery agent, as mailbox_transport and
// fallback_transport ask.
//
// That agent logs and records the outcome; the queue file is marked here. Suspends: until the other agent has finished.
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "local/local.h"

#define CONNECT_SECONDS 60

static void cannot(struct local_delivery *l, const struct local_address *a, struct str transport, const struct err *err)
{
    log_warn(STR_FMT ": cannot pass " STR_FMT " to transport " STR_FMT ": %s", STR_ARG(l->delivery->request.queue_id),
             STR_ARG(a->address), STR_ARG(transport), err->text);
    local_result_set(l, a->address, DELIVERY_DEFERRED, "4.3.0", STR("mail transport unavailable"));
}

// The agent speaks first.
static int expect_hello(struct ipc_conn *c, struct err *err) CO
{
    struct ipc_view view;

    if (ipc_recv(c, &view, clock_deadline(CONNECT_SECONDS), err) != 1)
        return err->text[0] ? -1 : err_set(err, ERR_TEMPORARY, "the agent closed the connection");
    return str_is(view.verb, STR("hello")) ? 0 : err_set(err, ERR_PROTOCOL, "no greeting from the agent");
}

// 's', 'd' or 'b'; -1.
static int converse(struct local_delivery *l, struct ipc_conn *c, const struct delivery_request *r, struct err *err) CO
{
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_view view;
    struct delivery_done done;
    int rc;

    delivery_request_add(&request, 1, r);
    rc = expect_hello(c, err);
    if (rc == 0)
        rc = ipc_call(c, &request, &view, clock_deadline(l->local->settings->daemon_timeout), err);
    ipc_msg_release(&request);
    if (rc < 0 || delivery_done_read(&view, &done, err) < 0)
        return -1;
    if (done.statuses.len != 1)
        return err_set(err, ERR_PROTOCOL, "the agent answered for %zu recipients", done.statuses.len);
    return done.statuses.ptr[0];
}

static enum delivery_status status_of(int letter)
{
    return letter == 's' ? DELIVERY_SENT : letter == 'b' || letter == 'e' ? DELIVERY_BOUNCED : DELIVERY_DEFERRED;
}

void local_pass_to_transport(struct local_delivery *l, const struct local_address *a, struct str transport_nexthop)
{
    struct str nexthop = str_trim(transport_nexthop), transport;
    struct delivery_recipient rcpt = l->delivery->request.recipients[l->recipient];
    struct delivery_request r = l->delivery->request;
    struct err err = ERR_INIT;
    struct ipc_conn *c;
    int letter = -1;

    str_cut(&nexthop, ':', &transport);
    r.nexthop = nexthop.len > 0 ? nexthop : address_domain(a->address);
    rcpt.address = a->address;
    rcpt.offset = 0; // the mark is ours
    r.recipients = &rcpt;
    r.recipient_count = 1;
    if (str_find(transport, '/') >= 0 || transport.len == 0) {
        err_set(&err, ERR_TEMPORARY, "bad transport name");
        cannot(l, a, transport, &err);
        return;
    }
    c = ipc_connect(arena_strf(l->arena, "private/" STR_FMT, STR_ARG(transport)).ptr, clock_deadline(CONNECT_SECONDS),
                    &err);
    if (c != NULL) {
        letter = converse(l, c, &r, &err);
        ipc_conn_free(c);
    }
    if (letter < 0) {
        cannot(l, a, transport, &err);
        return;
    }
    mailbox_report(local_result_add(l, a->address), status_of(letter), "2.0.0", STR(""));
    container_of(l->results_end, struct local_result, next)->is_passed = true;
}
