// SPDX-License-Identifier: ISC
// submit.c: giving a message to cleanup over kept connections.
// Suspends: when more than one frame is needed, and for the verdict.
#include "lib/ipc/submit.h"

#include <stdio.h>

#include "lib/ipc/submit_frames.h"

enum { IDLE_MAX = 64 };

struct idle {
    struct list link;
    struct ipc_conn *conn;
};

struct submit_pool {
    char *path;
    struct list idle; // most recently used first
    unsigned idle_count;
};

struct submit {
    struct submit_pool *pool;
    struct ipc_conn *conn; // NULL until the first frame is sent
    struct ipc_msg frame;  // the frame being built; until the first is sent, it is open (no ipc_end yet)
    struct buf text;       // content not yet in a frame
    struct buf more;       // finished frames with what of the envelope is not in the first
    int64_t patience;      // ms each wait may take
    struct submit_orders orders;
    bool has_begun;   // cleanup has taken the first frame
    bool is_logged;   // the submitter has the id, and logs itself
    bool has_verdict; // `result` was given before the end of the message
    struct submit_result result;
};

// ---- The pool

struct submit_pool *submit_pool_new(const char *socket_path)
{
    struct submit_pool *p = MEM_NEW(struct submit_pool);
    p->path = mem_strdup(socket_path);
    list_init(&p->idle);
    return p;
}

static struct ipc_conn *pool_take(struct submit_pool *p)
{
    struct list *first = list_first(&p->idle);
    if (first == NULL)
        return NULL;
    struct idle *i = container_of(first, struct idle, link);
    struct ipc_conn *conn = i->conn;
    list_remove(first);
    p->idle_count--;
    mem_free(i);
    return conn;
}

static void pool_give(struct submit_pool *p, struct ipc_conn *conn)
{
    if (p->idle_count >= IDLE_MAX) {
        ipc_conn_free(conn);
        return;
    }
    struct idle *i = MEM_NEW(struct idle);
    i->conn = conn;
    list_prepend(&p->idle, &i->link);
    p->idle_count++;
}

// One kept connection was dead: its fellows are of the same process or as old.
static void pool_drain(struct submit_pool *p)
{
    for (struct ipc_conn *conn; (conn = pool_take(p)) != NULL;)
        ipc_conn_free(conn);
}

void submit_pool_free(struct submit_pool *p)
{
    if (p == NULL)
        return;
    pool_drain(p);
    mem_free(p->path);
    mem_free(p);
}

// ---- The envelope

static void add_text(struct ipc_msg *m, const char *name, struct str value)
{
    if (value.len > 0)
        ipc_add_str(m, name, value);
}

static void add_number(struct ipc_msg *m, const char *name, int64_t value)
{
    if (value != 0)
        ipc_add_int(m, name, value);
}

static void add_attr(struct ipc_msg *m, const struct submit_attr *attr)
{
    struct buf text = BUF_INIT;
    buf_add_cstr(&text, attr->name);
    buf_add_char(&text, '=');
    buf_add_str(&text, attr->value);
    ipc_add_str(m, SUBMIT_ATTR, buf_str(&text));
    buf_release(&text);
}

static void add_recipient(struct ipc_msg *m, const struct submit_recipient *r)
{
    add_text(m, SUBMIT_RCPT_ORCPT, r->dsn_orcpt);
    add_number(m, SUBMIT_RCPT_NOTIFY, r->notify);
    ipc_add_str(m, SUBMIT_RCPT, r->address);
}

static void add_top_lines(struct ipc_msg *m, const struct submit_envelope *e)
{
    add_text(m, SUBMIT_BEFORE, e->received_before);
    add_text(m, SUBMIT_AFTER, e->received_after);
    for (size_t i = 0; i < e->prepended_count; i++)
        ipc_add_str(m, SUBMIT_PREPEND, e->prepended[i]);
}

static void add_envelope(struct ipc_msg *m, const struct submit_envelope *e)
{
    ipc_begin(m, 1, SUBMIT_VERB_MESSAGE);
    add_number(m, SUBMIT_FLAGS, e->flags);
    add_number(m, SUBMIT_ARRIVAL, e->arrival_us);
    add_text(m, SUBMIT_SENDER, e->sender);
    add_text(m, SUBMIT_FULLNAME, e->fullname);
    add_text(m, SUBMIT_ENVID, e->envelope_id);
    add_text(m, SUBMIT_VERP, e->verp);
    add_text(m, SUBMIT_FILTER_TO, e->filter);
    add_text(m, SUBMIT_REDIRECT, e->redirect);
    add_number(m, SUBMIT_RET, e->ret_flags);
    add_number(m, SUBMIT_TRACE, e->trace_flags);
    add_number(m, SUBMIT_SENDOPTS, e->sendopts);
    add_top_lines(m, e);
    add_text(m, SUBMIT_LOG_TAG, e->log_tag);
    add_text(m, SUBMIT_LOG_TEXT, e->log_text);
    for (size_t i = 0; i < e->attr_count; i++)
        add_attr(m, &e->attrs[i]);
}

