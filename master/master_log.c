// SPDX-License-Identifier: ISC
// master_log.c: opens the log for master and, by descriptor, for all its children.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "master/master.h"

void master_log_open(struct master *m)
{
    const struct settings *s = &m->config->settings;
    struct err err = ERR_INIT;
    int fd = -1;
    bool is_file = s->maillog_file.len > 0;
    if (is_file && log_setup_open_file(s, &fd, &err) < 0)
        fd = -1;
    int former = m->log_fd;
    if (fd >= 0) {
        log_setup_file(s, "master", fd);
        m->log_kind = "DROMOS_LOG=file";
    } else {
        log_setup_daemon(s, "master"); // DROMOS_LOG is not set for master: syslog
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        m->log_kind = "DROMOS_LOG=syslog";
    }
    m->log_fd = fd;
    if (former >= 0)
        close(former);
    log_set_debug(m->verbosity > 0);
    if (is_file && err.kind != ERR_NONE)
        log_warn("%s; logging to syslog instead", err.text);
}
