// SPDX-License-Identifier: ISC
// tls_sessions.c: the other side for measurements of TLS on loopback: a client that opens, holds or uses sessions, and
// a next hop.
//
// usage: tls_sessions rate PORT THREADS COUNT full|resumed   connect, EHLO, STARTTLS, NOOP, QUIT; prints the sessions
// per second
//        tls_sessions hold PORT COUNT                        COUNT sessions after STARTTLS and EHLO; prints "held
//        COUNT", waits for end of input tls_sessions send PORT THREADS MESSAGES SIZE        kept sessions with
//        STARTTLS, MESSAGES messages of SIZE bytes in all tls_sessions sink PORT CERT KEY                     takes
//        mail with STARTTLS on 127.0.0.1 and forgets it, until it is killed
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 60
#define BUFFER       32768

struct peer {
    int fd;
    SSL *ssl; // NULL: in the clear
    char data[BUFFER];
    size_t start, end;
};

struct work {
    int port;
    long size;
    int resumes, sends;
    SSL_CTX *ctx;
    atomic_long left;
    char *message;
};

static void fail(const char *what)
{
    fprintf(stderr, "tls_sessions: %s: %s\n", what, strerror(errno));
    exit(1);
}

// ---- Lines

static void peer_init(struct peer *p, int fd)
{
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    p->fd = fd;
    p->ssl = NULL;
    p->start = p->end = 0;
}

static long peer_fill(struct peer *p)
{
    if (p->start > 0 && p->start == p->end)
        p->start = p->end = 0;
    if (p->end == BUFFER)
        return -1;
    long n = p->ssl ? SSL_read(p->ssl, p->data + p->end, (int)(BUFFER - p->end))
                    : read(p->fd, p->data + p->end, BUFFER - p->end);
    if (n > 0)
        p->end += (size_t)n;
    return n;
}

// The next line without its LF; NULL at the end.
static char *peer_line(struct peer *p)
{
    for (;;) {
        char *lf = memchr(p->data + p->start, '\n', p->end - p->start);
        if (lf != NULL) {
            char *line = p->data + p->start;
            *lf = '\0';
            p->start = (size_t)(lf - p->data) + 1;
            return line;
        }
        if (p->start > 0) {
            memmove(p->data, p->data + p->start, p->end - p->start);
            p->end -= p->start;
            p->start = 0;
        }
        if (peer_fill(p) <= 0)
            return NULL;
    }
}

static void peer_write(struct peer *p, const char *data, size_t size)
{
    if (p->ssl)
        (void)SSL_write(p->ssl, data, (int)size);
    else
        (void)!write(p->fd, data, size);
}

static void expect(struct peer *p, const char *command, const char *code)
{
    if (command != NULL)
        peer_write(p, command, strlen(command));
    for (;;) {
        char *line = peer_line(p);
        if (line == NULL || strncmp(line, code, 3) != 0) {
            fprintf(stderr, "tls_sessions: after %s: %s\n", command ? command : "connecting\n", line ? line : "closed");
            exit(1);
        }
        if (line[3] != '-')
            return;
    }
}

// ---- The client

static void client_open(struct peer *p, const struct work *w, SSL_SESSION **session)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    peer_init(p, fd);
    expect(p, NULL, "220");
    expect(p, "EHLO client.example\r\n", "250");
    expect(p, "STARTTLS\r\n", "220");
    SSL *ssl = SSL_new(w->ctx);
    SSL_set_fd(ssl, fd);
    if (w->resumes && *session != NULL)
        SSL_set_session(ssl, *session);
    if (SSL_connect(ssl) != 1)
        fail("TLS handshake");
    p->ssl = ssl;
    expect(p, w->sends ? "EHLO client.example\r\n" : "NOOP\r\n", "250");
    if (w->resumes && *session != NULL && !SSL_session_reused(ssl)) {
        fprintf(stderr, "tls_sessions: a session was not resumed\n");
        exit(1);
    }
}

static void client_close(struct peer *p, SSL_SESSION **session)
{
    expect(p, "QUIT\r\n", "221");
    if (session != NULL) {
        SSL_SESSION_free(*session);
        *session = SSL_get1_session(p->ssl);
    }
    SSL_shutdown(p->ssl);
    SSL_free(p->ssl);
    close(p->fd);
}

static void *run_rate(void *arg)
{
    struct work *w = arg;
    struct peer *p = malloc(sizeof *p);
    SSL_SESSION *session = NULL;
    while (atomic_fetch_sub(&w->left, 1) > 0) {
        client_open(p, w, &session);
        client_close(p, w->resumes ? &session : NULL);
    }
    SSL_SESSION_free(session);
    free(p);
    return NULL;
}