// Puts the recipients from `next` on into frames of their own. -1: one does not fit.
static int add_more_recipients(struct submit *s, const struct submit_envelope *e, size_t next, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    int rc = 0;
    while (rc == 0 && next < e->recipient_count) {
        ipc_begin(&m, 1, SUBMIT_VERB_MORE);
        while (next < e->recipient_count && ipc_size(&m) < SUBMIT_FRAME_MAX)
            add_recipient(&m, &e->recipients[next++]);
        rc = ipc_end(&m);
    }
    buf_add_str(&s->more, buf_str(&m.data));
    ipc_msg_release(&m);
    return rc < 0 ? err_set(err, ERR_PERMANENT, "recipient too long") : 0;
}

static void submit_free(struct submit *s)
{
    ipc_conn_free(s->conn);
    ipc_msg_release(&s->frame);
    buf_release(&s->text);
    buf_release(&s->more);
    mem_free(s);
}

struct submit *submit_begin(struct submit_pool *p, const struct submit_envelope *e, int64_t deadline, struct err *err)
{
    struct submit *s = MEM_NEW(struct submit);
    int64_t now = clock_ms();
    s->pool = p;
    s->patience = deadline > now ? deadline - now : 1;
    if (deadline == CLOCK_NEVER)
        s->patience = 3600 * 1000; // every wait ends
    add_envelope(&s->frame, e);
    size_t next = 0;
    while (next < e->recipient_count && ipc_size(&s->frame) < SUBMIT_FRAME_MAX)
        add_recipient(&s->frame, &e->recipients[next++]);
    if (add_more_recipients(s, e, next, err) < 0) {
        submit_free(s);
        return NULL;
    }
    return s;
}

int submit_extend(struct submit *s, const struct submit_envelope *e, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 1, SUBMIT_VERB_MORE);
    add_top_lines(&m, e);
    int rc = ipc_end(&m);
    buf_add_str(&s->more, buf_str(&m.data));
    ipc_msg_release(&m);
    return rc < 0 ? err_set(err, ERR_PERMANENT, "too many header lines") : add_more_recipients(s, e, 0, err);
}

// ---- Sending

static int64_t wait_end(const struct submit *s)
{
    return clock_ms() + s->patience;
}

// Sends the first frame and waits for the answer to it, on a kept connection, or a fresh one when that proves dead:
// cleanup answers every first frame, so a connection that ends without an answer has not stored anything that was
// acknowledged.
static int exchange_first(struct submit *s, struct ipc_view *answer_r, struct err *err) CO
{
    struct buf copy = BUF_INIT;
    int rc = -1;
    s->conn = pool_take(s->pool);
    bool was_kept = s->conn != NULL;
    if (was_kept)
        buf_add_str(&copy, buf_str(&s->frame.data));
    else
        s->conn = ipc_connect(s->pool->path, wait_end(s), err);
    if (s->conn != NULL)
        rc = ipc_call(s->conn, &s->frame, answer_r, wait_end(s), err);
    if (rc < 0 && was_kept && err->kind != ERR_TIMEOUT && err->kind != ERR_CANCELLED) {
        ipc_conn_free(s->conn);
        pool_drain(s->pool);
        buf_clear(&s->frame.data);
        buf_add_str(&s->frame.data, buf_str(&copy));
        s->conn = ipc_connect(s->pool->path, wait_end(s), err);
        if (s->conn != NULL)
            rc = ipc_call(s->conn, &s->frame, answer_r, wait_end(s), err);
    }
    buf_release(&copy);
    return rc;
}

static void copy_text(char *out, size_t size, struct str text)
{
    snprintf(out, size, STR_FMT, STR_ARG(text));
}

static int read_result(const struct ipc_view *v, struct submit_result *r, struct err *err)
{
    int64_t code = ipc_int_or(v, SUBMIT_CODE, 0);
    if (!str_is(v->verb, STR(SUBMIT_VERB_RESULT)) || code < 200 || code > 599)
        return err_set(err, ERR_PROTOCOL, "malformed answer from the cleanup service");
    r->code = (int)code;
    copy_text(r->status, sizeof r->status, ipc_str_or(v, SUBMIT_STATUS, STR("")));
    copy_text(r->reason, sizeof r->reason, ipc_str_or(v, SUBMIT_REASON, STR("")));
    copy_text(r->queue_id, sizeof r->queue_id, ipc_str_or(v, SUBMIT_QUEUE_ID, STR("")));
    return 0;
}

void submit_order(struct submit *s, const struct submit_orders *orders)
{
    s->orders = *orders;
}

