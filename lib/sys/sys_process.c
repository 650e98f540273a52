// SPDX-License-Identifier: ISC
// sys_process.c: starting programs with an explicit descriptor table, and what a process knows of its machine.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "lib/sys/sys_internal.h"

enum { SPAWN_FDS_MAX = 300, FD_LIMIT_SANE = 262144 };

// ---- Spawning. The child of vfork shares our memory until it runs the program: it makes system calls only.

static int place_fds(const struct sys_spawn *how, int *moved)
{
    int end = how->first_fd + (int)how->fd_count;
    for (unsigned i = 0; i < how->fd_count; i++) // out of the way first: a source may stand where a target goes
        if ((moved[i] = fcntl(how->fds[i], F_DUPFD, end > 3 ? end : 3)) < 0)
            return -1;
    if (!how->keeps_stdio) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
            return -1;
    }
    for (unsigned i = 0; i < how->fd_count; i++)
        if (dup2(moved[i], how->first_fd + (int)i) < 0)
            return -1;
    if (how->first_fd > 3)
        close_range(3, (unsigned)how->first_fd - 1, 0);
    close_range((unsigned)(end > 3 ? end : 3), ~0U, 0);
    return 0;
}

static void run_child(const struct sys_spawn *how, int *moved)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        sigaction(signo, &standard, NULL);
    if (how->new_session)
        setsid();
    if (place_fds(how, moved) < 0)
        return;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(how->path, (char *const *)(uintptr_t)how->argv, (char *const *)(uintptr_t)how->envp);
}

int sys_spawn(const struct sys_spawn *how, pid_t *pid_r, struct err *err)
{
    int moved[SPAWN_FDS_MAX];
    volatile int child_errno = 0;
    sigset_t all, before;
    if (how->fd_count > SPAWN_FDS_MAX)
        return err_set(err, ERR_PERMANENT, "%u descriptors are too many for %s", how->fd_count, how->path);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        run_child(how, moved);
        child_errno = errno;
        _exit(127);
    }
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    if (pid < 0)
        return err_errno(err, "start %s", how->path);
    if (child_errno != 0) { // it has ended already; no one else may see that pid
        siginfo_t info;
        waitid(P_PID, (id_t)pid, &info, WEXITED);
        errno = child_errno;
        return err_errno(err, "start %s", how->path);
    }
    *pid_r = pid;
    return 0;
}

// ---- The machine

int sys_run(const char *path, const char *const *argv)
{
    fflush(NULL); // what was printed comes before what the program prints
    pid_t pid = fork();
    if (pid == 0) {
        execvp(path, (char *const *)(uintptr_t)argv);
        die("execute %s: %s", path, strerror(errno));
    }
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

unsigned sys_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

int sys_raise_fd_limit(unsigned *limit_r)
{
    struct rlimit limit;
    *limit_r = 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    rlim_t wanted = limit.rlim_max > FD_LIMIT_SANE ? FD_LIMIT_SANE : limit.rlim_max;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            return -1;
    }
    *limit_r = (unsigned)limit.rlim_cur;
    return 0;
}

int sys_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof sun.sun_path)
        return 0;
    memcpy(sun.sun_path, path, strlen(path));
    if (path[0] == '@')
        sun.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sun, len);
    close(fd);
    return n < 0 ? -1 : 0;
}

void sys_no_core(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, SYS_SANITIZED, 0, 0, 0);
}
