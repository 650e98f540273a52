// SPDX-License-Identifier: ISC
// sasl_server_cyrus.c: asks saslserver, the helper process that holds Cyrus SASL: one connection for each attempt.
//
// The helper is started before the jail with this process's settings; it cannot be started again from inside. When it
// is gone, attempts fail for now and the process retires, for master to start a successor with a helper of its own.
// Trust: the helper is a peer: its answers are bounded. Suspends: for its answers.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sasl/sasl_helper.h"
#include "lib/sasl/sasl_server_impl.h"

struct cyrus_helper {
    struct ipc_conn *control; // new connections travel over it
    struct offer {
        struct buf mechanisms;
        bool is_known;
    } offers[2][2]; // by encryption and client certificate: asked once
};

static void *helper_open(struct sasl_server *server, struct service_context *ctx, struct err *err)
{
    int fd = service_start_helper(ctx, SASL_HELPER_PROGRAM, err);
    if (fd < 0)
        return NULL;
    struct cyrus_helper *h = MEM_NEW(struct cyrus_helper);
    h->control = ipc_conn_new(fd);
    return h;
}

static void helper_close(void *data)
{
    struct cyrus_helper *h = data;
    ipc_conn_free(h->control);
    for (int i = 0; i < 4; i++)
        buf_release(&h->offers[i / 2][i % 2].mechanisms);
    mem_free(h);
}

static int64_t answer_deadline(const struct sasl_server *server)
{
    return clock_deadline(server->settings->smtpd_sasl_answer_timeout);
}

static void note_loss(struct sasl_server *server)
{
    struct cyrus_helper *h = server->data;
    if (server->service->is_retiring || ipc_is_alive(h->control))
        return;
    log_warn("the " SASL_HELPER_PROGRAM " process has ended -- restarting");
    service_retire(server->service);
}

// A connection of its own to the helper. NULL with err.
static struct ipc_conn *connect_helper(struct sasl_server *server, struct err *err) CO
{
    struct cyrus_helper *h = server->data;
    struct ipc_msg open = IPC_MSG_INIT;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        err_errno(err, "socket for " SASL_HELPER_PROGRAM);
        return NULL;
    }
    ipc_begin(&open, 0, SASL_VERB_OPEN);
    (void)ipc_end(&open);
    int rc = ipc_send_fd(h->control, &open, ends[1], answer_deadline(server), err);
    close(ends[1]);
    ipc_msg_release(&open);
    if (rc == 0)
        return ipc_conn_new(ends[0]);
    close(ends[0]);
    note_loss(server);
    return NULL;
}

// What both requests say of the client.
static void add_protection(struct ipc_msg *m, const struct sasl_peer *peer)
{
    ipc_add_int(m, "encrypted", peer->is_encrypted);
    ipc_add_str(m, "external", sasl_peer_external(peer));
}

static int helper_mechanisms(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r,
                             struct err *err)
{
    struct cyrus_helper *h = server->data;
    struct offer *offer = &h->offers[peer->is_encrypted][sasl_peer_external(peer).len > 0];
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_view view;
    int rc = 0;

    co_assert_running();
    if (!offer->is_known) {
        struct ipc_conn *conn = connect_helper(server, err);
        if (conn == NULL)
            return -1;
        ipc_begin(&request, 1, SASL_VERB_MECHANISMS);
        add_protection(&request, peer);
        (void)ipc_end(&request);
        rc = ipc_call(conn, &request, &view, answer_deadline(server), err);
        if (rc == 0 && str_is(view.verb, STR(SASL_VERB_ANSWER))) {
            buf_clear(&offer->mechanisms);
            buf_add_printable(&offer->mechanisms, ipc_str_or(&view, "mechanisms", STR("")), SASL_TOKEN_MAX);
            offer->is_known = true;
        } else if (rc == 0) {
            rc = err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(ipc_str_or(&view, "reason", STR("no mechanisms"))));
        }
        ipc_msg_release(&request);
        ipc_conn_free(conn);
        note_loss(server);
    }
    buf_add_str(list_r, buf_str(&offer->mechanisms));
    return rc;
}

static void compose(const struct sasl_exchange *x, struct str mechanism, struct str response, struct ipc_msg *m)
{
    ipc_begin(m, 1, SASL_VERB_STEP);
    if (mechanism.ptr != NULL) {
        ipc_add_str(m, "mechanism", mechanism);
        add_protection(m, x->peer);
        ipc_add_str(m, "client_address", x->peer->client_address);
        ipc_add_str(m, "client_port", x->peer->client_port);
        ipc_add_str(m, "server_address", x->peer->server_address);
        ipc_add_str(m, "server_port", x->peer->server_port);
    }
    if (response.ptr != NULL)
        ipc_add_str(m, "response", response);
    (void)ipc_end(m);
}

static void take_answer(const struct ipc_view *view, struct sasl_answer *a)
{
    int64_t outcome = ipc_int_or(view, "outcome", SASL_ANSWER_TEMPORARY);
    struct str challenge = ipc_str_or(view, "challenge", STR("")), log = ipc_str_or(view, "log", STR("")), line;

    a->outcome = outcome >= SASL_ANSWER_CONTINUE && outcome < SASL_ANSWER_TEMPORARY ? (enum sasl_outcome)outcome
                                                                                    : SASL_ANSWER_TEMPORARY;
    if (challenge.len <= SASL_TOKEN_MAX && str_is_printable(challenge))
        buf_add_str(&a->challenge, challenge);
    buf_add_printable(&a->username, ipc_str_or(view, "username", STR("")), SASL_USER_MAX);
    buf_add_printable(&a->reason, ipc_str_or(view, "reason", STR("")), SASL_REASON_MAX);
    while (str_token(&log, "\n", &line) && a->log.len < SASL_TOKEN_MAX) {
        buf_add_printable(&a->log, line, 2 * SASL_REASON_MAX);
        buf_add_char(&a->log, '\n');
    }
    if (a->outcome == SASL_ANSWER_ACCEPTED && a->username.len == 0)
        sasl_answer_fail(a, SASL_ANSWER_TEMPORARY, STR("no user name"));
}

static void helper_step(struct sasl_exchange *x, struct str mechanism, struct str response,
                        struct sasl_answer *answer_r)
{
    struct err err = ERR_INIT;
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_view view;

    co_assert_running();
    if (x->data == NULL)
        x->data = connect_helper(x->server, &err);
    if (x->data == NULL) {
        log_warn("%s", err.text);
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY, STR("Connection lost to authentication server"));
        return;
    }
    compose(x, mechanism, response, &request);
    if (ipc_call(x->data, &request, &view, answer_deadline(x->server), &err) == 0)
        take_answer(&view, answer_r);
    else
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY,
                         err.kind == ERR_TIMEOUT ? STR("Authentication server timed out")
                                                 : STR("Connection lost to authentication server"));
    buf_wipe(&request.data);
    ipc_msg_release(&request);
    note_loss(x->server);
}

static void helper_end(struct sasl_exchange *x)
{
    ipc_conn_free(x->data);
}

const struct sasl_server_ops sasl_server_cyrus = {"no mechanism available", helper_open, helper_close,
                                                  helper_mechanisms,        helper_step, helper_end};
