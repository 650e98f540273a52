// SPDX-License-Identifier: ISC
// sasl_server_dovecot.c: asks a server that speaks Dovecot's authentication protocol: many requests on one kept
// connection.
//
// One coroutine reads the answers and wakes who waits. When the connection ends, everybody who waits gets a temporary
// failure, and the next request connects anew.
// Trust: the server is a hostile peer: lines are bounded, answers to nobody dropped. Suspends: for connections and
// answers.
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "lib/sasl/dovecot_protocol.h"
#include "lib/sasl/sasl_server_impl.h"

#define LOST "Connection lost to authentication server"
enum { RETRY_MS = 5000 }; // after a failure nobody else waits for the same for so long

// A connection, shared by its reader and those who wait for answers.
struct dovecot_link {
    struct stream *stream;
    struct dovecot_greeting greeting;
    struct co_event answered; // an answer, the greeting's end, or the connection's
    struct list waiting;      // struct dovecot_attempt
    int64_t heard_ms;         // when the last line came
    unsigned users;           // the reader, the server's pointer, and every attempt
    bool has_ended;
};

struct dovecot_server {
    struct sasl_server *server;
    struct str path;           // of the socket; "" for TCP
    struct net_addr addr;      // TCP
    struct dovecot_link *link; // NULL: none
    struct co_lock connecting;
    uint32_t next_id;
    struct dovecot_greeting greeting; // the last good one: what is offered while there is no connection
    int64_t failed_ms;                // when connecting failed last, 0: it worked
    struct err failure;
};

struct dovecot_attempt {
    struct list link_item; // in the link's `waiting`, while a request is out
    struct dovecot_link *link;
    uint32_t id;
    struct sasl_answer *answer; // where the reader puts it
    bool is_answered;
    bool is_open; // the server expects something more
};

static void drop_link(struct dovecot_link *link)
{
    if (--link->users > 0)
        return;
    stream_free(link->stream);
    mem_free(link);
}

// ---- The reader

static void deliver(struct dovecot_link *link, uint32_t id, struct sasl_answer *answer)
{
    LIST_EACH_SAFE(item, &link->waiting)
    {
        struct dovecot_attempt *a = container_of(item, struct dovecot_attempt, link_item);
        if (a->id != id)
            continue;
        sasl_answer_clear(a->answer);
        *a->answer = *answer;
        *answer = SASL_ANSWER_INIT;
        a->is_answered = true;
        list_remove(&a->link_item);
        co_event_broadcast(&link->answered);
        return;
    }
    sasl_answer_clear(answer); // given up meanwhile
}

static int take_line(struct dovecot_link *link, struct str line, struct err *err)
{
    struct sasl_answer answer = SASL_ANSWER_INIT;
    uint32_t id = 0;

    if (!link->greeting.is_done) {
        int rc = dovecot_greeting_add(&link->greeting, line, err);
        if (link->greeting.is_done)
            co_event_broadcast(&link->answered);
        return rc;
    }
    int got = dovecot_answer_parse(line, &id, &answer, err);
    if (got > 0)
        deliver(link, id, &answer);
    sasl_answer_clear(&answer);
    return got < 0 ? -1 : 0;
}

static void read_answers(void *arg)
{
    co_assert_running();
    struct dovecot_link *link = arg;
    struct err err = ERR_INIT;
    struct raw line;
    enum line_end end;

    // The server may be silent for as long as nobody asks: those who ask have deadlines.
    stream_set_deadline(link->stream, CLOCK_NEVER);
    while (!link->has_ended && stream_read_line(link->stream, DOVECOT_LINE_MAX, &line, &end, &err) > 0) {
        if (end == LINE_CUT || end == LINE_EOF) {
            err_set(&err, ERR_PROTOCOL, end == LINE_CUT ? "line too long" : "connection closed");
            break;
        }
        link->heard_ms = clock_ms();
        if (take_line(link, raw_unchecked(line), &err) < 0)
            break;
    }
    if (err.kind == ERR_PROTOCOL && !link->has_ended)
        log_warn("SASL authentication server: %s", err.text);
    link->has_ended = true;
    co_event_broadcast(&link->answered);
    drop_link(link);
}

// ---- Connecting

