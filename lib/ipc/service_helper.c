// SPDX-License-Identifier: ISC
// service_helper.c: starts a process that does for a daemon what the daemon's jail forbids.
// Trust: runs before the first byte of input, with the privileges that master gave; the helper drops them by itself.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ipc/service_internal.h"
#include "lib/sys/sys.h"

enum { FIXED_ARGUMENTS = 12 };

// "-o name=value" for each override, after the options that every daemon gets.
static const char **command_line(struct service_run *run, const char *program)
{
    size_t count = 0, n = 0;
    char **overrides = run->options.overrides;

    while (overrides[count] != NULL)
        count++;
    const char **argv = ARENA_ARRAY(&run->arena, const char *, FIXED_ARGUMENTS + 2 * count);
    const char *const fixed[] = {program, "-l", "-n", run->options.name, "-t", "unix", "-s", "1"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        argv[n++] = fixed[i];
    if (run->options.is_chroot)
        argv[n++] = "-c";
    if (run->options.verbosity > 0)
        argv[n++] = "-v";
    for (size_t i = 0; i < count; i++) {
        argv[n++] = "-o";
        argv[n++] = overrides[i];
    }
    return argv;
}

int service_start_helper(struct service_context *ctx, const char *program, struct err *err)
{
    struct service_run *run = container_of(ctx, struct service_run, ctx);
    int status[2], requests[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, status) < 0)
        return err_errno(err, "socket for %s", program);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, requests) < 0) {
        close(status[0]);
        close(status[1]);
        return err_errno(err, "socket for %s", program);
    }
    struct str path = arena_strf(&run->arena, STR_FMT "/%s", STR_ARG(run->settings.daemon_directory), program);
    const int fds[] = {status[1], SERVICE_LOG_FD, requests[1]};
    const struct sys_spawn how = {.path = path.ptr,
                                  .argv = command_line(run, program),
                                  .envp = (const char *const *)environ,
                                  .fds = fds,
                                  .fd_count = 3,
                                  .first_fd = SERVICE_STATUS_FD};
    int rc = sys_spawn(&how, &pid, err);
    close(status[1]);
    close(requests[1]);
    if (rc == 0)
        return requests[0]; // status[0] closes with this process, which is how the helper learns of its end
    close(status[0]);
    close(requests[0]);
    return -1;
}
