// SPDX-License-Identifier: ISC
// tls_service.c: asks tlsmgr, over kept connections; remembers ticket keys and the certificates of server names for a
// while.
// Trust: tlsmgr is a peer daemon: what it says is checked by lib/ipc and by the TLS library. Holds ticket keys, wiped
// at the end.
// Suspends: asking.
#include <errno.h>

#include "lib/ipc/tls_service.h"

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/ipc/ipc.h"

enum { KEPT_MAX = 8, ASK_SECONDS = 10, TICKETS_MAX = 4, NAMES_MAX = 1000, NAME_SECONDS = 10, TICKET_RETRY_MS = 1000 };

struct named_chains {
    struct tls_chain *chains[TLS_CHAINS_MAX];
    size_t count; // 0: the name is unknown
    int64_t until;
};

struct tls_service {
    const struct settings *settings;
    const char *cache;
    struct tls_keeper keeper;
    struct ipc_conn *kept[KEPT_MAX];
    size_t kept_count;
    uint32_t next_id;
    struct tls_ticket_key tickets[TICKETS_MAX];
    size_t ticket_count;
    int64_t tickets_until, tickets_asked;
    int64_t trace_second, traces; // this second, by clock_ms
    struct map names;             // server name -> struct named_chains
};

// ---- Asking

static struct ipc_conn *take_connection(struct tls_service *t, bool *is_kept_r, int64_t deadline, struct err *err) CO
{
    struct buf path = BUF_INIT;
    while (t->kept_count > 0) {
        struct ipc_conn *last = t->kept[--t->kept_count];
        if (ipc_is_alive(last)) {
            *is_kept_r = true;
            return last;
        }
        ipc_conn_free(last);
    }
    *is_kept_r = false;
    buf_addf(&path, "private/" STR_FMT, STR_ARG(t->settings->tlsmgr_service_name));
    struct ipc_conn *conn = ipc_connect(buf_cstr(&path), deadline, err);
    if (conn == NULL && (err->errnum == ENOENT || err->errnum == ECONNREFUSED))
        err_set(err, ERR_TEMPORARY,
                "cannot reach the service that holds the TLS keys (%s): is there a tlsmgr row in master.cf?",
                buf_cstr(&path));
    buf_release(&path);
    return conn;
}

static void give_back(struct tls_service *t, struct ipc_conn *conn, bool works)
{
    if (works && t->kept_count < KEPT_MAX)
        t->kept[t->kept_count++] = conn;
    else
        ipc_conn_free(conn);
}

// An exchange: the answer's view borrows from *conn_r, which the caller gives back. A kept connection may have ended
// meanwhile: then once more on a new one. `request` is built by the caller and used up.
static int ask(struct tls_service *t, struct ipc_msg *request, struct ipc_conn **conn_r, struct ipc_view *answer_r,
               struct err *err) CO
{
    struct ipc_msg again = IPC_MSG_INIT;
    int64_t deadline = clock_deadline(ASK_SECONDS);
    bool is_kept = true;
    int rc = -1;
    *conn_r = NULL;
    buf_add_str(&again.data, buf_str(&request->data));
    while (rc < 0 && is_kept) {
        struct ipc_conn *conn = take_connection(t, &is_kept, deadline, err);
        if (conn == NULL)
            break;
        if (request->data.len == 0)
            buf_add_str(&request->data, buf_str(&again.data));
        rc = ipc_call(conn, request, answer_r, deadline, err);
        if (rc == 0)
            *conn_r = conn;
        else
            ipc_conn_free(conn);
    }
    buf_wipe(&again.data);
    if (rc < 0)
        return -1;
    if (!str_is(answer_r->verb, STR("failed")))
        return 0;
    struct str reason = ipc_str_or(answer_r, "reason", STR("the service gives no reason"));
    err_set(err, ERR_TEMPORARY, STR_FMT, STR_ARG(reason));
    give_back(t, *conn_r, true);
    *conn_r = NULL;
    return -1;
}

