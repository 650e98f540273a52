// SPDX-License-Identifier: ISC
// policy_client.c: one question to a policy server: tries, time limits, the default action.
//
// Suspends: policy_ask, as long as try_limit times timeout and retry_delay at most.
#include "lib/access/policy_client.h"

#include "lib/access/policy_impl.h"
#include "lib/base/log.h"

// *is_dead_r: the server had closed the connection before it was asked, as servers may.
static int read_reply(struct stream *stream, struct buf *action_r, bool *is_dead_r, struct err *err) CO
{
    struct policy_reply reply = {.action = action_r};
    int rc = 0;

    *is_dead_r = false;

    while (rc == 0) {
        struct raw line;
        enum line_end end;
        int got = stream_read_line(stream, POLICY_LINE_MAX, &line, &end, err);
        *is_dead_r = reply.lines == 0 && (got == 0 || (got < 0 && err->kind == ERR_PROTOCOL));
        if (got < 0)
            return -1;
        if (got == 0 || end == LINE_EOF)
            return err_set(err, ERR_PROTOCOL, "the server closed the connection");
        if (end == LINE_CUT)
            return err_set(err, ERR_PROTOCOL, "a line of the reply is longer than %d bytes", POLICY_LINE_MAX);
        rc = policy_reply_add_line(&reply, line, err);
    }
    return rc < 0 ? -1 : 0;
}

struct attempt {
    const struct policy_question *question;
    int64_t deadline;
    struct buf *action;
    bool is_dead;
    struct policy_waiter waiter;
};

// Asks on c, which is given back. 0, -1.
static int ask_on(struct policy_server *s, struct policy_connection *c, struct attempt *a, struct err *err) CO
{
    int rc;

    buf_clear(a->action);
    stream_set_deadline(c->stream, a->deadline);
    policy_request_add(stream_output(c->stream), s, a->question);
    rc = stream_flush(c->stream, err);
    a->is_dead = rc < 0 && err->kind == ERR_PROTOCOL;
    if (rc == 0)
        rc = read_reply(c->stream, a->action, &a->is_dead, err);
    list_remove(&a->waiter.link);
    policy_connection_give_back(s, c, rc == 0);
    return rc;
}

// One try. Kept connections that are dead do not count.
static int try_once(struct policy_server *s, struct attempt *a, struct err *err) CO
{
    struct policy_connection *c;

    a->deadline = clock_deadline(s->timeout);
    while ((c = policy_connection_take(s)) != NULL) {
        int rc = ask_on(s, c, a, err);
        if (rc == 0 || !a->is_dead)
            return rc;
    }
    policy_waiter_begin(s, &a->waiter);
    c = policy_connection_open(s, a->deadline, err);
    if (c != NULL)
        return ask_on(s, c, a, err);
    list_remove(&a->waiter.link);
    return -1;
}

int policy_ask(struct policy_server *s, const struct policy_question *question, struct buf *action_r, struct err *err)
{
    struct attempt a = {.question = question, .action = action_r};

    list_init(&a.waiter.link);
    for (int64_t tries = 1;; tries++) {
        if (try_once(s, &a, err) == 0)
            return 1;
        if (err->kind == ERR_CANCELLED || co_is_cancelled())
            return -1;
        log_warn("problem talking to server %s: %s", s->name, err->text);
        if (tries >= s->try_limit)
            break;
        co_sleep_until(clock_deadline(s->retry_delay));
    }
    buf_clear(action_r);
    buf_add_str(action_r, s->default_action);
    return 0;
}
