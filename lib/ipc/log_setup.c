// SPDX-License-Identifier: ISC
// log_setup.c: chooses the sink of a program's log lines.
#include "lib/ipc/log_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"

enum { HANDED_DOWN_FD = 4 };

// `program` is the last part of the tag, or, when it contains a slash, all of it.
static void open_sink(enum log_target target, int fd, const struct settings *s, const char *program)
{
    struct buf tag = BUF_INIT;
    struct str host = STR("localhost"), rest = STR_NULL;
    if (s != NULL) {
        rest = s->myhostname;
        str_cut(&rest, '.', &host);
        log_set_facility(s->syslog_facility.ptr);
    }
    if (strchr(program, '/') == NULL)
        buf_addf(&tag, STR_FMT "/", STR_ARG(s ? s->syslog_name : STR("postfix")));
    buf_add_cstr(&tag, program);
    struct buf label = BUF_INIT;
    buf_add_str(&label, host);
    log_open(target, fd, buf_cstr(&tag), buf_cstr(&label));
    buf_release(&tag);
    buf_release(&label);
}

static void open_handed_down(const struct settings *s, const char *program)
{
    const char *how = getenv("DROMOS_LOG");
    if (how != NULL && strcmp(how, "file") == 0 && fcntl(HANDED_DOWN_FD, F_GETFL) >= 0)
        open_sink(LOG_TO_FD, HANDED_DOWN_FD, s, program);
    else if (how != NULL && strcmp(how, "stderr") == 0)
        open_sink(LOG_TO_STDERR, -1, s, program);
    else
        open_sink(LOG_TO_SYSLOG, -1, s, program);
}

void log_setup_early(const char *program)
{
    open_handed_down(NULL, program);
}

void log_setup_daemon(const struct settings *s, const char *program)
{
    open_handed_down(s, program);
}

// A datagram socket to postlogd: one line is one datagram. -1 when nobody listens.
static int connect_postlogd(const struct settings *s)
{
    struct buf path = BUF_INIT;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    buf_addf(&path, STR_FMT "/public/postlog", STR_ARG(s->queue_directory));
    int fd = -1;
    if (path.len < sizeof sun.sun_path) {
        memcpy(sun.sun_path, buf_cstr(&path), path.len + 1);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct timeval limit = {.tv_sec = 1};
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
            close(fd);
            fd = -1;
        }
    }
    buf_release(&path);
    return fd;
}

void log_setup_command(const struct settings *s, const char *program)
{
    int fd = -1;
    bool is_file = s->maillog_file.len > 0;
    if (is_file && geteuid() == 0) // root needs no help, and its lines come even while postlogd ends
        (void)log_setup_open_file(s, &fd, NULL);
    if (is_file && fd < 0)
        fd = connect_postlogd(s);
    if (is_file && fd < 0)
        (void)log_setup_open_file(s, &fd, NULL); // in rootless instances
    open_sink(fd >= 0 ? LOG_TO_FD : LOG_TO_SYSLOG, fd, s, program);
}

void log_setup_file(const struct settings *s, const char *program, int fd)
{
    open_sink(LOG_TO_FD, fd, s, program);
}

int log_setup_open_file(const struct settings *s, int *fd_r, struct err *err)
{
    struct str rest = s->maillog_file_prefixes, prefix;
    bool is_allowed = false;
    while (str_token(&rest, ", \t", &prefix))
        if (str_starts(s->maillog_file, prefix))
            is_allowed = true;
    if (!is_allowed)
        return err_set(err, ERR_PERMANENT,
                       "maillog_file " STR_FMT " does not start with one of maillog_file_prefixes: " STR_FMT,
                       STR_ARG(s->maillog_file), STR_ARG(s->maillog_file_prefixes));
    if (str_is(s->maillog_file, STR("/dev/stdout"))) {
        *fd_r = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        return *fd_r >= 0 ? 0 : err_errno(err, "standard output for maillog_file");
    }
    unsigned mode = 0600;
    str_to_octal(s->maillog_file_permissions, &mode);
    *fd_r = open(s->maillog_file.ptr, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
                 (mode_t)(mode & 0666));
    return *fd_r >= 0 ? 0 : err_errno(err, "open maillog_file " STR_FMT, STR_ARG(s->maillog_file));
}