static int unexpected(struct tls_service *t, struct ipc_conn *conn, struct err *err)
{
    give_back(t, conn, false);
    return err_set(err, ERR_PROTOCOL, "malformed answer of the tlsmgr service");
}

// ---- Chains

static void add_word(struct buf *text, struct str word)
{
    buf_add_char(text, ' ');
    buf_add_str(text, word);
}

static void add_pair(struct buf *text, struct str cert, struct str key)
{
    if (cert.len == 0 || str_is(cert, STR("none")))
        return;
    if (text->len == 0)
        buf_add_cstr(text, "pairs");
    add_word(text, cert);
    add_word(text, key.len > 0 ? key : cert);
}

void tls_chain_files_add_text(const struct tls_chain_files *files, struct buf *text)
{
    struct str word, rest = files->chain_files;
    struct buf own = BUF_INIT;
    while (str_token(&rest, ", \t\r\n", &word)) {
        if (own.len == 0)
            buf_add_cstr(&own, "chain");
        add_word(&own, word);
    }
    if (own.len == 0) {
        add_pair(&own, files->cert, files->key);
        add_pair(&own, files->dcert, files->dkey);
        add_pair(&own, files->eccert, files->eckey);
    }
    buf_add_str(text, buf_str(&own));
    buf_release(&own);
}

static void free_chains(struct tls_chain **chains, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tls_chain_free(chains[i]);
}

static int take_chains(const struct ipc_view *answer, struct tls_chain **chains_r, size_t *count_r, struct err *err)
{
    struct str name, value;
    *count_r = 0;
    for (size_t at = 0; ipc_next(answer, &at, &name, &value);) {
        if (!str_is(name, STR("chain")) || *count_r == TLS_CHAINS_MAX)
            continue;
        chains_r[*count_r] = tls_chain_parse(value, err);
        if (chains_r[*count_r] == NULL) {
            free_chains(chains_r, *count_r);
            return -1;
        }
        ++*count_r;
    }
    return 0;
}

int tls_service_chains(struct tls_service *t, const struct tls_chain_files *files, uint64_t *generation,
                       struct tls_chain **chains_r, size_t *count_r, struct err *err)
{
    struct buf text = BUF_INIT;
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_conn *conn;
    struct ipc_view answer;
    *count_r = 0;
    tls_chain_files_add_text(files, &text);
    if (text.len == 0)
        return 1;
    ipc_begin(&request, ++t->next_id, "chains");
    ipc_add_str(&request, "files", buf_str(&text));
    ipc_add_int(&request, "known", (int64_t)*generation);
    (void)ipc_end(&request);
    buf_release(&text);
    int rc = ask(t, &request, &conn, &answer, err);
    ipc_msg_release(&request);
    if (rc < 0)
        return -1;
    if (str_is(answer.verb, STR("same"))) {
        give_back(t, conn, true);
        return 0;
    }
    if (!str_is(answer.verb, STR("chains")))
        return unexpected(t, conn, err);
    rc = take_chains(&answer, chains_r, count_r, err);
    if (rc == 0)
        *generation = (uint64_t)ipc_int_or(&answer, "generation", 0);
    give_back(t, conn, rc == 0);
    return rc < 0 ? -1 : 1;
}

// ---- Server names

static void free_named(struct named_chains *n)
{
    if (n == NULL)
        return;
    free_chains(n->chains, n->count);
    mem_free(n);
}

static void forget_names(struct tls_service *t)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&t->names, &it)) != NULL)
        free_named(entry->value);
    map_release(&t->names);
}

