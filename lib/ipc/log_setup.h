// SPDX-License-Identifier: ISC
// log_setup.h: where a program's log lines go, by settings and by what master handed down.
//
// maillog_file set: master opens the file and gives it to its daemons as descriptor 4; commands send their lines as
// datagrams to public/postlog, where postlogd appends them. Otherwise, or when postlogd cannot be reached: syslog.
// The tag of a line is "$syslog_name/PROGRAM", or `program` itself when it contains a slash.
#ifndef DROMOS_IPC_LOG_SETUP_H
#define DROMOS_IPC_LOG_SETUP_H

#include "lib/conf/settings.h"

void log_setup_early(const char *program); // before settings are known; also for daemons not started by master
void log_setup_daemon(const struct settings *s, const char *program);
void log_setup_command(const struct settings *s,
                       const char *program); // does not print on standard error: see log_add_stderr
void log_setup_file(const struct settings *s, const char *program, int fd); // master, postlogd: an open file
// Opens maillog_file for appending after checking maillog_file_prefixes; "/dev/stdout" is a copy of descriptor 1.
int log_setup_open_file(const struct settings *s, int *fd_r, struct err *err);

#endif
