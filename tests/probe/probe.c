// SPDX-License-Identifier: ISC
// probe.c: a daemon for the tests of master and of the service skeleton; what it is depends on the name it is started
// by.
//
// It greets with what it knows about itself, then obeys lines: "echo" comes back, "quit" ends the session, "abort" and
// "exit" end the process, "hang" stops its loop, "jail" and "open PATH" tell what the kernel refuses.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/service.h"

enum { LINE_BYTES = 200 };

static void tell_jail(struct buf *out)
{
    char *argv[] = {NULL};
    int ran = execv("/bin/true", argv);
    buf_addf(out, "exec %s\n", ran < 0 && errno == EPERM ? "refused" : "possible");
}

static void tell_open(struct str path, struct buf *out)
{
    char *name = mem_dup_str(path);
    int file = open(name, O_RDONLY);
    buf_addf(out, "%s\n", file >= 0 ? "opened" : strerror(errno));
    mem_free(name);
    if (file >= 0)
        close(file);
}

// False: the session is over.
static bool obey(struct str line, struct buf *out)
{
    if (str_is(line, STR("quit")))
        return false;
    if (str_is(line, STR("abort")))
        abort();
    if (str_is(line, STR("exit")))
        exit(3);
    if (str_is(line, STR("hang")))
        sleep(60); // the loop stands still
    if (str_starts(line, STR("open ")))
        tell_open(str_slice(line, 5, line.len), out);
    else if (str_is(line, STR("jail")))
        tell_jail(out);
    else
        buf_addf(out, STR_FMT "\n", STR_ARG(line));
    return true;
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct co_fd *cfd = co_fd_new(client->fd);
    struct buf out = BUF_INIT;
    char line[LINE_BYTES];
    buf_addf(&out, "%s %s pid=%d uid=%d sessions=%u limit=%u\n", ctx->name, ctx->program, (int)getpid(), (int)geteuid(),
             service_sessions(), ctx->session_limit);
    bool goes_on = true;
    while (goes_on && co_write_all(cfd, out.ptr, out.len, clock_ms() + 5000) >= 0) {
        ssize_t n = co_read(cfd, line, sizeof line, clock_ms() + 60000);
        buf_clear(&out);
        goes_on = n > 0 && obey(str_trim(str_of(line, (size_t)n)), &out);
    }
    buf_release(&out);
    co_fd_free(cfd);
    close(client->fd);
}

static void trigger(struct service_context *ctx, char request)
{
    log_info("trigger %c", request);
}

static void retire(struct service_context *ctx)
{
    log_info("retiring");
}

static int init(struct service_context *ctx, struct err *err)
{
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/broken", conf_dir(ctx->conf));
    bool is_broken = access(buf_cstr(&path), F_OK) == 0;
    buf_release(&path);
    return is_broken ? err_set(err, ERR_PERMANENT, "told to fail") : 0;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    struct service s = {.program = slash ? slash + 1 : argv[0], .init = init, .serve = serve, .retire = retire};
    struct str name = str_from(s.program);
    if (str_is(name, STR("qmgr"))) {
        s.flags = SERVICE_SOLITARY | SERVICE_WRITES_QUEUE;
        s.trigger = trigger;
    } else if (str_is(name, STR("smtpd"))) {
        s.flags = SERVICE_NETWORK;
    } else if (str_is(name, STR("local"))) {
        s.flags = SERVICE_KEEPS_ROOT;
    }
    return service_main(&s, argc, argv);
}
