// SPDX-License-Identifier: ISC
// stream.c: buffered, deadline-bound byte streams; one read a wake-up, one write a flush.
// Trust: everything read is hostile; nothing is interpreted here but line ends.
// Suspends: reading, flushing, connecting.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/stream_internal.h"
#include "lib/net/tls_internal.h"

#define READ_SIZE_DEFAULT 4096
#define READ_SIZE_MAX     (64 * 1024)

struct stream {
    struct co_fd *fd;
    struct tls *tls; // NULL: in the clear
    int64_t deadline;
    unsigned char *data; // read buffer, NULL while idle
    size_t cap;
    size_t start, end; // unread bytes are data[start..end)
    size_t scanned;    // of them, how many are known to hold no LF
    size_t read_size;
    struct buf output;
    bool is_eof;
    bool has_failed;
    struct err failure;
};

struct stream *stream_new(int fd)
{
    struct stream *s = MEM_NEW(struct stream);

    s->fd = co_fd_new(fd);
    s->deadline = CLOCK_NEVER; // until the owner sets one: no wait happens before
    s->read_size = READ_SIZE_DEFAULT;
    return s;
}

void stream_free(struct stream *s)
{
    if (s == NULL)
        return;
    int fd = co_fd_number(s->fd);
    tls_free(s->tls);
    co_fd_free(s->fd);
    close(fd);
    mem_free(s->data);
    buf_release(&s->output);
    mem_free(s);
}

int stream_fd(const struct stream *s)
{
    return co_fd_number(s->fd);
}

void stream_set_deadline(struct stream *s, int64_t deadline)
{
    s->deadline = deadline;
}

struct co_fd *stream_co_fd(struct stream *s)
{
    return s->fd;
}

int64_t stream_deadline(const struct stream *s)
{
    return s->deadline;
}

struct tls *stream_tls(const struct stream *s)
{
    return s->tls;
}

void stream_set_tls(struct stream *s, struct tls *t)
{
    if (s->tls != NULL)
        bug("a stream starts TLS twice");
    stream_discard_input(s);
    buf_clear(&s->output);
    s->tls = t;
}

int stream_fail(struct stream *s, const char *what, struct err *err)
{
    int error = errno;

    err_errno(&s->failure, "%s", what);
    if (error == ETIMEDOUT)
        s->failure.kind = ERR_TIMEOUT;
    else if (error == ECANCELED)
        s->failure.kind = ERR_CANCELLED;
    else if (error == ECONNRESET || error == EPIPE || error == ENOTCONN || error == ESHUTDOWN || error == EPROTO)
        s->failure.kind = ERR_PROTOCOL;
    s->has_failed = true;
    if (err != NULL)
        *err = s->failure;
    return -1;
}

static int stream_failed_before(struct stream *s, struct err *err)
{
    if (err != NULL)
        *err = s->failure;
    return -1;
}

