// SPDX-License-Identifier: ISC
// cleanup_session.c: one client connection: message after message, each answered once.
// Trust: the client is another daemon; its frames are checked. Suspends: for the client, tables and the disk.
#include "cleanup/cleanup.h"
#include "lib/base/log.h"
#include "lib/ipc/submit_frames.h"

enum { PIECE_SECONDS = 3600, ANSWER_SECONDS = 100 };

struct session {
    struct cleanup *daemon;
    struct ipc_conn *conn;
    struct ipc_msg reply;
    struct cleanup_message message;
};

static int send_go(struct session *s, uint32_t id, struct err *err) CO
{
    ipc_begin(&s->reply, id, SUBMIT_VERB_GO);
    ipc_add_str(&s->reply, SUBMIT_QUEUE_ID, buf_str(&s->message.id));
    (void)ipc_end(&s->reply);
    return ipc_send(s->conn, &s->reply, clock_deadline(ANSWER_SECONDS), err);
}

static int send_result(struct session *s, uint32_t id, struct err *err) CO
{
    const struct submit_result *r = &s->message.result;
    ipc_begin(&s->reply, id, SUBMIT_VERB_RESULT);
    ipc_add_int(&s->reply, SUBMIT_CODE, r->code);
    ipc_add_str(&s->reply, SUBMIT_STATUS, str_from(r->status));
    ipc_add_str(&s->reply, SUBMIT_REASON, str_from(r->reason));
    ipc_add_str(&s->reply, SUBMIT_QUEUE_ID, str_from(r->queue_id));
    (void)ipc_end(&s->reply);
    return ipc_send(s->conn, &s->reply, clock_deadline(ANSWER_SECONDS), err);
}

// The content of a frame, if it has any. True: this was the last frame.
static bool take_content(struct cleanup_message *m, const struct ipc_view *v) CO
{
    struct str text;
    bool is_last = ipc_int_or(v, SUBMIT_LAST, 0) == 1;
    bool has_text = ipc_get_str(v, SUBMIT_TEXT, &text);
    if ((has_text || is_last) && !m->has_content)
        cleanup_begin_content(m);
    if (has_text && cleanup_is_good(m))
        cleanup_take_text(m, text);
    if (is_last && cleanup_is_good(m))
        cleanup_take_orders(m, v);
    return is_last;
}

// The rest of a large message. 1 complete, 0 the client went away, -1 failed.
static int take_rest(struct session *s, uint32_t id, struct err *err) CO
{
    struct ipc_view view;
    if (!cleanup_is_good(&s->message))
        return 1; // refused at once
    if (send_go(s, id, err) < 0)
        return -1;
    for (bool is_last = false; !is_last;) {
        int rc = ipc_recv(s->conn, &view, clock_deadline(PIECE_SECONDS), err);
        if (rc <= 0)
            return rc;
        if (!str_is(view.verb, STR(SUBMIT_VERB_MORE)))
            return err_set(err, ERR_PROTOCOL, "unexpected request in the middle of a message");
        if (cleanup_is_good(&s->message))
            cleanup_take_more(&s->message, &view);
        is_last = take_content(&s->message, &view);
    }
    return 1;
}

// 1 answered, 0 aborted by the client, -1 failed.
static int serve_message(struct session *s, const struct ipc_view *view, struct err *err) CO
{
    struct cleanup_message *m = &s->message;
    uint32_t id = view->id;
    if (!str_is(view->verb, STR(SUBMIT_VERB_MESSAGE)))
        return err_set(err, ERR_PROTOCOL, "unexpected request");
    cleanup_take_envelope(m, view);
    bool is_whole = take_content(m, view);
    int rc = is_whole ? 1 : take_rest(s, id, err);
    if (rc <= 0)
        return rc;
    cleanup_end_content(m);
    cleanup_commit(m);
    if (m->result.code == 0)
        cleanup_refuse(m, 451, "4.3.0", "Error: queue file write error");
    rc = send_result(s, id, err);
    cleanup_announce(m);
    return rc < 0 ? -1 : 1;
}

static void log_abort(struct session *s, int rc, const struct err *err)
{
    const struct cleanup_message *m = &s->message;
    if (m->fd >= 0 && m->result.code == 0 && m->has_content)
        log_info(STR_FMT ": removed (canceled)", STR_ARG(buf_str(&m->id)));
    if (rc < 0 && err->kind != ERR_CANCELLED)
        log_warn("problem talking to a client: %s", err->text);
}

void cleanup_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct session *s = MEM_NEW(struct session);
    struct err err = ERR_INIT;
    struct ipc_view view;
    int rc = 1;
    s->daemon = ctx->state;
    s->conn = ipc_conn_new(client->fd);
    cleanup_message_init(&s->message, s->daemon);
    while (rc > 0) {
        err = ERR_INIT;
        rc = service_next(ctx, s->conn, &view, clock_deadline(ctx->settings->ipc_idle), &err);
        if (rc <= 0)
            break; // closed, or idle for too long
        rc = serve_message(s, &view, &err);
        if (rc <= 0)
            log_abort(s, rc, &err);
        cleanup_message_clear(&s->message);
    }
    cleanup_message_release(&s->message);
    ipc_msg_release(&s->reply);
    ipc_conn_free(s->conn);
    mem_free(s);
}
