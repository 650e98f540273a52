// SPDX-License-Identifier: ISC
// bounce_client.c: one request and one answer to the bounce, defer and trace services, over kept connections.
// Suspends: every call. Limits: IPC_POOL_MAX idle connections for each service.
#include "lib/agent/bounce_client.h"

#include <stdio.h>

#include "lib/ipc/ipc_pool.h"
#include "lib/mail/queue_file.h"

enum { APPEND_SECONDS = 100, FLUSH_SECONDS = 600 };

struct kept {
    const char *which;
    const char *path;
    struct ipc_pool pool;
};
static struct kept services[] = {
    {"bounce", "private/bounce", {{NULL}, 0}},
    {"defer", "private/defer", {{NULL}, 0}},
    {"trace", "private/trace", {{NULL}, 0}},
};

static struct kept *find_service(const char *which)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strcmp(services[i].which, which) == 0)
            return &services[i];
    bug("no such log service: %s", which);
}

// Sends m and checks the answer "ok". Releases m.
static int ask(const char *which, struct ipc_msg *m, int64_t seconds, struct err *err) CO
{
    struct kept *k = find_service(which);
    struct ipc_view answer;
    int64_t deadline = clock_deadline(seconds);
    struct ipc_conn *conn = ipc_pool_take(&k->pool);
    if (conn == NULL)
        conn = ipc_connect(k->path, deadline, err);
    if (conn == NULL || ipc_call(conn, m, &answer, deadline, err) < 0) {
        ipc_conn_free(conn);
        ipc_msg_release(m);
        return -1;
    }
    int rc = 0;
    if (!str_is(answer.verb, STR("ok"))) {
        struct str reason = ipc_str_or(&answer, "reason", STR("refused"));
        rc = err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(reason));
    }
    ipc_pool_give(&k->pool, conn);
    ipc_msg_release(m);
    return rc;
}

static const char *default_action(enum delivery_status status)
{
    return status == DELIVERY_SENT ? "delivered" : status == DELIVERY_DEFERRED ? "delayed" : "failed";
}

int bounce_client_append(const char *which, struct str queue_id, const struct delivery_recipient *rcpt,
                         const struct delivery_report *report, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    bool has_diagnosis = report->diag_text.len > 0;
    ipc_begin(&m, 1, "append");
    ipc_add_str(&m, "which", str_from(which));
    ipc_add_str(&m, "id", queue_id);
    ipc_add_str(&m, "recipient", rcpt->address);
    ipc_add_str(&m, "original", rcpt->original);
    ipc_add_str(&m, "orcpt", rcpt->dsn_orcpt);
    ipc_add_int(&m, "notify", rcpt->notify);
    ipc_add_int(&m, "offset", rcpt->offset);
    ipc_add_str(&m, "status", report->dsn);
    ipc_add_str(&m, "action", str_from(report->action ? report->action : default_action(report->status)));
    ipc_add_str(&m, "diag_type", has_diagnosis ? report->diag_type : STR(""));
    ipc_add_str(&m, "diag_text", str_slice(report->diag_text, 0, DELIVERY_TEXT_MAX));
    ipc_add_str(&m, "mta", report->mta_name);
    ipc_add_str(&m, "reason", str_slice(report->text, 0, DELIVERY_TEXT_MAX));
    if (ipc_end(&m) < 0) {
        ipc_msg_release(&m);
        return err_set(err, ERR_TEMPORARY, "log entry too large");
    }
    return ask(which, &m, APPEND_SECONDS, err);
}

int bounce_client_flush(const struct bounce_flush *f, struct err *err)
{
    static const char *const notices[] = {"failure", "delay", "success", "verify"};
    static const char *const owners[] = {"bounce", "defer", "trace", "trace"};
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 1, "flush");
    ipc_add_str(&m, "notice", str_from(notices[f->notice]));
    ipc_add_str(&m, "queue", f->queue_name);
    ipc_add_str(&m, "id", f->queue_id);
    ipc_add_str(&m, "sender", f->sender);
    ipc_add_str(&m, "envid", f->envelope_id);
    ipc_add_str(&m, "encoding", f->encoding);
    ipc_add_int(&m, "ret", f->ret_flags);
    ipc_add_int(&m, "sendopts", f->sendopts);
    ipc_add_int(&m, "arrival", f->arrival_s);
    if (ipc_end(&m) < 0) {
        ipc_msg_release(&m);
        return err_set(err, ERR_BUG, "notification request too large");
    }
    return ask(owners[f->notice], &m, FLUSH_SECONDS, err);
}

int bounce_client_forget(const char *which, struct str queue_id, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 1, "forget");
    ipc_add_str(&m, "which", str_from(which));
    ipc_add_str(&m, "id", queue_id);
    if (ipc_end(&m) < 0) {
        ipc_msg_release(&m);
        return err_set(err, ERR_BUG, "request too large");
    }
    return ask(which, &m, APPEND_SECONDS, err);
}
