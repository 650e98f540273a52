// SPDX-License-Identifier: ISC
// tls_session.c: one TLS connection below a stream: handshakes, reading, writing, the end.
//
// The library never waits: it reads through a BIO that says "later" when the loop knows of no input, and what it writes
// is collected and sent whole by us, so the only waits are one for input and one for output.
// Trust: the peer is hostile: handshake messages are bounded by the library's limits, time by the stream's deadline.
// Suspends: tls_read, tls_write_all, handshakes (there also inside the library: a keeper that signs or remembers).
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

enum { WRITE_PIECE = 64 * 1024, OUT_MAX = 1024 * 1024 };

// ---- Under the library

static int bio_read(BIO *bio, char *data, int size)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    while (!t->is_ended && co_fd_may_read(t->fd)) {
        ssize_t n = read(co_fd_number(t->fd), data, (size_t)size);
        if (n > 0) {
            if (n < size)
                co_fd_short_read(t->fd);
            return (int)n;
        }
        if (n == 0)
            t->is_ended = true;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            co_fd_again(t->fd, CO_READ);
        else if (errno != EINTR) {
            t->saved_errno = errno;
            t->is_ended = true;
        }
    }
    if (t->is_ended)
        return t->saved_errno ? -1 : 0;
    BIO_set_retry_read(bio);
    return -1;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct tls *t = BIO_get_data(bio);
    if (t->out.len > OUT_MAX) // a peer that makes us answer, and does not let us send
        return -1;
    buf_add(&t->out, data, (size_t)size);
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    struct tls *t = BIO_get_data(bio);
    if (command == BIO_CTRL_FLUSH)
        return 1;
    return command == BIO_CTRL_EOF ? t->is_ended : 0;
}

static BIO_METHOD *bio_method; // made once

static BIO *bio_for(struct tls *t)
{
    if (bio_method == NULL) {
        bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
        if (bio_method == NULL || !BIO_meth_set_read(bio_method, bio_read) ||
            !BIO_meth_set_write(bio_method, bio_write) || !BIO_meth_set_ctrl(bio_method, bio_ctrl))
            die("out of memory for TLS");
    }
    BIO *bio = BIO_new(bio_method);
    if (bio == NULL)
        die("out of memory for TLS");
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}

// ---- What went wrong

// The library's lines, as log readers know them: "error:CODE:LIB::REASON:FILE:LINE:DATA".
static void keep_problems(struct tls *t)
{
    const char *file, *function, *data;
    int line, flags;
    unsigned long code;
    char text[256];
    while ((code = ERR_get_error_all(&file, &line, &function, &data, &flags)) != 0) {
        if (t->problems.len > TLS_PROBLEMS_MAX)
            continue;
        ERR_error_string_n(code, text, sizeof text);
        buf_addf(&t->problems, "%s:%s:%d:%.200s%s\n", text, file != NULL ? file : "", line,
                 (flags & ERR_TXT_STRING) ? data : "", (flags & ERR_TXT_STRING) && data[0] ? ":" : "");
    }
}

// errno for what the library says is over. 0: an end of file.
static int errno_of_failure(struct tls *t, int reason)
{
    if (t->saved_errno)
        return t->saved_errno;
    keep_problems(t);
    t->has_failed = reason == SSL_ERROR_SSL || reason == SSL_ERROR_SYSCALL;
    return reason == SSL_ERROR_SSL ? EPROTO : ECONNRESET;
}

// ---- Waiting

static int send_out(struct tls *t, int64_t deadline) CO
{
    if (t->out.len == 0)
        return 0;
    ssize_t rc = co_write_all(t->fd, t->out.ptr, t->out.len, deadline);
    buf_release(&t->out); // an idle session holds no buffer
    if (rc < 0)
        t->has_failed = true;
    return rc < 0 ? -1 : 0;
}

// What is to be sent goes first: the peer may be waiting for it.
static int wait_for_input(struct tls *t, int64_t deadline) CO
{
    if (send_out(t, deadline) < 0)
        return -1;
    if (t->is_ended)
        return 0;
    return co_fd_wait(t->fd, CO_READ, deadline) < 0 ? -1 : 0;
}

