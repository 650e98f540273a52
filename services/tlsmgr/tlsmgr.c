// SPDX-License-Identifier: ISC
// tlsmgr.c: holds the private keys of TLS and signs with them for the other daemons; rotates ticket keys; remembers
// sessions.
//
// Requests are described in lib/ipc/tls_service.h. Keys are read by a process of their own (tlsmgr_reader.c), which
// looks at the files from time to time, so a renewed certificate comes into use by itself. Signatures are made by the
// job pool.
// Trust: runs as mail_owner, jailed, without network. Clients are daemons that parse network input: they get
// signatures, at a bounded rate, never a key; and chains of files that main.cf or master.cf names.
// Suspends: jobs, tables. Limits: SIGN_SECONDS a signature.
#include "services/tlsmgr/tlsmgr.h"

#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"
#include "lib/table/table.h"

enum { SIGN_SECONDS = 10, IDLE_SECONDS = 3600, FIRST_SECONDS = 8, CLEAN_SECONDS = 3600, DATES_SECONDS = 86400 };

struct tlsmgr {
    struct arena arena;
    struct tlsmgr_files files;
    struct tlsmgr_store *store;
    struct tlsmgr_names *names;
    struct tlsmgr_cache *caches[3];
    struct tlsmgr_tickets tickets;
    int reader_fd;
    bool is_loaded;
    struct co_event loaded;
    const struct settings *settings;
};

// ---- Start

static const char *const *list_of(struct arena *arena, const struct map *m, size_t *count_r)
{
    const char **list = ARENA_ARRAY(arena, const char *, m->count + 1);
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    size_t count = 0;
    while ((entry = map_next(m, &it)) != NULL)
        list[count++] = arena_cstr(arena, entry->key);
    *count_r = count;
    return list;
}

static int init(struct service_context *ctx, struct err *err)
{
    struct tlsmgr *m = MEM_NEW(struct tlsmgr);
    const struct settings *s = m->settings = ctx->settings;
    struct tlsmgr_watch watch = {.interval_ms = s->tls_certificate_check_interval * 1000};
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    ctx->state = m;
    m->files.arena = &m->arena;
    if (tlsmgr_files_collect(ctx->conf, &m->files, err) < 0)
        return -1;
    m->store = tlsmgr_store_new(s->tls_certificate_warn_time / 86400);
    m->names = tlsmgr_names_open(&m->files, m->store);
    while ((entry = map_next(&m->files.texts, &it)) != NULL)
        tlsmgr_store_allow(m->store, entry->key);
    watch.paths = list_of(&m->arena, &m->files.paths, &watch.path_count);
    watch.directories = list_of(&m->arena, &m->files.directories, &watch.directory_count);
    m->reader_fd = tlsmgr_reader_start(&watch, err);
    if (m->reader_fd < 0)
        return -1;
    m->caches[0] = tlsmgr_cache_open("smtpd", s->smtpd_tls_session_cache_database, s->smtpd_tls_session_cache_timeout);
    m->caches[1] = tlsmgr_cache_open("smtp", s->smtp_tls_session_cache_database, s->smtp_tls_session_cache_timeout);
    m->caches[2] = tlsmgr_cache_open("lmtp", s->lmtp_tls_session_cache_database, s->lmtp_tls_session_cache_timeout);
    m->tickets.period_ms = s->smtpd_tls_session_cache_timeout * 1000;
    co_event_init(&m->loaded);
    co_jobs_set_threads(sys_cpu_count());
    return 0;
}

// ---- What the reader tells

static void take_frame(struct tlsmgr *m, const struct ipc_view *view)
{
    struct str path = ipc_str_or(view, "path", STR(""));
    struct str reason = ipc_str_or(view, "reason", STR("it cannot be read"));
    if (str_is(view->verb, STR("file"))) {
        tlsmgr_store_set_file(m->store, path, ipc_str_or(view, "content", STR("")), STR(""));
    } else if (str_is(view->verb, STR("gone"))) {
        tlsmgr_store_set_file(m->store, path, STR(""), reason);
    } else {
        tlsmgr_store_refresh(m->store);
        m->is_loaded = true;
        co_event_broadcast(&m->loaded);
    }
}

static void follow_reader(void *arg)
{
    co_assert_running();
    struct service_context *ctx = arg;
    struct tlsmgr *m = ctx->state;
    struct ipc_conn *conn = ipc_conn_new(m->reader_fd);
    struct ipc_view view;
    struct err err = ERR_INIT;
    while (ipc_recv(conn, &view, CLOCK_NEVER, &err) == 1) { // for as long as this process lives
        take_frame(m, &view);
        ipc_conn_wipe(conn);
    }
    ipc_conn_free(conn);
    if (co_is_cancelled())
        return;
    log_warn("the process that reads keys has ended (%s): starting anew", err.text);
    service_retire(ctx);
}

