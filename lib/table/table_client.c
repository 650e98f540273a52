// SPDX-License-Identifier: ISC
// table_client.c: a pool of connections to database servers, used by jobs.
//
// Limits: KEPT_MAX idle connections, HOSTS_MAX hosts. A job that outlives its waiter keeps the pool alive until it
// ends.
#include <stdlib.h>

#include "lib/table/table_client_impl.h"

#define KEPT_MAX      8
#define HOSTS_MAX     32
#define IDLE_SECONDS  60
#define RETRY_SECONDS 60
#define PAUSE_MIN_MS  1000
#define JOB_SECONDS   (3 * TABLE_CLIENT_SECONDS)

struct host {
    char *name;
    int64_t pause, pause_end;
};

struct kept {
    void *connection;
    struct host *host;
    int64_t last_used;
};

struct table_client {
    const struct table_client_ops *ops;
    struct table_source source;
    void *setup;
    struct host hosts[HOSTS_MAX];
    size_t host_count;
    struct kept kept[KEPT_MAX];
    size_t kept_count;
    int64_t idle_ms, retry_ms;
    unsigned users;     // the table and its jobs
    struct err failure; // of the last connection
};

struct job {
    struct table_client *client;
    struct host *host;
    void *connection; // NULL: the job makes one
    bool has_connected;
    char *key;
    struct table_request request;
};

struct table_client *table_client_new(const struct table_client_ops *ops, struct table_source *source, void *setup,
                                      struct str hosts, const char *default_host)
{
    struct table_client *c = MEM_NEW(struct table_client);
    struct str name;

    c->ops = ops;
    c->source = *source;
    c->setup = setup;
    c->users = 1;
    while (c->host_count < HOSTS_MAX && str_token(&hosts, ", \t\r\n", &name))
        c->hosts[c->host_count++].name = mem_dup_str(name);
    if (c->host_count == 0)
        c->hosts[c->host_count++].name = mem_strdup(default_host);
    table_client_set_intervals(c, IDLE_SECONDS, RETRY_SECONDS);
    return c;
}

void table_client_set_intervals(struct table_client *c, int64_t idle_seconds, int64_t retry_seconds)
{
    c->idle_ms = (idle_seconds > 86400 ? 86400 : idle_seconds) * 1000;
    c->retry_ms = (retry_seconds > 86400 ? 86400 : retry_seconds) * 1000;
}

static void drop_user(struct table_client *c)
{
    if (--c->users > 0)
        return;
    table_source_release(&c->source);
    if (c->ops->free_setup != NULL)
        c->ops->free_setup(c->setup);
    for (size_t i = 0; i < c->host_count; i++)
        mem_free(c->hosts[i].name);
    mem_free(c);
}

void table_client_free(struct table_client *c)
{
    for (size_t i = 0; i < c->kept_count; i++)
        c->ops->close(c->kept[i].connection);
    c->kept_count = 0;
    drop_user(c);
}

// ---- The job

static void run(void *data)
{
    struct job *job = data;
    const struct table_client_ops *ops = job->client->ops;

    if (job->connection == NULL) {
        job->connection = ops->connect(&job->client->source, job->client->setup, job->host->name, &job->request.err);
        job->has_connected = job->connection != NULL;
    }
    if (job->connection == NULL)
        return;
    if (ops->query(job->connection, &job->request) < 0 && job->request.err.kind == ERR_NONE)
        err_set(&job->request.err, ERR_TEMPORARY, "query failed");
    if (!job->request.is_lost)
        return;
    ops->close(job->connection);
    job->connection = NULL;
}

// Called in the loop's thread, with or without a waiter.
static void release_job(void *data)
{
    struct job *job = data;

    if (job->connection != NULL)
        job->client->ops->close(job->connection);
    drop_user(job->client);
    buf_release(&job->request.rows.bytes);
    mem_free(job->key);
    mem_free(job);
}

// ---- Choosing a connection or host

static void give_back(struct job *job)
{
    struct table_client *c = job->client;

    if (job->connection == NULL || c->kept_count == KEPT_MAX || c->users == 1) // 1: the table was closed meanwhile
        return;
    c->kept[c->kept_count++] = (struct kept){job->connection, job->host, clock_ms()};
    job->connection = NULL;
}