static struct named_chains *fetch_named(struct tls_service *t, struct str name, struct err *err) CO
{
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_conn *conn;
    struct ipc_view answer;
    ipc_begin(&request, ++t->next_id, "name");
    ipc_add_str(&request, "maps", t->settings->tls_server_sni_maps);
    ipc_add_str(&request, "name", name);
    (void)ipc_end(&request);
    int rc = ask(t, &request, &conn, &answer, err);
    ipc_msg_release(&request);
    if (rc < 0)
        return NULL;
    struct named_chains *n = MEM_NEW(struct named_chains);
    if (str_is(answer.verb, STR("chains")))
        rc = take_chains(&answer, n->chains, &n->count, err);
    give_back(t, conn, rc == 0);
    if (rc == 0)
        return n;
    mem_free(n);
    return NULL;
}

// The chains stay ours, until the next call.
static int chains_for_name(void *arg, struct str name, struct tls_chain **chains_r, size_t *count_r, struct err *err)
{
    co_assert_running();
    struct tls_service *t = arg;
    struct named_chains *n = map_get(&t->names, name);
    if (n == NULL || clock_ms() >= n->until) {
        n = fetch_named(t, name, err);
        if (n == NULL)
            return -1;
        if (t->names.count >= NAMES_MAX)
            forget_names(t);
        n->until = clock_ms() + NAME_SECONDS * 1000;
        free_named(map_set(&t->names, name, n));
    }
    memcpy(chains_r, n->chains, sizeof n->chains);
    *count_r = n->count;
    return n->count > 0;
}

// ---- Signatures

static int sign(void *arg, const struct tls_sign_request *r, struct buf *signature_r, struct err *err)
{
    co_assert_running();
    struct tls_service *t = arg;
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_conn *conn;
    struct ipc_view answer;
    struct str signature;
    ipc_begin(&request, ++t->next_id, "sign");
    ipc_add_str(&request, "key", str_of((const char *)r->key_id, TLS_KEY_ID_SIZE));
    ipc_add_str(&request, "algorithm", str_from(r->algorithm));
    ipc_add_str(&request, "digest", str_from(r->digest));
    ipc_add_str(&request, "input", raw_unchecked(r->input));
    (void)ipc_end(&request);
    int rc = ask(t, &request, &conn, &answer, err);
    ipc_msg_release(&request);
    if (rc < 0)
        return -1;
    if (!ipc_get_str(&answer, "signature", &signature))
        return unexpected(t, conn, err);
    buf_add_str(signature_r, signature);
    give_back(t, conn, true);
    return 0;
}

// ---- Tickets

static void take_tickets(struct tls_service *t, const struct ipc_view *answer)
{
    struct str name, value;
    struct tls_ticket_key key;
    t->ticket_count = 0;
    for (size_t at = 0; ipc_next(answer, &at, &name, &value);) {
        if (str_is(name, STR("name")) && value.len == sizeof key.name) {
            memcpy(key.name, value.ptr, sizeof key.name);
        } else if (str_is(name, STR("aes")) && value.len == sizeof key.aes) {
            memcpy(key.aes, value.ptr, sizeof key.aes);
        } else if (str_is(name, STR("hmac")) && value.len == sizeof key.hmac && t->ticket_count < TICKETS_MAX) {
            memcpy(key.hmac, value.ptr, sizeof key.hmac);
            t->tickets[t->ticket_count++] = key;
        }
    }
    tls_ticket_key_clear(&key);
}

static void fetch_tickets(struct tls_service *t) CO
{
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_conn *conn;
    struct ipc_view answer;
    struct err err = ERR_INIT;
    t->tickets_asked = clock_ms();
    ipc_begin(&request, ++t->next_id, "tickets");
    (void)ipc_end(&request);
    int rc = ask(t, &request, &conn, &answer, &err);
    ipc_msg_release(&request);
    if (rc < 0)
        return; // without keys there are no tickets: clients do a full handshake
    take_tickets(t, &answer);
    t->tickets_until = clock_ms() + ipc_int_or(&answer, "seconds", 1) * 1000;
    give_back(t, conn, true);
}

