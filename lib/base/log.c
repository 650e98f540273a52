// SPDX-License-Identifier: ISC
// log.c: one line, one write, to syslog, a file or standard error.
// Trust: arguments may be peer data; control characters never reach a sink.
// Limits: 2,000 bytes of text a line.
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/base/clock.h"

enum { TEXT_MAX = 2000, HEAD_MAX = 320, NAME_MAX_LEN = 128, TIME_LEN = 15 };

struct log_state {
    enum log_target target;
    int fd;     // LOG_TO_FD
    int syslog; // socket, or -1
    int facility;
    bool debug, quiet;
    char tag[NAME_MAX_LEN];
    char host[NAME_MAX_LEN];
    char program[NAME_MAX_LEN]; // for standard error; "" = do not print there
    pid_t pid;
    int64_t syslog_retry; // second from which a missing syslog socket is tried again
    pthread_mutex_t lock; // guards what follows
    int64_t second;       // that `time` shows
    char time[64];
};
static struct log_state state = {
    .target = LOG_TO_STDERR, .fd = -1, .syslog = -1, .facility = LOG_MAIL, .lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_once_t fork_watch = PTHREAD_ONCE_INIT;

// ---- The forms of a line

static void forget_pid(void)
{
    state.pid = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_pid);
}

int log_pid(void)
{
    pthread_once(&fork_watch, watch_forks);
    if (state.pid == 0)
        state.pid = getpid();
    return (int)state.pid;
}

// Copies the time of this second to out (TIME_LEN bytes and NUL); asks for local time once a second only.
static void copy_time(char *out)
{
    int64_t now = clock_wall();
    pthread_mutex_lock(&state.lock);
    if (now != state.second || state.time[0] == '\0') {
        struct buf text = BUF_INIT;
        clock_add_syslog(&text, now);
        snprintf(state.time, sizeof state.time, "%.*s", TIME_LEN, buf_cstr(&text));
        buf_release(&text);
        state.second = now;
    }
    memcpy(out, state.time, TIME_LEN + 1);
    pthread_mutex_unlock(&state.lock);
}

static const char *level_prefix(enum log_level level)
{
    static const char *const prefixes[] = {"", "warning: ", "error: ", "fatal: ", "panic: ", ""};
    return prefixes[level];
}

static int level_priority(enum log_level level)
{
    static const int priorities[] = {LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT, LOG_CRIT, LOG_DEBUG};
    return priorities[level];
}

// ---- Sinks

static void syslog_connect(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    state.syslog_retry = clock_wall() + 1;
    if (state.syslog >= 0)
        close(state.syslog);
    state.syslog = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (state.syslog < 0)
        return;
    // A hung syslog daemon must not stop the mail: wait for it a second at most, then lose the line.
    struct timeval limit = {.tv_sec = 1};
    setsockopt(state.syslog, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(state.syslog, (struct sockaddr *)&sun, sizeof sun) < 0) {
        close(state.syslog);
        state.syslog = -1;
    }
}

static void syslog_send(const char *line, size_t len)
{
    if (state.syslog >= 0 && send(state.syslog, line, len, MSG_NOSIGNAL) >= 0)
        return;
    if (state.syslog >= 0 && errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET && errno != EBADF)
        return;
    if (state.syslog < 0 && clock_wall() < state.syslog_retry)
        return;
    syslog_connect();
    if (state.syslog >= 0)
        (void)!send(state.syslog, line, len, MSG_NOSIGNAL);
}

static void write_line(int fd, const char *line, size_t len)
{
    while (write(fd, line, len) < 0 && errno == EINTR)
        continue;
}

// `line` has HEAD_MAX free bytes in front of the text: the head is put there, so that each sink takes one write.
static void emit(char *text, size_t text_len, enum log_level level)
{
    char head[HEAD_MAX], time_text[64];
    int len = 0;
    if (state.target == LOG_TO_SYSLOG || state.target == LOG_TO_FD)
        copy_time(time_text);
    if (state.target == LOG_TO_SYSLOG) {
        len = snprintf(head, sizeof head, "<%d>%s %s[%d]: ", state.facility | level_priority(level), time_text,
                       state.tag, log_pid());
        memcpy(text - len, head, (size_t)len);
        syslog_send(text - len, text_len + (size_t)len);
    } else if (state.target == LOG_TO_FD) {
        len = snprintf(head, sizeof head, "%s %s %s[%d]: ", time_text, state.host, state.tag, log_pid());
        memcpy(text - len, head, (size_t)len);
        text[text_len] = '\n';
        write_line(state.fd, text - len, text_len + (size_t)len + 1);
    }
    if (state.target == LOG_TO_STDERR || state.program[0]) {
        len = snprintf(head, sizeof head, "%s: ", state.program[0] ? state.program : state.tag);
        if (state.program[0] == '\0' && state.tag[0] == '\0')
            len = 0;
        memcpy(text - len, head, (size_t)len);
        text[text_len] = '\n';
        write_line(STDERR_FILENO, text - len, text_len + (size_t)len + 1);
    }
}

