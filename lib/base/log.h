// SPDX-License-Identifier: ISC
// log.h: one line, one write. Where lines go is decided once at start (log_open); no line passes through another
// process unless the administrator configured that.
//
// The text must be one line; control characters in arguments are replaced by '?' by log_line itself, so callers may
// pass peer data through %s. A line is cut at 2,000 bytes of text.
#ifndef DROMOS_BASE_LOG_H
#define DROMOS_BASE_LOG_H

#include "lib/base/str.h"

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL, LOG_LEVEL_PANIC, LOG_LEVEL_DEBUG };

enum log_target {
    LOG_TO_SYSLOG, // datagrams to /dev/log, facility mail unless log_set_facility
    LOG_TO_FD,     // an open file, O_APPEND: lines "Mmm dd hh:mm:ss HOST TAG[PID]: TEXT"
    LOG_TO_STDERR, // "PROGRAM: TEXT" as commands print
};

// `tag` is as in the log line: "postfix/smtpd"; `host` is the first label of myhostname (LOG_TO_FD only). Both are
// copied. fd is used for LOG_TO_FD only and stays the caller's. For LOG_TO_SYSLOG the connection is opened at once, so
// that it works after chroot; it is opened again when the socket went away and can be reached.
void log_open(enum log_target target, int fd, const char *tag, const char *host);
void log_add_stderr(const char *program); // in addition print "PROGRAM: TEXT" on standard error (commands)
int log_set_facility(const char *name);   // "mail", "local3", …; -1 if unknown
void log_set_debug(bool on);
bool log_set_quiet(bool on); // only what ends the program is logged; returns what was set before
bool log_is_debug(void);
int log_pid(void); // this process, as lines name it: asked for once, and anew after a fork

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_vline(enum log_level level, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
// Two lines, in one write where the sink is a file: first "first_tag: first_text", for a process that could not log it
// itself in time (first_tag is as "postfix/smtpd[123]"; "" for no such line), then `text` under the own tag.
void log_line_pair(struct str first_tag, struct str first_text, struct str text);
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)  // prefix "warning: "
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__) // prefix "error: "
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (log_is_debug())                                                                                            \
            log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                                    \
    } while (0)

#endif