// Makes room for at least one byte more, and for read_size where that costs no copying of unread data.
static void make_room(struct stream *s, size_t wanted)
{
    if (s->start == s->end)
        s->start = s->end = 0;
    if (s->start > 0 && s->cap - s->end < s->read_size) {
        memmove(s->data, s->data + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    if (wanted < s->read_size)
        wanted = s->read_size;
    if (s->data == NULL || (s->end == s->cap && s->cap < wanted)) {
        s->data = mem_realloc(s->data, wanted);
        s->cap = wanted;
    } else if (s->end == s->cap) {
        s->cap *= 2;
        s->data = mem_realloc(s->data, s->cap);
    }
}

// One read. 1 got bytes, 0 end of file, -1.
static int fill(struct stream *s, size_t wanted, struct err *err) CO
{
    if (s->has_failed)
        return stream_failed_before(s, err);
    if (s->is_eof)
        return 0;
    make_room(s, wanted);
    size_t room = s->cap - s->end;
    if (room > READ_SIZE_MAX)
        room = READ_SIZE_MAX;
    ssize_t n = s->tls != NULL ? tls_read(s->tls, s->data + s->end, room, s->deadline)
                               : co_read(s->fd, s->data + s->end, room, s->deadline);
    if (n < 0)
        return stream_fail(s, "read", err);
    if (n == 0) {
        s->is_eof = true;
        return 0;
    }
    s->end += (size_t)n;
    if ((size_t)n < room && s->tls == NULL)
        co_fd_short_read(s->fd);
    return 1;
}

// Hands out `length` bytes as the line and drops `length + ending` from the buffer.
static int take_line(struct stream *s, size_t length, size_t ending, struct raw *line_r)
{
    *line_r = (struct raw){s->data + s->start, length};
    s->start += length + ending;
    s->scanned = 0;
    return 1;
}

int stream_read_line(struct stream *s, size_t max, struct raw *line_r, enum line_end *end_r, struct err *err)
{
    for (;;) {
        size_t have = s->end - s->start;
        const unsigned char *from = have == 0 ? NULL : s->data + s->start;
        const unsigned char *lf = have == s->scanned ? NULL : memchr(from + s->scanned, '\n', have - s->scanned);
        if (lf != NULL) {
            size_t length = (size_t)(lf - from);
            bool is_crlf = length > 0 && from[length - 1] == '\r';
            length -= is_crlf;
            *end_r = length > max ? LINE_CUT : is_crlf ? LINE_CRLF : LINE_LF;
            return take_line(s, length > max ? max : length, length > max ? 0 : 1U + is_crlf, line_r);
        }
        s->scanned = have;
        if (have > max + 1 || (have > max && from[have - 1] != '\r')) {
            *end_r = LINE_CUT;
            return take_line(s, max, 0, line_r);
        }
        int got = fill(s, max + 2, err);
        if (got < 0)
            return -1;
        if (got == 0) {
            have = s->end - s->start;
            *end_r = have > max ? LINE_CUT : LINE_EOF;
            return have == 0 ? 0 : take_line(s, have > max ? max : have, 0, line_r);
        }
    }
}

int stream_peek_more(struct stream *s, size_t have, struct raw *data_r, struct err *err)
{
    while (s->end - s->start <= have) {
        int got = fill(s, have + 1, err);
        if (got <= 0)
            return got;
    }
    *data_r = (struct raw){s->data + s->start, s->end - s->start};
    return 1;
}

int stream_peek(struct stream *s, struct raw *data_r, struct err *err)
{
    return stream_peek_more(s, 0, data_r, err);
}

void stream_consume(struct stream *s, size_t n)
{
    if (n > s->end - s->start)
        bug("stream_consume: more than was read");
    s->start += n;
    s->scanned = n < s->scanned ? s->scanned - n : 0;
}

size_t stream_buffered(const struct stream *s)
{
    return s->end - s->start;
}

struct raw stream_peek_buffered(const struct stream *s)
{
    return (struct raw){s->start == s->end ? NULL : s->data + s->start, s->end - s->start};
}

void stream_wipe(struct stream *s)
{
    if (s->output.ptr != NULL)
        explicit_bzero(s->output.ptr + s->output.len, s->output.cap - s->output.len);
    if (s->data == NULL)
        return;
    explicit_bzero(s->data, s->start);
    explicit_bzero(s->data + s->end, s->cap - s->end);
}

void stream_discard_input(struct stream *s)
{
    s->start = s->end = s->scanned = 0;
}

// Is there something in the kernel: 1 yes (end of file and errors count), 0 no.
static bool kernel_has_input(struct stream *s)
{
    char byte;
    if (s->tls != NULL)
        return tls_has_input(s->tls);
    ssize_t n = recv(stream_fd(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n >= 0)
        return true;
    if (errno == ENOTSOCK) {
        struct pollfd p = {.fd = stream_fd(s), .events = POLLIN};
        return poll(&p, 1, 0) > 0;
    }
    return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
}

bool stream_is_readable_now(struct stream *s)
{
    return s->end > s->start || s->is_eof || s->has_failed || kernel_has_input(s);
}

bool stream_is_alive(struct stream *s)
{
    if (s->end > s->start || s->is_eof || s->has_failed)
        return false;
    return (s->tls == NULL && !co_fd_may_read(s->fd)) || !kernel_has_input(s);
}

void stream_write(struct stream *s, const void *data, size_t len)
{
    buf_add(&s->output, data, len);
}

void stream_write_str(struct stream *s, struct str text)
{
    buf_add_str(&s->output, text);
}

void stream_printf(struct stream *s, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    buf_vaddf(&s->output, format, ap);
    va_end(ap);
}

struct buf *stream_output(struct stream *s)
{
    return &s->output;
}

size_t stream_unflushed(const struct stream *s)
{
    return s->output.len;
}

int stream_flush(struct stream *s, struct err *err)
{
    if (s->has_failed)
        return stream_failed_before(s, err);
    if (s->output.len == 0)
        return 0;
    int64_t rc = s->tls != NULL ? tls_write_all(s->tls, s->output.ptr, s->output.len, s->deadline)
                                : co_write_all(s->fd, s->output.ptr, s->output.len, s->deadline);
    if (rc < 0)
        return stream_fail(s, "write", err);
    buf_clear(&s->output);
    return 0;
}

void stream_send_last(struct stream *s, struct str text)
{
    if (s->tls != NULL)
        tls_send_now(s->tls, text);
    else
        (void)!send(stream_fd(s), text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void stream_set_read_size(struct stream *s, size_t size)
{
    s->read_size = size < 1 ? 1 : size > READ_SIZE_MAX ? READ_SIZE_MAX : size;
}

void stream_idle(struct stream *s)
{
    if (s->start == s->end) {
        mem_free(s->data);
        s->data = NULL;
        s->cap = s->start = s->end = s->scanned = 0;
    }
    if (s->output.len == 0)
        buf_release(&s->output);
}

struct stream *stream_connect(const struct net_addr *to, const struct net_addr *source, int64_t deadline,
                              struct err *err)
{
    const int on = 1;
    int family = net_addr_family(to);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        err_errno(err, "cannot create a socket");
        return NULL;
    }
    if (source != NULL && bind(fd, (const struct sockaddr *)&source->sa, source->len) < 0) {
        err_errno(err, "cannot bind the source address");
        close(fd);
        return NULL;
    }
    if (family != AF_UNIX) // every write of ours is a whole command group or a large piece of content
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct stream *s = stream_new(fd);
    if (co_connect(s->fd, (const struct sockaddr *)&to->sa, to->len, deadline) < 0) {
        stream_fail(s, "connect", err);
        stream_free(s);
        return NULL;
    }
    return s;
}