static void look_after_caches(void *arg)
{
    co_assert_running();
    struct service_context *ctx = arg;
    struct tlsmgr *m = ctx->state;
    int64_t dates = clock_deadline(DATES_SECONDS);
    while (!co_is_cancelled()) {
        co_sleep_until(clock_deadline(CLEAN_SECONDS));
        for (size_t i = 0; i < 3 && !co_is_cancelled(); i++)
            tlsmgr_cache_clean(m->caches[i]);
        if (clock_ms() < dates)
            continue;
        tlsmgr_store_log_dates(m->store);
        dates = clock_deadline(DATES_SECONDS);
    }
}

static void start(struct service_context *ctx)
{
    co_spawn("reader", follow_reader, ctx);
    co_spawn("caches", look_after_caches, ctx);
}

// ---- Signatures

struct signing {
    struct tlsmgr_key *key;
    char algorithm[16], digest[16];
    struct buf input, signature;
    struct err err;
    int rc;
};

static void run_signing(void *data)
{
    struct signing *s = data;
    struct raw input = {(const unsigned char *)s->input.ptr, s->input.len};
    s->rc = tls_key_sign(tlsmgr_key_get(s->key), s->algorithm, s->digest, input, &s->signature, &s->err);
}

static void free_signing(void *data)
{
    struct signing *s = data;
    tlsmgr_key_release(s->key);
    buf_release(&s->input);
    buf_release(&s->signature);
    mem_free(s);
}

static bool copy_word(char *to, size_t size, struct str word)
{
    if (word.len >= size || memchr(word.ptr, 0, word.len) != NULL)
        return false;
    memcpy(to, word.ptr, word.len);
    return true;
}

static int answer_sign(struct tlsmgr *m, const struct ipc_view *view, struct ipc_msg *answer, struct err *err) CO
{
    struct str input = ipc_str_or(view, "input", STR(""));
    struct tlsmgr_key *key = tlsmgr_store_key(m->store, ipc_str_or(view, "key", STR("")));
    if (key == NULL)
        return err_set(err, ERR_TEMPORARY, "no such private key: its certificate has been replaced");
    if (!tlsmgr_key_may_sign(key, m->settings->tls_signature_rate_limit)) {
        tlsmgr_key_release(key);
        return err_set(err, ERR_TEMPORARY, "more than tls_signature_rate_limit signatures a second with one key");
    }
    struct signing *s = MEM_NEW(struct signing);
    s->key = key;
    int rc = 0;
    if (input.len > TLS_SIGN_INPUT_MAX ||
        !copy_word(s->algorithm, sizeof s->algorithm, ipc_str_or(view, "algorithm", STR(""))) ||
        !copy_word(s->digest, sizeof s->digest, ipc_str_or(view, "digest", STR(""))))
        rc = err_set(err, ERR_PROTOCOL, "malformed request for a signature");
    buf_add_str(&s->input, input);
    if (rc == 0 && co_job(run_signing, s, free_signing, clock_deadline(SIGN_SECONDS)) < 0)
        return err_errno(err, "signature"); // the job has s
    if (rc == 0 && s->rc < 0) {
        *err = s->err;
        rc = -1;
    }
    if (rc == 0) {
        ipc_begin(answer, view->id, "signature");
        ipc_add_str(answer, "signature", buf_str(&s->signature));
    }
    free_signing(s);
    return rc;
}

// ---- The other requests

static void add_chains(const struct tlsmgr_chains *chains, uint32_t id, struct ipc_msg *answer)
{
    struct buf pem = BUF_INIT;
    ipc_begin(answer, id, "chains");
    ipc_add_int(answer, "generation", (int64_t)chains->generation);
    for (size_t i = 0; i < chains->count; i++) {
        buf_clear(&pem);
        tls_chain_add_pem(chains->pairs[i].chain, &pem);
        ipc_add_str(answer, "chain", buf_str(&pem));
    }
    buf_release(&pem);
}

// The first requests come while the reader is still reading.
static void wait_until_loaded(struct tlsmgr *m) CO
{
    int64_t deadline = clock_deadline(FIRST_SECONDS);
    while (!m->is_loaded)
        if (co_event_wait(&m->loaded, deadline) < 0)
            return; // the answer will be that nothing is read yet
}