static void add_orders(struct submit *s)
{
    add_number(&s->frame, SUBMIT_END_FLAGS, s->orders.flags);
    add_text(&s->frame, SUBMIT_END_FILTER, s->orders.filter);
    add_text(&s->frame, SUBMIT_END_REDIRECT, s->orders.redirect);
    for (size_t i = 0; i < s->orders.bcc_count; i++)
        ipc_add_str(&s->frame, SUBMIT_END_BCC, s->orders.bcc[i]);
}

static void add_content(struct submit *s, struct str text, bool is_last)
{
    add_text(&s->frame, SUBMIT_TEXT, text);
    if (is_last)
        add_orders(s);
    ipc_add_int(&s->frame, SUBMIT_LAST, is_last);
}

static int end_frame(struct submit *s, struct err *err)
{
    if (s->is_logged)
        ipc_add_int(&s->frame, SUBMIT_LOGGED, 1);
    return ipc_end(&s->frame) < 0 ? err_set(err, ERR_BUG, "frame too long") : 0;
}

// The message is too large for one frame, or its id is wanted: sends the envelope, waits for "go".
static int begin_stream(struct submit *s, struct err *err) CO
{
    struct ipc_view answer;
    ipc_add_int(&s->frame, SUBMIT_LAST, 0);
    if (end_frame(s, err) < 0 || exchange_first(s, &answer, err) < 0)
        return -1;
    s->has_begun = true;
    if (!str_is(answer.verb, STR(SUBMIT_VERB_GO))) {
        s->has_verdict = true;
        return read_result(&answer, &s->result, err);
    }
    copy_text(s->result.queue_id, sizeof s->result.queue_id, ipc_str_or(&answer, SUBMIT_QUEUE_ID, STR("")));
    return 0;
}

// Sends what the envelope lacks, and `text` as one "more" frame, after the stream was begun.
static int stream_text(struct submit *s, struct str text, bool is_last, struct err *err) CO
{
    buf_add_str(&s->frame.data, buf_str(&s->more));
    buf_clear(&s->more);
    ipc_begin(&s->frame, 1, SUBMIT_VERB_MORE);
    add_content(s, text, is_last);
    return end_frame(s, err) < 0 ? -1 : ipc_send(s->conn, &s->frame, wait_end(s), err);
}

int submit_open(struct submit *s, struct str *queue_id_r, struct err *err)
{
    s->is_logged = true;
    if (!s->has_begun && begin_stream(s, err) < 0)
        return -1;
    *queue_id_r = str_from(s->result.queue_id);
    return !s->has_verdict && queue_id_r->len > 0;
}

int submit_write(struct submit *s, struct str text, struct err *err)
{
    while (text.len > 0 && !s->has_verdict) {
        size_t room = SUBMIT_TEXT_MAX - s->text.len;
        size_t n = text.len < room ? text.len : room;
        buf_add_str(&s->text, str_slice(text, 0, n));
        text = str_slice(text, n, text.len);
        if (text.len == 0)
            return 0; // a full buffer waits: the message may end here
        if (!s->has_begun && begin_stream(s, err) < 0)
            return -1;
        if (!s->has_verdict && stream_text(s, buf_str(&s->text), false, err) < 0)
            return -1;
        buf_clear(&s->text);
    }
    return 0;
}

static int finish_small(struct submit *s, struct err *err) CO
{
    struct ipc_view answer;
    add_content(s, buf_str(&s->text), true);
    if (end_frame(s, err) < 0 || exchange_first(s, &answer, err) < 0)
        return -1;
    return read_result(&answer, &s->result, err);
}

static int finish_stream(struct submit *s, struct err *err) CO
{
    struct ipc_view answer;
    if (stream_text(s, buf_str(&s->text), true, err) < 0)
        return -1;
    int rc = ipc_recv(s->conn, &answer, wait_end(s), err);
    if (rc == 0)
        return err_set(err, ERR_TEMPORARY, "the cleanup service closed the connection without an answer");
    return rc < 0 ? -1 : read_result(&answer, &s->result, err);
}

int submit_finish(struct submit *s, struct submit_result *result_r, struct err *err)
{
    int rc = 0;
    bool is_small = !s->has_begun && s->more.len == 0;
    if (!is_small && !s->has_begun)
        rc = begin_stream(s, err);
    if (rc == 0 && !s->has_verdict)
        rc = is_small ? finish_small(s, err) : finish_stream(s, err);
    if (rc == 0) {
        *result_r = s->result;
        if (!s->has_verdict) // after an early refusal the connection is in the middle of a message
            pool_give(s->pool, s->conn);
        else
            ipc_conn_free(s->conn);
        s->conn = NULL;
    }
    submit_free(s);
    return rc;
}

void submit_abort(struct submit *s)
{
    submit_free(s); // the end of file tells cleanup
}
