// SPDX-License-Identifier: ISC
// verify_client.c: one request and one answer to the verify service, over kept connections.
//
// Suspends: every call. Limits: IPC_POOL_MAX idle connections.
#include "lib/ipc/verify_client.h"

#include "lib/base/log.h"
#include "lib/ipc/ipc_pool.h"

#define CALL_SECONDS 60
#define POLL_MS      50 // the first pause; each is twice the one before, up to address_verify_poll_delay

static struct ipc_pool pool; // of the process: as the service is

static struct ipc_conn *connect_service(const struct settings *settings, int64_t deadline, struct err *err) CO
{
    struct buf path = BUF_INIT;
    struct ipc_conn *conn;

    buf_addf(&path, "private/" STR_FMT, STR_ARG(settings->address_verify_service_name));
    conn = ipc_connect(buf_cstr(&path), deadline, err);
    buf_release(&path);
    return conn;
}

// A question or a report, and where the answer to a question goes.
struct exchange {
    struct str address;
    const struct verify_answer *found; // a report; NULL: a question
    struct arena *arena;
    struct verify_answer *answer;
};

static void compose(const struct exchange *x, struct ipc_msg *m)
{
    ipc_begin(m, 1, x->found != NULL ? "update" : "query");
    ipc_add_str(m, "address", x->address);
    if (x->found != NULL) {
        ipc_add_int(m, "status", x->found->status);
        ipc_add_str(m, "text", str_slice(x->found->text, 0, VERIFY_TEXT_MAX));
    }
    (void)ipc_end(m);
}

static int take_answer(const struct ipc_view *v, const struct exchange *x, struct err *err)
{
    struct buf clean = BUF_INIT;
    int64_t status = ipc_int_or(v, "status", -1);
    struct str text = ipc_str_or(v, "text", STR(""));

    if (x->found != NULL && str_is(v->verb, STR("ok")))
        return 0;
    if (str_is(v->verb, STR("failed")))
        return err_set(err, ERR_TEMPORARY, STR_FMT,
                       STR_ARG(ipc_str_or(v, "reason", STR("the service gives no reason"))));
    if (x->found != NULL || !str_is(v->verb, STR("answer")) || status < VERIFY_OK || status > VERIFY_PENDING ||
        text.len > VERIFY_TEXT_MAX)
        return err_set(err, ERR_PROTOCOL, "malformed answer");
    buf_add_printable(&clean, text, 0);
    *x->answer = (struct verify_answer){(enum verify_status)status, arena_str(x->arena, buf_str(&clean))};
    buf_release(&clean);
    return 0;
}

// A kept connection may have died: then it is asked again on another.
static int converse(const struct settings *settings, const struct exchange *x, struct err *err) CO
{
    int64_t deadline = clock_deadline(CALL_SECONDS);
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view view;
    int rc = -1;

    for (bool was_kept = true, works = false; was_kept && !works;) {
        struct ipc_conn *conn = ipc_pool_take(&pool);
        was_kept = conn != NULL;
        if (conn == NULL)
            conn = connect_service(settings, deadline, err);
        if (conn == NULL)
            break;
        compose(x, &m);
        works = ipc_call(conn, &m, &view, deadline, err) == 0;
        if (works) {
            rc = take_answer(&view, x, err);
            ipc_pool_give(&pool, conn);
        } else {
            ipc_conn_free(conn);
        }
        if (!works && err->kind == ERR_CANCELLED)
            break;
    }
    ipc_msg_release(&m);
    if (rc < 0 && err->kind != ERR_CANCELLED)
        log_warn("problem talking to service " STR_FMT ": %s", STR_ARG(settings->address_verify_service_name),
                 err->text);
    return rc;
}

int verify_client_ask(const struct settings *settings, struct str address, struct arena *arena,
                      struct verify_answer *answer_r, struct err *err)
{
    const struct exchange x = {.address = address, .arena = arena, .answer = answer_r};

    int64_t pause = POLL_MS, delay = settings->address_verify_poll_delay * 1000;
    int64_t end = clock_ms() + (settings->address_verify_poll_count - 1) * delay;

    for (;;) {
        if (converse(settings, &x, err) < 0)
            return -1;
        if (answer_r->status != VERIFY_PENDING || clock_ms() >= end)
            return 0;
        co_sleep_until(clock_ms() + pause < end ? clock_ms() + pause : end);
        if (co_is_cancelled())
            return err_set(err, ERR_CANCELLED, "this process ends");
        pause = pause * 2 < delay ? pause * 2 : delay;
    }
}

int verify_client_update(const struct settings *settings, struct str address, const struct verify_answer *found,
                         struct err *err)
{
    const struct exchange x = {.address = address, .found = found};
    return converse(settings, &x, err);
}