static int answer_chains(struct tlsmgr *m, const struct ipc_view *view, struct ipc_msg *answer, struct err *err) CO
{
    const struct tlsmgr_chains *chains;
    wait_until_loaded(m);
    if (tlsmgr_store_chains(m->store, ipc_str_or(view, "files", STR("")), &chains, err) < 0)
        return -1;
    if ((int64_t)chains->generation == ipc_int_or(view, "known", 0))
        ipc_begin(answer, view->id, "same");
    else
        add_chains(chains, view->id, answer);
    return 0;
}

static int answer_name(struct tlsmgr *m, const struct ipc_view *view, struct ipc_msg *answer, struct err *err) CO
{
    const struct tlsmgr_chains *chains;
    wait_until_loaded(m);
    int found = tlsmgr_names_chains(m->names, ipc_str_or(view, "maps", STR("")), ipc_str_or(view, "name", STR("")),
                                    &chains, err);
    if (found < 0)
        return -1;
    if (found > 0)
        add_chains(chains, view->id, answer);
    else
        ipc_begin(answer, view->id, "absent");
    return 0;
}

static int answer_cache(struct tlsmgr *m, const struct ipc_view *view, struct ipc_msg *answer, struct err *err) CO
{
    struct str name = ipc_str_or(view, "cache", STR("")), id = ipc_str_or(view, "id", STR(""));
    struct tlsmgr_cache *cache = NULL;
    struct buf session = BUF_INIT;
    int rc = 0;
    for (size_t i = 0; i < 3; i++)
        if (str_is(name, tlsmgr_cache_name(m->caches[i])))
            cache = m->caches[i];
    if (cache == NULL)
        return err_set(err, ERR_PROTOCOL, "no such session cache");
    if (str_is(view->verb, STR("get"))) {
        rc = tlsmgr_cache_get(cache, id, &session, err);
        ipc_begin(answer, view->id, rc > 0 ? "session" : "absent");
        if (rc > 0)
            ipc_add_str(answer, "session", buf_str(&session));
    } else {
        bool is_put = str_is(view->verb, STR("put"));
        rc = is_put ? tlsmgr_cache_put(cache, id, ipc_str_or(view, "session", STR("")), err)
                    : tlsmgr_cache_drop(cache, id, err);
        ipc_begin(answer, view->id, "done");
    }
    buf_wipe(&session);
    if (rc < 0)
        log_warn(STR_FMT " session cache: %s", STR_ARG(name), err->text);
    return 0;
}

static int perform(struct tlsmgr *m, const struct ipc_view *view, struct ipc_msg *answer, struct err *err) CO
{
    struct str verb = view->verb;
    if (str_is(verb, STR("sign")))
        return answer_sign(m, view, answer, err);
    if (str_is(verb, STR("chains")))
        return answer_chains(m, view, answer, err);
    if (str_is(verb, STR("name")))
        return answer_name(m, view, answer, err);
    if (str_is(verb, STR("get")) || str_is(verb, STR("put")) || str_is(verb, STR("drop")))
        return answer_cache(m, view, answer, err);
    if (!str_is(verb, STR("tickets")))
        return err_set(err, ERR_PROTOCOL, "unknown request");
    ipc_begin(answer, view->id, m->tickets.period_ms > 0 ? "tickets" : "absent");
    if (m->tickets.period_ms > 0)
        tlsmgr_tickets_add(&m->tickets, answer);
    return 0;
}

static int answer_request(void *arg, const struct ipc_view *view, struct ipc_msg *answer)
{
    co_assert_running();
    struct err err = ERR_INIT;
    uint32_t id = view->id;
    if (perform(arg, view, answer, &err) < 0) {
        ipc_begin(answer, id, "failed");
        ipc_add_str(answer, "reason", str_from(err.text));
    }
    return ipc_end(answer);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    service_answer(ctx, client, IDLE_SECONDS, answer_request, ctx->state);
}

static void deinit(struct service_context *ctx)
{
    struct tlsmgr *m = ctx->state;
    tlsmgr_tickets_clear(&m->tickets);
    for (size_t i = 0; i < 3; i++)
        tlsmgr_cache_close(m->caches[i]);
    tlsmgr_names_close(m->names);
    tlsmgr_store_free(m->store);
    tlsmgr_files_release(&m->files);
    arena_release(&m->arena);
    mem_free(m);
}

// master wakes it up now and then (the 1000? of its row): there is nothing to do, sessions and keys have times of their
// own.
static void trigger(struct service_context *ctx, char request)
{
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "tlsmgr",
        .flags = SERVICE_SOLITARY,
        .init = init,
        .start = start,
        .serve = serve,
        .trigger = trigger,
        .deinit = deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
