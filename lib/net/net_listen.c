// SPDX-License-Identifier: ISC
// net_listen.c: listening sockets.
#include <netinet/in.h>
#include <unistd.h>

#include "lib/net/addr.h"

int net_listen(const struct net_addr *a, int backlog, struct err *err)
{
    const int on = 1;
    int family = net_addr_family(a);
    struct buf text = BUF_INIT;

    net_addr_add_text(&text, a);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_errno(err, "cannot create a socket for %s", buf_cstr(&text));
    } else if ((family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
               (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
               bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0 || listen(fd, backlog) < 0) {
        err_errno(err, "cannot listen on %s port %d", buf_cstr(&text), (int)net_addr_port(a));
        close(fd);
        fd = -1;
    }
    buf_release(&text);
    return fd;
}
