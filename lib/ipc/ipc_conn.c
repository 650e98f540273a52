// SPDX-License-Identifier: ISC
// ipc_conn.c: connections that carry frames, with descriptors where asked.
// Trust: the peer is hostile: at most FDS_MAX descriptors wait, unasked ones are closed.
// Suspends: connecting, sending, receiving.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/ipc/ipc_internal.h"

enum { READ_SIZE = 4096, KEEP_SIZE = 16384, FDS_MAX = 4, CONNECT_RETRY_MS = 20, TRIGGER_SECONDS = 10 };

struct ipc_conn {
    int fd;
    struct co_fd *cfd;
    struct buf in;
    size_t taken;     // bytes of `in` that earlier frames used up
    size_t last_size; // of the frame that the caller's view borrows
    bool has_ended;   // end of file seen
    bool is_broken;   // a frame was sent in part: nothing more can be sent
    int fds[FDS_MAX]; // received, not yet claimed by a frame
    unsigned fd_count;
    struct co_lock send_lock;
};

struct ipc_conn *ipc_conn_new(int fd)
{
    struct ipc_conn *c = MEM_NEW(struct ipc_conn);
    c->fd = fd;
    c->cfd = co_fd_new(fd);
    co_lock_init(&c->send_lock);
    return c;
}

void ipc_conn_free(struct ipc_conn *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->fd_count; i++)
        close(c->fds[i]);
    co_fd_free(c->cfd);
    close(c->fd);
    buf_wipe(&c->in); // it may have held a password
    mem_free(c);
}

void ipc_conn_wipe(struct ipc_conn *c)
{
    size_t used = c->taken + c->last_size;
    struct buf rest = BUF_INIT;
    buf_add(&rest, buf_cstr(&c->in) + used, c->in.len - used);
    buf_wipe(&c->in);
    c->in = rest;
    c->taken = c->last_size = 0;
}

int ipc_conn_fd(const struct ipc_conn *c)
{
    return c->fd;
}

// ---- Connecting

static int unix_address(const char *path, struct sockaddr_un *sun_r, struct err *err)
{
    *sun_r = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun_r->sun_path)
        return err_set(err, ERR_PERMANENT, "socket path too long: %s", path);
    memcpy(sun_r->sun_path, path, strlen(path) + 1);
    return 0;
}

struct ipc_conn *ipc_connect(const char *path, int64_t deadline, struct err *err)
{
    struct sockaddr_un sun;
    if (unix_address(path, &sun, err) < 0)
        return NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err_errno(err, "socket for %s", path);
        return NULL;
    }
    while (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        // EAGAIN: the service's backlog is full, and the kernel offers no event for it to become free.
        bool may_retry = (errno == EAGAIN || errno == EINTR) && clock_ms() < deadline && !co_is_cancelled();
        if (!may_retry) {
            if (errno == EAGAIN)
                errno = co_is_cancelled() ? ECANCELED : ETIMEDOUT;
            err_errno(err, "connect to %s", path);
            close(fd);
            return NULL;
        }
        int64_t retry = clock_ms() + CONNECT_RETRY_MS;
        co_sleep_until(retry < deadline ? retry : deadline);
    }
    return ipc_conn_new(fd);
}

// ---- Sending

static ssize_t send_some(struct ipc_conn *c, struct str data, int fd)
{
    if (fd < 0)
        return send(c->fd, data.ptr, data.len, MSG_NOSIGNAL);
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)data.ptr, data.len};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

static int send_all(struct ipc_conn *c, struct str data, int fd, int64_t deadline, struct err *err) CO
{
    bool has_begun = false;
    while (data.len > 0) {
        ssize_t n = send_some(c, data, fd);
        if (n > 0) {
            data = str_slice(data, (size_t)n, data.len);
            fd = -1;
            has_begun = true;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            co_fd_again(c->cfd, CO_WRITE);
            if (co_fd_wait(c->cfd, CO_WRITE, deadline) >= 0)
                continue;
        }
        c->is_broken = c->is_broken || has_begun;
        return err_errno(err, "send message");
    }
    return 0;
}

int ipc_send_fd(struct ipc_conn *c, struct ipc_msg *m, int fd, int64_t deadline, struct err *err)
{
    if (m->data.len < IPC_HEAD_SIZE) {
        buf_clear(&m->data);
        m->start = 0;
        return err_set(err, ERR_BUG, "no message to send");
    }
    if (fd >= 0)
        m->data.ptr[1] = (char)(IPC_VERSION | IPC_WITH_FD);
    int rc;
    if (co_lock_acquire(&c->send_lock, deadline) < 0) {
        rc = err_errno(err, "send message");
    } else {
        rc = c->is_broken ? err_set(err, ERR_PROTOCOL, "send message: the connection is cut off")
                          : send_all(c, buf_str(&m->data), fd, deadline, err);
        co_lock_release(&c->send_lock);
    }
    if (m->data.cap > KEEP_SIZE)
        buf_release(&m->data);
    buf_clear(&m->data);
    m->start = 0;
    return rc;
}

int ipc_send(struct ipc_conn *c, struct ipc_msg *m, int64_t deadline, struct err *err)
{
    return ipc_send_fd(c, m, -1, deadline, err);
}

// ---- Receiving