static struct stream *connect_unix(const struct dovecot_server *d, int64_t deadline, struct err *err) CO
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (d->path.len >= sizeof sun.sun_path) {
        err_set(err, ERR_PERMANENT, "socket path too long: " STR_FMT, STR_ARG(d->path));
        return NULL;
    }
    memcpy(sun.sun_path, d->path.ptr, d->path.len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        err_errno(err, "SASL: Connect to %s", sun.sun_path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct stream *stream = stream_new(fd);
    stream_set_deadline(stream, deadline);
    return stream;
}

static struct dovecot_link *new_link(struct stream *stream)
{
    struct dovecot_link *link = MEM_NEW(struct dovecot_link);

    link->stream = stream;
    co_event_init(&link->answered);
    list_init(&link->waiting);
    link->users = 1;
    return link;
}

// Says hello and waits for the server's greeting. The link, with a use for the caller; NULL with err.
static struct dovecot_link *greet(struct stream *stream, int64_t deadline, struct err *err) CO
{
    struct dovecot_link *link = new_link(stream);

    stream_printf(stream, "VERSION\t1\t1\nCPID\t%d\n", (int)getpid());
    stream_set_deadline(stream, deadline);
    if (stream_flush(stream, err) < 0) {
        drop_link(link);
        return NULL;
    }
    link->users++;
    co_spawn("dovecot", read_answers, link);
    while (!link->greeting.is_done && !link->has_ended)
        if (co_event_wait(&link->answered, deadline) < 0) {
            err_errno(err, "SASL: greeting of the authentication server");
            break;
        }
    if (link->greeting.is_done && !link->has_ended)
        return link;
    if (err->kind == ERR_NONE)
        err_set(err, ERR_PROTOCOL, "SASL: greeting of the authentication server: " LOST);
    link->has_ended = true;
    shutdown(stream_fd(link->stream), SHUT_RDWR); // the reader sees it
    drop_link(link);
    return NULL;
}

static void connect_anew(struct dovecot_server *d, int64_t deadline, struct err *err) CO
{
    struct stream *stream =
        d->path.len > 0 ? connect_unix(d, deadline, err) : stream_connect(&d->addr, NULL, deadline, err);

    if (stream != NULL)
        d->link = greet(stream, deadline, err);
    if (d->link != NULL) {
        d->greeting = d->link->greeting;
        d->failed_ms = 0;
        return;
    }
    d->failure = *err;
    // Refused at once is no wait that anybody must be spared.
    d->failed_ms = err->kind == ERR_TIMEOUT ? clock_ms() : 0;
}

// A live link with a use for the caller, or NULL with err.
static struct dovecot_link *take_link(struct dovecot_server *d, struct err *err) CO
{
    int64_t deadline = clock_deadline(d->server->settings->smtpd_sasl_answer_timeout);
    struct dovecot_link *link = NULL;

    if (co_lock_acquire(&d->connecting, deadline) < 0) {
        err_errno(err, "SASL: connection to the authentication server");
        return NULL;
    }
    if (d->link != NULL && d->link->has_ended) {
        drop_link(d->link);
        d->link = NULL;
    }
    if (d->link == NULL && d->failed_ms > 0 && clock_ms() - d->failed_ms < RETRY_MS)
        *err = d->failure;
    else if (d->link == NULL)
        connect_anew(d, deadline, err);
    link = d->link;
    if (link != NULL)
        link->users++;
    co_lock_release(&d->connecting);
    return link;
}

// ---- One attempt

// Sends `line` and waits. 0, or -1: no answer.
static int ask(struct sasl_exchange *x, struct dovecot_attempt *a, struct str line, struct err *err) CO
{
    struct dovecot_link *link = a->link;
    int64_t deadline = clock_deadline(x->server->settings->smtpd_sasl_answer_timeout);

    int64_t asked_ms = clock_ms();

    a->is_answered = false;
    list_append(&link->waiting, &a->link_item);
    // One call for one line, past the stream's buffer, which the reader's coroutine owns. A server that reads nothing
    // is none.
    if (send(stream_fd(link->stream), line.ptr, line.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)line.len)
        link->has_ended = true;
    while (!a->is_answered && !link->has_ended)
        if (co_event_wait(&link->answered, deadline) < 0) {
            err_errno(err, "SASL: answer of the authentication server");
            break;
        }
    list_remove(&a->link_item);
    if (a->is_answered)
        return 0;
    if (err->kind == ERR_TIMEOUT && link->heard_ms < asked_ms) // not this one request: it says nothing at all
        link->has_ended = true;
    if (link->has_ended)
        shutdown(stream_fd(link->stream), SHUT_RDWR);
    return -1;
}

static void request(struct sasl_exchange *x, struct dovecot_attempt *a, struct buf *line,
                    struct sasl_answer *answer_r) CO
{
    struct err err = ERR_INIT;

    a->answer = answer_r;
    if (ask(x, a, buf_str(line), &err) < 0)
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY,
                         err.kind == ERR_TIMEOUT ? STR("Authentication server timed out") : STR(LOST));
    a->is_open = answer_r->outcome == SASL_ANSWER_CONTINUE;
    buf_wipe(line);
}