// Whatever waits in `out`, alerts for the most part, if the socket takes it.
static void send_out_now(struct tls *t)
{
    (void)!send(co_fd_number(t->fd), t->out.ptr, t->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_clear(&t->out);
}

ssize_t tls_read(struct tls *t, void *data, size_t size, int64_t deadline)
{
    for (;;) {
        size_t got = 0;
        ERR_clear_error();
        int rc = SSL_read_ex(t->ssl, data, size, &got);
        int reason = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
        if (reason == SSL_ERROR_NONE)
            return (ssize_t)got;
        if (reason == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            errno = errno_of_failure(t, reason);
            send_out_now(t);
            return -1;
        }
        if (reason == SSL_ERROR_WANT_READ && wait_for_input(t, deadline) < 0)
            return -1;
    }
}

int tls_write_all(struct tls *t, const void *data, size_t size, int64_t deadline)
{
    const char *at = data;
    while (size > 0) {
        size_t done = 0;
        ERR_clear_error();
        int rc = SSL_write_ex(t->ssl, at, size < WRITE_PIECE ? size : WRITE_PIECE, &done);
        int reason = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
        if (reason == SSL_ERROR_WANT_READ) {
            if (wait_for_input(t, deadline) < 0)
                return -1;
        } else if (reason != SSL_ERROR_NONE && reason != SSL_ERROR_WANT_WRITE) {
            errno = errno_of_failure(t, reason);
            return -1;
        }
        at += done;
        size -= done;
        if ((t->out.len >= WRITE_PIECE || size == 0) && send_out(t, deadline) < 0)
            return -1;
    }
    return 0;
}

bool tls_has_input(struct tls *t)
{
    char byte;
    size_t got;
    if (t->has_failed)
        return true;
    ERR_clear_error();
    int rc = SSL_peek_ex(t->ssl, &byte, 1, &got);
    return rc > 0 || SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ;
}

void tls_send_now(struct tls *t, struct str text)
{
    size_t done;
    if (t->has_failed || SSL_in_init(t->ssl) || text.len == 0)
        return;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, text.ptr, text.len, &done) == 1)
        send_out_now(t);
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    ERR_clear_error();
    if (t->has_failed || SSL_in_init(t->ssl)) {
        SSL_set_quiet_shutdown(t->ssl, 1);
    } else {
        SSL_shutdown(t->ssl);
        send_out_now(t);
    }
    SSL_free(t->ssl);
    ERR_clear_error();
    buf_release(&t->out);
    buf_release(&t->problems);
    buf_release(&t->trace);
    mem_free(t->info);
    mem_free(t);
}

// ---- Handshakes

// After a line that begins at `from`: ends the trace when it has become too long.
static void bound_trace(struct tls *t, size_t from)
{
    if (t->trace.len <= t->trace_size)
        return;
    buf_truncate(&t->trace, from);
    buf_addf(&t->trace, "the trace ends here: it is longer than %zu bytes\n", t->trace_size);
    t->log_level = 0;
}

static void trace_step(const SSL *ssl, int where, int rc)
{
    struct tls *t = SSL_get_app_data(ssl);
    const char *side = t->is_server ? "SSL_accept" : "SSL_connect";
    size_t from = t->trace.len;
    if (t->log_level < 2)
        return;
    if (where & SSL_CB_LOOP)
        buf_addf(&t->trace, "%s:%s\n", side, SSL_state_string_long(ssl));
    else if (where & SSL_CB_ALERT)
        buf_addf(&t->trace, "SSL3 alert %s:%s:%s\n", where & SSL_CB_READ ? "read" : "write",
                 SSL_alert_type_string_long(rc), SSL_alert_desc_string_long(rc));
    else if ((where & SSL_CB_EXIT) && rc == 0)
        buf_addf(&t->trace, "%s:failed in %s\n", side, SSL_state_string_long(ssl));
    else if ((where & SSL_CB_EXIT) && rc < 0 && !SSL_want_read(ssl) && !SSL_want_write(ssl))
        buf_addf(&t->trace, "%s:error in %s\n", side, SSL_state_string_long(ssl));
    bound_trace(t, from);
}

/* callback: the parameters are a library's */
static void trace_bytes(int is_write, int version, int type, const void *data, size_t size, SSL *ssl, void *arg)
{
    struct tls *t = arg;
    const unsigned char *bytes = data;
    if (type == SSL3_RT_HEADER)
        return;
    for (size_t at = 0; at < size && t->log_level >= 3; at += 16) {
        size_t from = t->trace.len;
        buf_addf(&t->trace, "%s %04zx", is_write ? "write" : "read", at);
        for (size_t i = at; i < size && i < at + 16; i++)
            buf_addf(&t->trace, " %02x", bytes[i]);
        buf_add_char(&t->trace, '\n');
        bound_trace(t, from);
    }
}