static bool take_kept(struct table_client *c, struct job *job)
{
    while (c->kept_count > 0) {
        struct kept last = c->kept[--c->kept_count];
        if (clock_ms() - last.last_used <= c->idle_ms) {
            job->connection = last.connection;
            job->host = last.host;
            return true;
        }
        c->ops->close(last.connection);
    }
    return false;
}

// UNIX-domain sockets come first; one of equals at random.
static struct host *choose_host(struct table_client *c)
{
    struct host *chosen = NULL;
    bool chosen_is_local = false;
    uint32_t equals = 0;

    for (size_t i = 0; i < c->host_count; i++) {
        struct host *host = &c->hosts[i];
        bool is_local = str_starts(str_from(host->name), STR("unix:"));
        if (clock_ms() < host->pause_end || (chosen_is_local && !is_local))
            continue;
        if (is_local && !chosen_is_local)
            equals = 0;
        chosen_is_local |= is_local;
        if (arc4random_uniform(++equals) == 0)
            chosen = host;
    }
    return chosen;
}

static void leave_alone(struct table_client *c, struct host *host)
{
    host->pause = host->pause == 0 ? PAUSE_MIN_MS : host->pause * 2;
    if (host->pause > c->retry_ms)
        host->pause = c->retry_ms;
    host->pause_end = clock_ms() + host->pause;
}

static struct job *new_job(struct table_client *c, struct str key)
{
    struct job *job = MEM_NEW(struct job);

    job->client = c;
    c->users++;
    job->key = mem_dup_str(key);
    job->request =
        (struct table_request){.source = &c->source, .setup = c->setup, .key = str_from(job->key), .err = ERR_INIT};
    return job;
}

// Client libraries write several lines.
static void join_lines(char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '\n' || *text == '\t')
            *text = ' ';
}

enum outcome { DONE, TRY_AGAIN };

// After the job: rows, or an error that says whether another connection may do better.
static enum outcome judge(struct table_client *c, struct job *job, bool was_kept, struct err *err)
{
    if (job->has_connected)
        job->host->pause = 0;
    if (job->request.err.kind == ERR_NONE)
        return DONE;
    *err = job->request.err;
    join_lines(err->text);
    if (job->connection != NULL) // the server answered: with an error
        return DONE;
    if (!was_kept) {
        leave_alone(c, job->host);
        c->failure = *err;
    }
    return TRY_AGAIN;
}

static int fail_without_host(struct table_client *c, struct err *err)
{
    *err = c->failure;
    if (err->kind == ERR_NONE)
        err_set(err, ERR_TEMPORARY, "no server to ask");
    err->kind = ERR_TEMPORARY;
    return -1;
}

static struct job *prepare(struct table_client *c, struct str key, bool *was_kept_r)
{
    struct job *job = new_job(c, key);

    *was_kept_r = take_kept(c, job);
    if (!*was_kept_r)
        job->host = choose_host(c);
    if (job->host != NULL)
        return job;
    release_job(job);
    return NULL;
}

int table_client_lookup(struct table_client *c, struct str key, struct buf *value_r, struct err *err)
{
    int found = table_source_accepts(&c->source, key, err);

    if (found <= 0)
        return found;
    for (;;) {
        bool was_kept;
        struct job *job = prepare(c, key, &was_kept);
        enum outcome outcome;
        if (job == NULL)
            return fail_without_host(c, err);
        struct host *host = job->host;
        if (co_job(run, job, release_job, clock_deadline(JOB_SECONDS)) < 0) {
            err_errno(err, "%s: no answer", host->name);
            if (err->kind != ERR_CANCELLED)
                leave_alone(c, host);
            return -1;
        }
        outcome = judge(c, job, was_kept, err);
        if (outcome == DONE && job->request.err.kind == ERR_NONE)
            found = table_source_finish(&c->source, key, &job->request.rows, value_r, err);
        else
            found = -1;
        give_back(job);
        release_job(job);
        if (outcome == DONE)
            return found;
    }
}