static void *run_send(void *arg)
{
    struct work *w = arg;
    struct peer *p = malloc(sizeof *p);
    SSL_SESSION *session = NULL;
    client_open(p, w, &session);
    while (atomic_fetch_sub(&w->left, 1) > 0) {
        expect(p, "MAIL FROM:<from@client.example>\r\n", "250");
        expect(p, "RCPT TO:<to@sink.example>\r\n", "250");
        expect(p, "DATA\r\n", "354");
        expect(p, w->message, "250");
    }
    client_close(p, NULL);
    free(p);
    return NULL;
}

static char *make_message(long size)
{
    char *text = malloc((size_t)size + 200);
    long at = sprintf(text, "Subject: measured\r\n\r\n");
    while (at < size)
        at += sprintf(text + at, "%.*s\r\n", 70,
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    strcpy(text + at, ".\r\n");
    return text;
}

static int run_threads(struct work *w, int threads, long count, void *(*fn)(void *))
{
    struct timespec begin, end;
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    atomic_store(&w->left, count);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, fn, w) != 0)
            fail("thread");
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%.1f\n", (double)count / seconds);
    free(ids);
    return 0;
}

static int hold(struct work *w, long count)
{
    SSL_SESSION *session = NULL;
    w->sends = 1; // EHLO once TLS has begun
    struct peer *p = malloc(sizeof *p);
    for (long i = 0; i < count; i++)
        client_open(p, w, &session); // left open
    printf("held %ld\n", count);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    return 0;
}

// ---- The next hop

static int sink_data(struct peer *p)
{
    char *line;
    while ((line = peer_line(p)) != NULL)
        if (strcmp(line, ".\r") == 0)
            return 0;
    return -1;
}

static int sink_starttls(struct peer *p, SSL_CTX *ctx)
{
    peer_write(p, "220 go\r\n", 8);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, p->fd);
    if (SSL_accept(ssl) != 1) {
        SSL_free(ssl);
        return -1;
    }
    p->ssl = ssl;
    p->start = p->end = 0;
    return 0;
}

static int sink_command(struct peer *p, SSL_CTX *ctx, const char *line)
{
    if (strncasecmp(line, "EHLO", 4) == 0)
        peer_write(p, p->ssl ? "250-sink\r\n250 PIPELINING\r\n" : "250-sink\r\n250-PIPELINING\r\n250 STARTTLS\r\n",
                   p->ssl ? 26 : 40);
    else if (strncasecmp(line, "STARTTLS", 8) == 0)
        return sink_starttls(p, ctx);
    else if (strncasecmp(line, "DATA", 4) == 0) {
        peer_write(p, "354 go\r\n", 8);
        if (sink_data(p) < 0)
            return -1;
        peer_write(p, "250 2.0.0 taken\r\n", 17);
    } else if (strncasecmp(line, "QUIT", 4) == 0) {
        peer_write(p, "221 bye\r\n", 9);
        return -1;
    } else {
        peer_write(p, "250 ok\r\n", 8);
    }
    return 0;
}

struct sink_client {
    int fd;
    SSL_CTX *ctx;
};

static void *run_sink_client(void *arg)
{
    struct sink_client *c = arg;
    struct peer *p = malloc(sizeof *p);
    char *line;
    peer_init(p, c->fd);
    peer_write(p, "220 sink ESMTP\r\n", 16);
    while ((line = peer_line(p)) != NULL && sink_command(p, c->ctx, line) == 0)
        continue;
    if (p->ssl != NULL) {
        SSL_shutdown(p->ssl);
        SSL_free(p->ssl);
    }
    close(c->fd);
    free(p);
    free(c);
    return NULL;
}

static __attribute__((noreturn)) void sink(int port, const char *cert, const char *key)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        fail("certificate");
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0)
        fail("listen");
    for (;;) {
        struct sink_client *c = malloc(sizeof *c);
        pthread_t id;
        *c = (struct sink_client){.fd = accept(fd, NULL, NULL), .ctx = ctx};
        if (c->fd < 0 || pthread_create(&id, NULL, run_sink_client, c) != 0)
            fail("accept");
        pthread_detach(id);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct work w = {.ctx = SSL_CTX_new(TLS_client_method())};
    signal(SIGPIPE, SIG_IGN); // a peer that is gone is told by the write
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc < 4) {
        fprintf(stderr, "usage: tls_sessions rate|hold|send|sink PORT ...\n");
        return 2;
    }
    w.port = atoi(argv[2]);
    if (strcmp(argv[1], "sink") == 0 && argc == 5)
        sink(w.port, argv[3], argv[4]);
    if (strcmp(argv[1], "hold") == 0)
        return hold(&w, atol(argv[3]));
    if (strcmp(argv[1], "rate") == 0 && argc == 6) {
        w.resumes = strcmp(argv[5], "resumed") == 0;
        return run_threads(&w, atoi(argv[3]), atol(argv[4]), run_rate);
    }
    if (strcmp(argv[1], "send") == 0 && argc == 6) {
        w.sends = 1;
        w.message = make_message(atol(argv[5]));
        return run_threads(&w, atoi(argv[3]), atol(argv[4]), run_send);
    }
    fprintf(stderr, "tls_sessions: what to do?\n");
    return 2;
}