static struct raw buffered(const struct ipc_conn *c)
{
    return (struct raw){(const unsigned char *)buf_cstr(&c->in) + c->taken, c->in.len - c->taken};
}

// Forgets the frame that the last view borrowed, and moves what follows to the front when that is cheap.
static void drop_last(struct ipc_conn *c)
{
    c->taken += c->last_size;
    c->last_size = 0;
    if (c->taken == c->in.len) {
        c->taken = 0;
        buf_clear(&c->in);
        if (c->in.cap > KEEP_SIZE)
            buf_release(&c->in);
    }
}

static void keep_fds(struct ipc_conn *c, struct msghdr *msg)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
            if (c->fd_count < FDS_MAX)
                c->fds[c->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

// Reads once without waiting. Bytes, 0 end, -1 errno.
static ssize_t read_some(struct ipc_conn *c, size_t wanted)
{
    if (c->taken > 0) {
        buf_consume(&c->in, c->taken);
        c->taken = 0;
    }
    buf_reserve(&c->in, wanted);
    size_t room = c->in.cap - c->in.len - 1;
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct iovec iov = {c->in.ptr + c->in.len, room};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -1;
    c->in.len += (size_t)n;
    c->in.ptr[c->in.len] = '\0';
    if (msg.msg_controllen > 0)
        keep_fds(c, &msg); // a descriptor ends a read early, so a short one says nothing
    else if (n > 0 && (size_t)n < room)
        co_fd_short_read(c->cfd);
    return n;
}

static int fill(struct ipc_conn *c, size_t wanted, int64_t deadline, struct err *err) CO
{
    for (;;) {
        if (co_fd_wait(c->cfd, CO_READ, deadline) < 0)
            return err_errno(err, "receive message");
        ssize_t n = read_some(c, wanted);
        if (n > 0)
            return 1;
        if (n == 0) {
            c->has_ended = true;
            if (buffered(c).len == 0)
                return 0;
            return err_set(err, ERR_PROTOCOL, "receive message: the peer closed in the middle of one");
        }
        if (errno == ECONNRESET && buffered(c).len == 0) { // the peer closed without reading our last words
            c->has_ended = true;
            return 0;
        }
        if (errno == EAGAIN)
            co_fd_again(c->cfd, CO_READ);
        else if (errno != EINTR)
            return err_errno(err, "receive message");
    }
}

static int claim_fd(struct ipc_conn *c, struct ipc_view *view_r, struct err *err)
{
    if (c->fd_count == 0)
        return err_set(err, ERR_PROTOCOL, "malformed message: the announced descriptor is missing");
    view_r->fd = c->fds[0];
    c->fd_count--;
    memmove(c->fds, c->fds + 1, sizeof(int) * c->fd_count);
    return 1;
}

int ipc_recv(struct ipc_conn *c, struct ipc_view *view_r, int64_t deadline, struct err *err)
{
    drop_last(c);
    for (;;) {
        size_t size = 0;
        bool has_fd = false;
        struct raw input = buffered(c);
        int rc = ipc_frame_head(input, &size, &has_fd, err);
        if (rc < 0)
            return -1;
        if (rc > 0 && input.len >= size) {
            if (ipc_decode(input, view_r, &size, err) != 1)
                return -1;
            c->last_size = size;
            return has_fd ? claim_fd(c, view_r, err) : 1;
        }
        size_t missing = rc > 0 ? size - input.len : 0;
        rc = fill(c, missing > READ_SIZE ? missing : READ_SIZE, deadline, err);
        if (rc <= 0)
            return rc;
    }
}

bool ipc_has_input(struct ipc_conn *c)
{
    struct raw input = buffered(c);
    input.ptr += c->last_size;
    input.len -= c->last_size;
    size_t size = 0;
    bool has_fd;
    return ipc_frame_head(input, &size, &has_fd, NULL) > 0 && input.len >= size;
}

bool ipc_is_alive(struct ipc_conn *c)
{
    if (c->has_ended || c->is_broken)
        return false;
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

int ipc_call(struct ipc_conn *c, struct ipc_msg *request, struct ipc_view *answer_r, int64_t deadline, struct err *err)
{
    if (ipc_send(c, request, deadline, err) < 0)
        return -1;
    int rc = ipc_recv(c, answer_r, deadline, err);
    if (rc == 0)
        return err_set(err, ERR_TEMPORARY, "the service closed the connection without an answer");
    return rc < 0 ? -1 : 0;
}

// ---- Triggers

static int trigger_fifo(const char *path, struct str bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    ssize_t n = write(fd, bytes.ptr, bytes.len);
    int rc = n == (ssize_t)bytes.len ? 0 : err_errno(err, "write to %s", path);
    close(fd);
    return rc;
}

int ipc_trigger(const char *path, struct str bytes, struct err *err)
{
    struct stat st;
    struct sockaddr_un sun;
    if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        return trigger_fifo(path, bytes, err);
    if (unix_address(path, &sun, err) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, "socket for %s", path);
    struct timeval limit = {.tv_sec = TRIGGER_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int rc = 0;
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
        rc = err_errno(err, "connect to %s", path);
    else if (send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) != (ssize_t)bytes.len)
        rc = err_errno(err, "send to %s", path);
    close(fd);
    return rc;
}