static int find_ticket(const struct tls_service *t, const unsigned char *name, struct tls_ticket_key *key_r)
{
    for (size_t i = 0; i < t->ticket_count; i++)
        if (name == NULL || memcmp(name, t->tickets[i].name, TLS_TICKET_NAME_SIZE) == 0) {
            *key_r = t->tickets[i];
            return 1;
        }
    return 0;
}

static int ticket_key(void *arg, const unsigned char *name, struct tls_ticket_key *key_r)
{
    co_assert_running();
    struct tls_service *t = arg;
    bool is_fresh = clock_ms() < t->tickets_until;
    int found = is_fresh ? find_ticket(t, name, key_r) : 0;
    if (found == 0 &&
        clock_ms() - t->tickets_asked >= TICKET_RETRY_MS) { // a forged name must not make us ask each time
        fetch_tickets(t);
        found = find_ticket(t, name, key_r);
    }
    return found;
}

// ---- Remembered sessions

static int ask_cache(struct tls_service *t, const char *verb, struct str id, struct str session,
                     struct buf *session_r) CO
{
    struct ipc_msg request = IPC_MSG_INIT;
    struct ipc_conn *conn;
    struct ipc_view answer;
    struct err err = ERR_INIT;
    struct str found = STR_NULL;
    ipc_begin(&request, ++t->next_id, verb);
    ipc_add_str(&request, "cache", str_from(t->cache));
    ipc_add_str(&request, "id", id);
    if (session.len > 0)
        ipc_add_str(&request, "session", session);
    (void)ipc_end(&request);
    int rc = ask(t, &request, &conn, &answer, &err);
    buf_wipe(&request.data);
    if (rc < 0)
        return 0; // a lost session costs a full handshake
    bool is_found = session_r != NULL && ipc_get_str(&answer, "session", &found);
    if (is_found)
        buf_add_str(session_r, found);
    give_back(t, conn, true);
    return is_found;
}

int tls_service_session_get(struct tls_service *t, struct str key, struct buf *session_r)
{
    return ask_cache(t, "get", key, STR_NULL, session_r);
}

void tls_service_session_put(struct tls_service *t, struct str key, struct str session)
{
    ask_cache(t, "put", key, session, NULL);
}

void tls_service_session_drop(struct tls_service *t, struct str key)
{
    ask_cache(t, "drop", key, STR_NULL, NULL);
}

static void session_put(void *arg, struct str id, struct str session)
{
    co_assert_running();
    tls_service_session_put(arg, id, session);
}

static int session_get(void *arg, struct str id, struct buf *session_r)
{
    co_assert_running();
    return tls_service_session_get(arg, id, session_r);
}

// ---- Life

struct tls_service *tls_service_new(const struct settings *s, const char *cache)
{
    struct tls_service *t = MEM_NEW(struct tls_service);
    t->settings = s;
    t->cache = cache;
    t->names = MAP_INIT_NOCASE;
    t->tickets_asked = INT64_MIN / 2;
    t->keeper = (struct tls_keeper){
        .arg = t, .sign = sign, .ticket_key = ticket_key, .session_put = session_put, .session_get = session_get};
    if (s->tls_server_sni_maps.len > 0 && strcmp(cache, "smtpd") == 0)
        t->keeper.chains_for_name = chains_for_name;
    return t;
}

void tls_service_free(struct tls_service *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->kept_count; i++)
        ipc_conn_free(t->kept[i]);
    for (size_t i = 0; i < TICKETS_MAX; i++)
        tls_ticket_key_clear(&t->tickets[i]);
    forget_names(t);
    mem_free(t);
}

int tls_service_trace_level(struct tls_service *t, int level)
{
    int64_t second = clock_ms() / 1000, limit = t->settings->tls_trace_rate_limit;

    if (level < 2 || limit == 0)
        return level;
    if (second != t->trace_second)
        t->traces = 0;
    t->trace_second = second;
    return t->traces++ < limit ? level : 1;
}

const struct tls_keeper *tls_service_keeper(struct tls_service *t)
{
    return &t->keeper;
}
