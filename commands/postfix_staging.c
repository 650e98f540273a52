// SPDX-License-Identifier: ISC
// postfix_staging.c: the directories in which queue files are begun, where the file system is quicker with several of
// them.
// Trust: staging/ is root's own, so nobody can put a link in the place of what is made in it.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"

static bool is_of_use(struct control *c)
{
    int fd = open(c->settings.queue_directory.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is = fd >= 0 && sys_scans_freed_inodes(fd);
    if (fd >= 0)
        close(fd);
    return is;
}

static int spread(const char *staging, struct err *err)
{
    int fd = open(staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open directory %s", staging);
    int rc = sys_spread_subdirectories(fd);
    if (rc < 0)
        err_errno(err, "mark directory %s, so that its subdirectories spread over the disk", staging);
    close(fd);
    return rc;
}

void control_prepare_staging(struct control *c)
{
    const struct settings *s = &c->settings;
    struct err err = ERR_INIT;
    const char *staging = arena_strf(&c->arena, STR_FMT "/" QUEUE_STAGING, STR_ARG(s->queue_directory)).ptr;
    if (!is_of_use(c))
        return;
    int rc = sys_make_dir(staging, c->is_rootless ? 0700 : 0755, c->is_rootless ? c->owner.uid : 0, (gid_t)-1, &err);
    if (rc == 0)
        rc = spread(staging, &err);
    // The last one first: queue_is_staged asks for the first.
    for (int i = QUEUE_STAGING_DIRS - 1; i >= 0 && rc == 0; i--)
        rc = sys_make_dir(arena_strf(&c->arena, "%s/%02x", staging, (unsigned)i).ptr, 0700, c->owner.uid, (gid_t)-1,
                          &err);
    if (rc < 0)
        log_warn("%s: queue files are begun in incoming/, which is slower here", err.text);
}
