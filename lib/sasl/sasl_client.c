// SPDX-License-Identifier: ISC
// sasl_client.c: our own logins: each step is a job that owns the exchange while it runs.
// Trust: challenges are hostile. Suspends: for the job.
#include <errno.h>

#include "lib/sasl/cyrus.h"
#include "lib/sasl/sasl_bearer.h"
#include "lib/sasl/sasl_client.h"

struct sasl_client_exchange {
    const char *bearer;           // the mechanism, when it is one of ours
    struct cyrus_exchange *cyrus; // NULL: bearer, or given up
};

int sasl_client_open(const struct settings *set, struct err *err)
{
    struct buf path = BUF_INIT;
    sasl_config_path(set, &path);
    int rc = cyrus_client_init(buf_str(&path), err);
    buf_release(&path);
    return rc;
}

void sasl_client_close(void)
{
    cyrus_client_end();
}

void sasl_move_clear(struct sasl_move *m)
{
    buf_wipe(&m->response);
    buf_release(&m->mechanism);
    buf_release(&m->log);
    *m = SASL_MOVE_INIT;
}

// ---- The job

struct job {
    struct cyrus_exchange *cyrus;
    char *mechanisms; // NULL: a further step
    struct buf challenge;
    struct cyrus_move move;
    struct err err;
    int rc;
};

static void job_run(void *data)
{
    struct job *job = data;
    job->rc = cyrus_client_step(job->cyrus, job->mechanisms, buf_str(&job->challenge), &job->move, &job->err);
}

static void job_free(struct job *job)
{
    mem_free(job->mechanisms);
    buf_wipe(&job->challenge);
    buf_release(&job->move.mechanism);
    buf_wipe(&job->move.response);
    buf_release(&job->move.log);
    mem_free(job);
}

static void job_release(void *data) // nobody waits for it any more
{
    struct job *job = data;
    cyrus_exchange_free(job->cyrus);
    job_free(job);
}

static int step(struct sasl_client_exchange *x, struct str mechanisms, struct str challenge, int64_t deadline,
                struct job **job_r, struct err *err) CO
{
    struct job *job = MEM_NEW(struct job);

    *job_r = NULL;
    job->cyrus = x->cyrus;
    job->mechanisms = mechanisms.ptr != NULL ? mem_dup_str(mechanisms) : NULL;
    buf_add_str(&job->challenge, challenge);
    x->cyrus = NULL;
    if (co_job(job_run, job, job_release, deadline) < 0)
        return err_errno(err, "SASL library");
    x->cyrus = job->cyrus;
    *job_r = job;
    return 0;
}

static int cyrus_step(struct sasl_client_exchange *x, struct str mechanisms, struct str challenge, int64_t deadline,
                      struct sasl_move *move_r, struct err *err) CO
{
    struct job *job;

    if (step(x, mechanisms, challenge, deadline, &job, err) < 0)
        return -1;
    int rc = job->rc;
    buf_add_str(&move_r->mechanism, buf_str(&job->move.mechanism));
    buf_add_str(&move_r->response, buf_str(&job->move.response));
    buf_add_str(&move_r->log, buf_str(&job->move.log));
    move_r->has_response = job->move.has_response;
    if (rc < 0)
        *err = job->err;
    job_free(job);
    return rc;
}

// ---- Exchanges

static bool is_bearer_only(struct str mechanisms)
{
    struct str word;
    const char *chosen = sasl_bearer_choose(mechanisms);

    if (chosen == NULL || cyrus_client_has(chosen))
        return false;
    while (str_token(&mechanisms, " ", &word)) {
        char *name = mem_dup_str(word);
        bool is_known = cyrus_client_has(name);
        mem_free(name);
        if (is_known)
            return false;
    }
    return true;
}

struct sasl_client_exchange *sasl_client_begin(const struct sasl_login *login, struct str mechanisms, int64_t deadline,
                                               struct sasl_move *move_r, struct err *err)
{
    const struct cyrus_login cyrus = {login->service, login->host, login->username, login->password,
                                      login->sends_authzid};
    struct sasl_client_exchange *x = MEM_NEW(struct sasl_client_exchange);
    int rc;

    sasl_move_clear(move_r);
    if (is_bearer_only(mechanisms) && !(login->security & SASL_NO_PLAINTEXT)) {
        x->bearer = sasl_bearer_choose(mechanisms);
        buf_add_cstr(&move_r->mechanism, x->bearer);
        move_r->has_response = true;
        rc = sasl_bearer_initial(x->bearer, login, &move_r->response, err);
    } else {
        x->cyrus = cyrus_client_new(&cyrus, login->security, err);
        rc = x->cyrus == NULL ? -1 : cyrus_step(x, mechanisms, STR(""), deadline, move_r, err);
    }
    if (rc == 0)
        return x;
    sasl_client_end(x);
    return NULL;
}

int sasl_client_answer(struct sasl_client_exchange *x, struct str challenge, int64_t deadline, struct sasl_move *move_r,
                       struct err *err)
{
    sasl_move_clear(move_r);
    if (x->bearer != NULL) {
        buf_add_cstr(&move_r->response, sasl_bearer_dismiss(x->bearer));
        return 0;
    }
    if (x->cyrus == NULL)
        return err_set(err, ERR_TEMPORARY, "the exchange has ended");
    return cyrus_step(x, STR_NULL, challenge, deadline, move_r, err);
}

void sasl_client_end(struct sasl_client_exchange *x)
{
    if (x == NULL)
        return;
    cyrus_exchange_free(x->cyrus);
    mem_free(x);
}