// ---- The interface

void log_open(enum log_target target, int fd, const char *tag, const char *host)
{
    pthread_once(&fork_watch, watch_forks);
    tzset(); // reads the zone file now: later there may be a chroot
    state.target = target;
    state.fd = fd;
    snprintf(state.tag, sizeof state.tag, "%s", tag ? tag : "");
    snprintf(state.host, sizeof state.host, "%s", host ? host : "");
    state.pid = 0;
    pthread_mutex_lock(&state.lock);
    state.time[0] = '\0';
    pthread_mutex_unlock(&state.lock);
    if (target == LOG_TO_SYSLOG)
        syslog_connect();
}

void log_add_stderr(const char *program)
{
    snprintf(state.program, sizeof state.program, "%s", program ? program : "");
}

int log_set_facility(const char *name)
{
    static const struct {
        const char *name;
        int facility;
    } known[] = {{"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},     {"daemon", LOG_DAEMON},
                 {"ftp", LOG_FTP},       {"kern", LOG_KERN},         {"lpr", LOG_LPR},       {"mail", LOG_MAIL},
                 {"news", LOG_NEWS},     {"syslog", LOG_SYSLOG},     {"user", LOG_USER},     {"uucp", LOG_UUCP},
                 {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
                 {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},     {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (str_is_nocase(str_from(name), str_from(known[i].name))) {
            state.facility = known[i].facility;
            return 0;
        }
    }
    return -1;
}

void log_set_debug(bool on)
{
    state.debug = on;
}

bool log_is_debug(void)
{
    return state.debug;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    log_vline(level, format, ap);
    va_end(ap);
}

bool log_set_quiet(bool on)
{
    bool before = state.quiet;
    state.quiet = on;
    return before;
}

void log_vline(enum log_level level, const char *format, va_list ap)
{
    if (state.quiet && level != LOG_LEVEL_FATAL && level != LOG_LEVEL_PANIC)
        return;
    int saved = errno;
    char room[HEAD_MAX + TEXT_MAX + 2];
    char *text = room + HEAD_MAX;
    int len = snprintf(text, TEXT_MAX + 1, "%s", level_prefix(level));
    errno = saved; // for %m
    int more = vsnprintf(text + len, (size_t)(TEXT_MAX + 1 - len), format, ap);
    if (more < 0)
        more = 0;
    len = len + more > TEXT_MAX ? TEXT_MAX : len + more;
    for (int i = 0; i < len; i++)
        if ((unsigned char)text[i] < 32 || text[i] == 127)
            text[i] = '?';
    emit(text, (size_t)len, level);
    errno = saved;
}

// One line of a pair: to syslog at once, to a file into *out.
static void add_pair_line(struct buf *out, const char *time_text, struct str tag, struct str text)
{
    size_t start = out->len;
    if (state.target == LOG_TO_SYSLOG)
        buf_addf(out, "<%d>%s ", state.facility | LOG_INFO, time_text);
    else if (state.target == LOG_TO_FD)
        buf_addf(out, "%s %s ", time_text, state.host);
    buf_add_printable(out, tag, NAME_MAX_LEN);
    buf_add_cstr(out, ": ");
    buf_add_printable(out, text, TEXT_MAX);
    if (state.target == LOG_TO_SYSLOG) {
        syslog_send(out->ptr + start, out->len - start);
        buf_truncate(out, start);
    } else {
        buf_add_char(out, '\n');
    }
}

void log_line_pair(struct str first_tag, struct str first_text, struct str text)
{
    if (first_tag.len == 0 || state.program[0]) { // programs that print have no second name
        log_line(LOG_LEVEL_INFO, STR_FMT, STR_ARG(text));
        return;
    }
    int saved = errno;
    char time_text[64], tag[NAME_MAX_LEN + 16];
    struct buf lines = BUF_INIT;
    copy_time(time_text);
    snprintf(tag, sizeof tag, "%s[%d]", state.tag, log_pid());
    add_pair_line(&lines, time_text, first_tag, first_text);
    add_pair_line(&lines, time_text, str_from(tag), text);
    if (lines.len > 0)
        write_line(state.target == LOG_TO_FD ? state.fd : STDERR_FILENO, lines.ptr, lines.len);
    buf_release(&lines);
    errno = saved;
}