static void start(struct sasl_exchange *x, struct str mechanism, struct str response, struct sasl_answer *answer_r) CO
{
    struct dovecot_server *d = x->server->data;
    unsigned security = x->peer->is_encrypted ? x->server->security_encrypted : x->server->security;
    struct err err = ERR_INIT;
    struct buf line = BUF_INIT;
    struct dovecot_link *link = take_link(d, &err);

    if (link == NULL) {
        log_warn("%s", err.text);
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY, STR(LOST));
        return;
    }
    struct dovecot_attempt *a = MEM_NEW(struct dovecot_attempt);
    x->data = a;
    a->link = link;
    list_init(&a->link_item);
    if (++d->next_id == 0)
        d->next_id = 1;
    a->id = d->next_id;
    if (!dovecot_greeting_has(&link->greeting, security, mechanism)) {
        sasl_answer_fail(answer_r, SASL_ANSWER_REFUSED, str_from(x->server->ops->unknown_mechanism));
        return;
    }
    const struct dovecot_request r = {a->id, mechanism, x->server->settings->smtpd_sasl_service, response, x->peer};
    dovecot_add_auth(&line, &r);
    request(x, a, &line, answer_r);
}

static void dovecot_step(struct sasl_exchange *x, struct str mechanism, struct str response,
                         struct sasl_answer *answer_r)
{
    struct dovecot_attempt *a = x->data;
    struct buf line = BUF_INIT;

    co_assert_running();
    if (response.ptr != NULL && !dovecot_is_base64(response)) {
        sasl_answer_fail(answer_r, SASL_ANSWER_REFUSED,
                         mechanism.ptr != NULL ? STR("Invalid base64 data in initial response")
                                               : STR("Invalid base64 data in continued response"));
    } else if (mechanism.ptr != NULL) {
        start(x, mechanism, response, answer_r);
    } else if (a == NULL || !a->is_open || a->link->has_ended) {
        sasl_answer_fail(answer_r, SASL_ANSWER_TEMPORARY, STR(LOST));
    } else {
        buf_addf(&line, "CONT\t%u\t" STR_FMT "\n", a->id, STR_ARG(response));
        request(x, a, &line, answer_r);
    }
}

static void dovecot_end(struct sasl_exchange *x)
{
    struct dovecot_attempt *a = x->data;

    if (a == NULL)
        return;
    list_remove(&a->link_item);
    if (a->is_open && !a->link->has_ended) { // the server need not keep it; whether it hears of that matters little
        struct buf line = BUF_INIT;
        buf_addf(&line, "CANCEL\t%u\n", a->id);
        (void)!send(stream_fd(a->link->stream), line.ptr, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        buf_release(&line);
    }
    drop_link(a->link);
    mem_free(a);
}

// ---- The process's

static int dovecot_mechanisms(struct sasl_server *server, const struct sasl_peer *peer, struct buf *list_r,
                              struct err *err)
{
    co_assert_running();
    struct dovecot_server *d = server->data;

    if (!d->greeting.is_done) { // else no EHLO waits, and an attempt to log in connects again
        struct dovecot_link *link = take_link(d, err);
        if (link == NULL)
            return -1;
        drop_link(link);
    }
    dovecot_greeting_list(&d->greeting, peer->is_encrypted ? server->security_encrypted : server->security, list_r);
    return 0;
}

// "inet:host:port"; else a path, "unix:" in front of it or not. One below the queue directory also works in a chroot
// there.
static int parse_path(struct dovecot_server *d, const struct settings *set, struct err *err)
{
    struct str path = set->smtpd_sasl_path, host;
    struct str queue = set->queue_directory;
    uint16_t port;

    if (str_starts(path, STR("inet:"))) {
        path = str_slice(path, 5, path.len);
        long colon = str_rfind(path, ':');
        host = colon > 0 ? str_slice(path, 0, (size_t)colon) : STR("127.0.0.1");
        if (host.len > 2 && host.ptr[0] == '[')
            host = str_slice(host, 1, host.len - 1);
        if (str_is_nocase(host, STR("localhost")))
            host = STR("127.0.0.1");
        if (net_port_by_name(str_slice(path, (size_t)(colon + 1), path.len), &port) < 0 ||
            net_addr_parse(host, port, &d->addr) < 0)
            return err_set(err, ERR_PERMANENT, "smtpd_sasl_path: no address and port: " STR_FMT,
                           STR_ARG(set->smtpd_sasl_path));
        return 0;
    }
    if (str_starts(path, STR("unix:")))
        path = str_slice(path, 5, path.len);
    if (str_starts(path, queue) && path.len > queue.len + 1 && path.ptr[queue.len] == '/')
        path = str_slice(path, queue.len + 1, path.len);
    d->path = path;
    return 0;
}

static void *dovecot_open(struct sasl_server *server, struct service_context *ctx, struct err *err)
{
    struct dovecot_server *d = MEM_NEW(struct dovecot_server);

    d->server = server;
    co_lock_init(&d->connecting);
    if (parse_path(d, ctx->settings, err) == 0)
        return d;
    mem_free(d);
    return NULL;
}

static void dovecot_close(void *data)
{
    struct dovecot_server *d = data;
    if (d->link != NULL)
        drop_link(d->link);
    mem_free(d);
}

const struct sasl_server_ops sasl_server_dovecot = {
    "Invalid authentication mechanism", dovecot_open, dovecot_close, dovecot_mechanisms, dovecot_step, dovecot_end};