static struct tls *tls_new(struct stream *s, SSL_CTX *ctx, const struct tls_options *o, int log_level,
                           int64_t trace_size)
{
    struct tls *t = MEM_NEW(struct tls);
    struct buf digest = BUF_INIT;
    const int on = 1;
    // A ticket and the reply after it are two writes: the second must not wait for the peer's late acknowledgement.
    // Fails on what is no TCP, and that is all right.
    (void)setsockopt(stream_fd(s), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    t->fd = stream_co_fd(s);
    t->keeper = o->keeper;
    t->log_level = log_level;
    t->trace_size = trace_size > 0 && trace_size < TLS_TRACE_MAX ? (size_t)trace_size : TLS_TRACE_MAX;
    t->wildcards_span_labels = o->wildcards_span_labels;
    buf_add_str(&digest, o->fingerprint_digest);
    t->fingerprint_md =
        digest.len > 0 ? EVP_get_digestbyname(buf_cstr(&digest)) : EVP_sha256(); // checked when the context was opened
    buf_release(&digest);
    t->ssl = SSL_new(ctx);
    if (t->ssl == NULL)
        die("out of memory for TLS");
    BIO *bio = bio_for(t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    if (log_level >= 2)
        SSL_set_info_callback(t->ssl, trace_step);
    if (log_level >= 3) {
        SSL_set_msg_callback(t->ssl, trace_bytes);
        SSL_set_msg_callback_arg(t->ssl, t);
    }
    return t;
}

// What ended it, in the words of log lines; the stream has failed.
static int handshake_failed(struct stream *s, struct tls *t, int error, struct err *err)
{
    bool is_lost = t->is_ended && (t->saved_errno == 0 || t->saved_errno == ECONNRESET) && t->problems.len == 0;
    errno = error;
    stream_fail(s, "TLS handshake", err);
    if (err == NULL || err->kind == ERR_TIMEOUT || err->kind == ERR_CANCELLED)
        return -1;
    return is_lost ? err_set(err, ERR_PROTOCOL, "lost connection")
                   : err_set(err, ERR_PROTOCOL, "%s", error == EPROTO ? "-1" : strerror(error));
}

static int run_handshake(struct stream *s, struct tls *t, struct err *err) CO
{
    int64_t deadline = stream_deadline(s);
    for (;;) {
        ERR_clear_error();
        int rc = SSL_do_handshake(t->ssl);
        int reason = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
        if (reason != SSL_ERROR_NONE && reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            int error = errno_of_failure(t, reason);
            t->has_failed = true;
            send_out_now(t); // the alert that says why
            return handshake_failed(s, t, error, err);
        }
        if (reason == SSL_ERROR_NONE)
            return 0; // our last words go with the first bytes of what follows, or before the first wait
        if (reason == SSL_ERROR_WANT_READ && wait_for_input(t, deadline) < 0)
            return handshake_failed(s, t, errno, err);
    }
}

// The trace is of the handshake: what is said later is nobody's business.
static void end_trace(struct tls *t)
{
    SSL_set_info_callback(t->ssl, NULL);
    SSL_set_msg_callback(t->ssl, NULL);
}

static int apply_choices(struct tls *t, struct str ciphers, struct str protocols, struct err *err)
{
    struct buf list = BUF_INIT;
    int rc = protocols.len > 0 ? tls_apply_protocols(t->ssl, protocols, err) : 0;
    tls_cipher_list_add(&list, ciphers, t->is_server);
    if (rc == 0 && list.len > 0 && !SSL_set_cipher_list(t->ssl, buf_cstr(&list)))
        rc = tls_err(err, "TLS cipher list \"%s\"", buf_cstr(&list));
    buf_release(&list);
    return rc;
}

int stream_start_tls_server(struct stream *s, struct tls_server_context *c, const struct tls_server_start *start,
                            struct err *err)
{
    struct tls *t = tls_new(s, c->ctx, &c->options.common, start->log_level, start->trace_size);
    t->is_server = true;
    stream_set_tls(s, t);
    SSL_set_accept_state(t->ssl);
    if (apply_choices(t, start->ciphers, start->protocols, err) < 0 || run_handshake(s, t, err) < 0) {
        t->has_failed = true;
        return -1;
    }
    end_trace(t);
    tls_info_fill(t);
    return 0;
}

int stream_start_tls_client(struct stream *s, struct tls_client_context *c, const struct tls_client_start *start,
                            struct err *err)
{
    struct tls *t = tls_new(s, c->ctx, &c->options, start->log_level, start->trace_size);
    stream_set_tls(s, t);
    SSL_set_connect_state(t->ssl);
    t->check = start;
    int rc = apply_choices(t, start->ciphers, start->protocols, err);
    if (rc == 0)
        rc = tls_client_check_begin(t, start, err);
    if (rc == 0)
        rc = run_handshake(s, t, err);
    t->check = NULL;
    if (rc < 0) {
        t->has_failed = true;
        return -1;
    }
    end_trace(t);
    tls_info_fill(t);
    tls_client_check_end(t, start);
    return 0;
}

const struct tls_info *stream_tls_info(const struct stream *s)
{
    struct tls *t = stream_tls(s);
    return t == NULL ? NULL : t->info;
}

struct str stream_tls_problems(const struct stream *s)
{
    struct tls *t = stream_tls(s);
    return t == NULL ? STR_NULL : buf_str(&t->problems);
}

struct str stream_tls_trace(const struct stream *s)
{
    struct tls *t = stream_tls(s);
    return t == NULL ? STR_NULL : buf_str(&t->trace);
}

int stream_tls_session(struct stream *s, struct buf *session_r)
{
    struct tls *t = stream_tls(s);
    SSL_SESSION *session = t == NULL ? NULL : SSL_get1_session(t->ssl);
    unsigned char *der = NULL;
    int size = session != NULL && SSL_SESSION_is_resumable(session) ? i2d_SSL_SESSION(session, &der) : 0;
    if (size > 0)
        buf_add(session_r, der, (size_t)size);
    OPENSSL_free(der);
    SSL_SESSION_free(session);
    ERR_clear_error();
    return size > 0;
}
