// SPDX-License-Identifier: ISC
// saslserver.c: checks clients' credentials with Cyrus SASL for one smtpd process, whose helper it is.
//
// What reads from the network should not be able to read sasldb or ask saslauthd for anybody: so that is done here, as
// mail_owner with all its groups (Debian's "sasl"), in the same chroot. Each attempt has a connection of its own.
// Trust: smtpd is a hostile peer, and passes on what hostile clients say. Suspends: for requests and for jobs.
// Limits: CONVERSATIONS_MAX attempts at a time, THREADS of them inside Cyrus.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sasl/cyrus.h"
#include "lib/sasl/sasl_helper.h"

enum { CONVERSATIONS_MAX = 2000, THREADS = 64, END_SECONDS = 5 };

struct saslserver {
    unsigned security[2]; // plain, encrypted
    unsigned conversations;
    char *host;
    char *service;
    char *realm;             // NULL: none
    bool takes_certificates; // EXTERNAL is in mech_list
};

struct conversation {
    struct service_context *ctx;
    struct ipc_conn *conn;
    struct cyrus_exchange *exchange; // NULL while a job has it
};

// ---- The job: Cyrus may wait for saslauthd or a database.

struct job {
    struct cyrus_exchange *exchange;
    char *mechanism; // NULL: a further step
    struct buf response;
    bool has_response;
    struct sasl_answer answer;
};

static void job_run(void *data)
{
    struct job *job = data;
    struct str response = job->has_response ? buf_str(&job->response) : STR_NULL;
    cyrus_server_step(job->exchange, job->mechanism, response, &job->answer);
}

static void job_free(struct job *job)
{
    mem_free(job->mechanism);
    buf_wipe(&job->response);
    sasl_answer_clear(&job->answer);
    mem_free(job);
}

static void job_release(void *data) // nobody waits for it any more
{
    struct job *job = data;
    cyrus_exchange_free(job->exchange);
    job_free(job);
}

// ---- Requests

static bool is_encrypted(const struct ipc_view *request)
{
    return ipc_int_or(request, "encrypted", 0) == 1;
}

static char *endpoint(const struct ipc_view *request, const char *address, const char *port)
{
    struct buf b = BUF_INIT;
    struct str a = ipc_str_or(request, address, STR("")), p = ipc_str_or(request, port, STR(""));
    char *text = NULL;

    if (a.len > 0 && p.len > 0 && str_is_printable(a) && str_is_printable(p)) {
        buf_addf(&b, STR_FMT ";" STR_FMT, STR_ARG(a), STR_ARG(p));
        text = mem_dup_str(buf_str(&b));
    }
    buf_release(&b);
    return text;
}

// Who the client is by its certificate. NULL: nobody, or the administrator did not ask for that: whoever signs
// certificates for a name would log in as it.
static char *external(const struct saslserver *d, const struct ipc_view *request)
{
    struct str name = ipc_str_or(request, "external", STR(""));

    return d->takes_certificates && name.len > 0 && str_is_printable(name) ? mem_dup_str(name) : NULL;
}

static struct cyrus_exchange *new_exchange(struct saslserver *d, const struct ipc_view *request, struct err *err)
{
    char *local = endpoint(request, "server_address", "server_port"),
         *remote = endpoint(request, "client_address", "client_port");
    char *name = external(d, request);
    const struct cyrus_identity who = {d->service, d->host, d->realm, local, remote, name};
    struct cyrus_exchange *x = cyrus_server_new(&who, d->security[is_encrypted(request)], err);

    mem_free(local);
    mem_free(remote);
    mem_free(name);
    return x;
}

static void add_answer(struct ipc_msg *m, uint32_t id, const struct sasl_answer *a)
{
    ipc_begin(m, id, SASL_VERB_ANSWER);
    ipc_add_int(m, "outcome", a->outcome);
    ipc_add_str(m, "challenge", buf_str(&a->challenge));
    ipc_add_str(m, "username", buf_str(&a->username));
    ipc_add_str(m, "reason", buf_str(&a->reason));
    ipc_add_str(m, "log", buf_str(&a->log));
    (void)ipc_end(m);
}

static void add_failure(struct ipc_msg *m, uint32_t id, const char *reason)
{
    ipc_begin(m, id, SASL_VERB_FAILED);
    ipc_add_str(m, "reason", str_from(reason));
    (void)ipc_end(m);
}

static void answer_mechanisms(struct conversation *c, const struct ipc_view *request, struct ipc_msg *m)
{
    struct err err = ERR_INIT;
    struct buf list = BUF_INIT;
    struct cyrus_exchange *x = new_exchange(c->ctx->state, request, &err);

    if (x != NULL && cyrus_server_mechanisms(x, &list, &err) == 0) {
        ipc_begin(m, request->id, SASL_VERB_ANSWER);
        ipc_add_str(m, "mechanisms", buf_str(&list));
        (void)ipc_end(m);
    } else {
        add_failure(m, request->id, err.text);
    }
    cyrus_exchange_free(x);
    buf_release(&list);
}

