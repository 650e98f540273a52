// SPDX-License-Identifier: ISC
// master_listen.c: listening sockets of every type, made with root's rights for daemons that have none.
// Trust: queue subdirectories belong to mail_owner: nothing there is followed, only sockets and FIFOs are replaced.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "master/master.h"

enum { BACKLOG = 2048, DATAGRAM_ROOM = 1024 * 1024, BIND_TRIES = 100, BIND_PAUSE_US = 30000 };

// ---- Addresses of inet services

struct address_list {
    struct net_addr *items;
    size_t count;
};

static bool may_use_family(const struct settings *settings, int family)
{
    struct str rest = settings->inet_protocols, token;
    while (str_token(&rest, ", \t\r\n", &token)) {
        if (str_is_nocase(token, STR("all")) || str_is_nocase(token, family == AF_INET ? STR("ipv4") : STR("ipv6")))
            return true;
    }
    return false;
}

static void add_address(struct address_list *list, const struct net_addr *addr)
{
    for (size_t i = 0; i < list->count; i++)
        if (net_addr_is_same_host(&list->items[i], addr) && net_addr_port(&list->items[i]) == net_addr_port(addr))
            return;
    if (list->count < MASTER_LISTENERS_MAX)
        list->items[list->count++] = *addr;
}

// A literal address, or a name from /etc/hosts or DNS (this may wait: only at start and reload).
static int add_host(const struct settings *settings, struct str host, uint16_t port, struct address_list *list,
                    struct err *err)
{
    struct net_addr addr;
    struct str literal =
        str_slice(host, host.len > 0 && host.ptr[0] == '[', host.len - (str_ends(host, STR("]")) ? 1 : 0));
    if (net_addr_parse(literal, port, &addr) == 0) {
        if (may_use_family(settings, net_addr_family(&addr)))
            add_address(list, &addr);
        return 0;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char *name = mem_dup_str(host);
    int rc = getaddrinfo(name, NULL, &hints, &found);
    mem_free(name);
    if (rc != 0)
        return err_set(err, ERR_PERMANENT, "host not found: " STR_FMT ": %s", STR_ARG(host), gai_strerror(rc));
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (!may_use_family(settings, a->ai_family))
            continue;
        net_addr_from(a->ai_addr, a->ai_addrlen, &addr);
        net_addr_set_port(&addr, port);
        add_address(list, &addr);
    }
    freeaddrinfo(found);
    return 0;
}

static int add_interfaces(const struct settings *settings, uint16_t port, struct address_list *list, struct err *err)
{
    struct str rest = settings->inet_interfaces, token;
    while (str_token(&rest, ", \t\r\n", &token)) {
        int rc;
        if (str_is_nocase(token, STR("all")))
            rc = add_host(settings, STR("::"), port, list, err) | add_host(settings, STR("0.0.0.0"), port, list, err);
        else if (str_is_nocase(token, STR("loopback-only")))
            rc =
                add_host(settings, STR("127.0.0.1"), port, list, err) | add_host(settings, STR("::1"), port, list, err);
        else
            rc = add_host(settings, token, port, list, err);
        if (rc < 0)
            return -1;
    }
    return 0;
}

int master_listen_addresses(const struct settings *settings, const struct master_row *row, struct arena *arena,
                            struct net_addr **list_r, size_t *count_r, struct err *err)
{
    struct address_list list = {ARENA_ARRAY(arena, struct net_addr, MASTER_LISTENERS_MAX), 0};
    struct str host = STR_NULL, port_name = row->name;
    uint16_t port;
    if (str_find(row->name, ':') >= 0 && net_split_host_port(row->name, STR_NULL, &host, &port_name) < 0)
        return err_set(err, ERR_PERMANENT, "service " STR_FMT ": needs HOST:PORT or PORT", STR_ARG(row->name));
    if (net_port_by_name(port_name, &port) < 0)
        return err_set(err, ERR_PERMANENT, "service " STR_FMT ": unknown port or service name " STR_FMT,
                       STR_ARG(row->name), STR_ARG(port_name));
    int rc = host.len > 0 ? add_host(settings, host, port, &list, err) : add_interfaces(settings, port, &list, err);
    if (rc < 0)
        return -1;
    *list_r = list.items;
    *count_r = list.count;
    return 0;
}

static int open_inet(const struct net_addr *addr, int *fd_r, struct err *err)
{
    // Processes of a former master or configuration may still be closing the address: wait for them a little.
    for (int i = 0; i < BIND_TRIES; i++) {
        *fd_r = net_listen(addr, BACKLOG, err);
        if (*fd_r >= 0)
            return 0;
        if (err->errnum != EADDRINUSE)
            break;
        usleep(BIND_PAUSE_US);
    }
    struct buf text = BUF_INIT;
    net_addr_add_text(&text, addr);
    int saved = err->errnum;
    err_set(err, ERR_PERMANENT, "bind %s port %u: %s", buf_cstr(&text), net_addr_port(addr), strerror(saved));
    err->errnum = saved;
    buf_release(&text);
    return -1;
}

// ---- Local sockets and FIFOs

void master_listen_path(const struct master_row *row, struct buf *path_r)
{
    buf_addf(path_r, "%s/" STR_FMT, row->is_private ? "private" : "public", STR_ARG(row->name));
}

static int remove_stale(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(err, "stat %s", path);
    if (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode))
        return err_set(err, ERR_PERMANENT, "%s exists and is neither a socket nor a FIFO", path);
    return unlink(path) < 0 ? err_errno(err, "remove %s", path) : 0;
}

void master_listen_remove(const struct master_row *row)
{
    struct buf path = BUF_INIT;
    if (!str_is(row->type, STR("inet"))) {
        master_listen_path(row, &path);
        (void)remove_stale(buf_cstr(&path), NULL);
    }
    buf_release(&path);
}

static int bind_local(const char *path, int type, struct err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun.sun_path)
        return err_set(err, ERR_PERMANENT, "socket path too long: %s", path);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, "socket for %s", path);
    int room = DATAGRAM_ROOM;
    if (type == SOCK_DGRAM)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    // The directory protects the socket (private 0700, public 0710); the socket itself is open to all who get there.
    if (bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0 || chmod(path, 0666) < 0 ||
        (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
        err_errno(err, "listen at %s", path);
        close(fd);
        return -1;
    }
    return fd;
}

static int open_fifo(const char *path, struct err *err)
{
    if (mkfifo(path, 0622) < 0 || chmod(path, 0622) < 0)
        return err_errno(err, "create FIFO %s", path);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW); // read and write: it never reports its end
    return fd < 0 ? err_errno(err, "open FIFO %s", path) : fd;
}

int master_listen_open(struct master_service *s, const struct net_addr *addr, int *fd_r, struct err *err)
{
    if (addr != NULL)
        return open_inet(addr, fd_r, err);
    struct buf path = BUF_INIT;
    master_listen_path(s->row, &path);
    *fd_r = -1;
    if (remove_stale(buf_cstr(&path), err) == 0) {
        if (str_is(s->row->type, STR("fifo")))
            *fd_r = open_fifo(buf_cstr(&path), err);
        else
            *fd_r =
                bind_local(buf_cstr(&path), str_is(s->row->type, STR("unix-dgram")) ? SOCK_DGRAM : SOCK_STREAM, err);
    }
    if (*fd_r >= 0 && !s->master->is_rootless &&
        lchown(buf_cstr(&path), s->master->owner.uid, s->master->owner.gid) < 0)
        log_warn("change owner of %s: %s", buf_cstr(&path), strerror(errno));
    buf_release(&path);
    return *fd_r >= 0 ? 0 : -1;
}