// False: the conversation cannot go on.
static bool answer_step(struct conversation *c, const struct ipc_view *request, struct ipc_msg *m) CO
{
    struct err err = ERR_INIT;
    struct str mechanism = ipc_str_or(request, "mechanism", STR_NULL),
               response = ipc_str_or(request, "response", STR_NULL);
    int64_t deadline = clock_deadline(c->ctx->settings->smtpd_sasl_answer_timeout);

    if (mechanism.ptr != NULL) {
        cyrus_exchange_free(c->exchange);
        c->exchange = new_exchange(c->ctx->state, request, &err);
    }
    if (c->exchange == NULL) {
        add_failure(m, request->id, err.kind != ERR_NONE ? err.text : "no mechanism was chosen");
        return true;
    }
    struct job *job = MEM_NEW(struct job);
    job->exchange = c->exchange;
    job->mechanism = mechanism.ptr != NULL ? mem_dup_str(mechanism) : NULL;
    job->has_response = response.ptr != NULL;
    buf_add_str(&job->response, response);
    job->answer = SASL_ANSWER_INIT;
    c->exchange = NULL;
    if (co_job(job_run, job, job_release, deadline) < 0)
        return false;
    c->exchange = job->exchange;
    add_answer(m, request->id, &job->answer);
    job_free(job);
    return true;
}

static bool answer(struct conversation *c, const struct ipc_view *request, struct ipc_msg *m) CO
{
    if (str_is(request->verb, STR(SASL_VERB_STEP)))
        return answer_step(c, request, m);
    if (str_is(request->verb, STR(SASL_VERB_MECHANISMS)))
        answer_mechanisms(c, request, m);
    else
        add_failure(m, request->id, "unknown request");
    return true;
}

static void converse(void *arg)
{
    co_assert_running();
    struct conversation *c = arg;
    struct saslserver *d = c->ctx->state;
    struct ipc_msg reply = IPC_MSG_INIT;
    struct ipc_view request;
    struct err err = ERR_INIT;
    // The client has this long for each of its answers; then smtpd has given up as well.
    int64_t limit = c->ctx->settings->smtpd_timeout;

    while (ipc_recv(c->conn, &request, clock_deadline(limit), &err) > 0) {
        bool goes_on = answer(c, &request, &reply);
        if (!goes_on || ipc_send(c->conn, &reply, clock_deadline(END_SECONDS), &err) < 0)
            break;
    }
    ipc_msg_release(&reply);
    ipc_conn_free(c->conn);
    cyrus_exchange_free(c->exchange);
    d->conversations--;
    service_unhold(c->ctx);
    mem_free(c);
}

// ---- Life

static void begin(struct service_context *ctx, int fd)
{
    struct saslserver *d = ctx->state;
    if (d->conversations >= CONVERSATIONS_MAX) {
        log_warn("too many attempts to authenticate at a time: one more is refused");
        close(fd);
        return;
    }
    struct conversation *c = MEM_NEW(struct conversation);
    c->ctx = ctx;
    c->conn = ipc_conn_new(fd);
    d->conversations++;
    service_hold(ctx);
    co_spawn("conversation", converse, c);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct err err = ERR_INIT;
    struct ipc_view request;
    int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 0); // the skeleton closes its own

    if (fd < 0)
        die("no descriptor for requests");
    struct ipc_conn *control = ipc_conn_new(fd);
    while (ipc_recv(control, &request, CLOCK_NEVER, &err) > 0) // as long as smtpd lives
        if (request.fd >= 0)
            begin(ctx, request.fd);
    ipc_conn_free(control);
    service_retire(ctx);
}

static int init(struct service_context *ctx, struct err *err)
{
    const struct settings *set = ctx->settings;
    struct saslserver *d = MEM_NEW(struct saslserver);
    struct buf path = BUF_INIT;

    ctx->state = d;
    sasl_config_path(set, &path);
    d->host = mem_dup_str(set->myhostname);
    d->service = mem_dup_str(set->smtpd_sasl_service);
    d->realm = set->smtpd_sasl_local_domain.len > 0 ? mem_dup_str(set->smtpd_sasl_local_domain) : NULL;
    co_jobs_set_threads(THREADS);
    int rc = sasl_security_parse(set->smtpd_sasl_security_options, &d->security[0], err);
    if (rc == 0)
        rc = sasl_security_parse(set->smtpd_sasl_tls_security_options, &d->security[1], err);
    if (rc == 0)
        rc = cyrus_server_init(set->smtpd_sasl_path.ptr, buf_str(&path), err);
    d->takes_certificates = cyrus_config_lists(set->smtpd_sasl_path.ptr, buf_str(&path), STR("EXTERNAL"));
    buf_release(&path);
    return rc;
}

static void deinit(struct service_context *ctx)
{
    struct saslserver *d = ctx->state;
    mem_free(d->host);
    mem_free(d->service);
    mem_free(d->realm);
    mem_free(d);
    // Cyrus is left to the end of the process: a job may still be inside it.
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "saslserver",
        .flags = SERVICE_DATAGRAM | SERVICE_SOLITARY | SERVICE_KEEPS_GROUPS,
        .init = init,
        .serve = serve,
        .deinit = deinit,
    };
    return service_main(&service, argc, argv);
}
