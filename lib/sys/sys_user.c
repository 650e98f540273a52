// SPDX-License-Identifier: ISC
// sys_user.c: users and groups, and becoming one: for good, or for a while.
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/sys/sys.h"

enum { ENTRY_FIRST = 2048, ENTRY_MAX = 1024 * 1024 };

// One getpw*_r or getgr*_r call with growing room. 1 found, 0 absent, -1 failed.
struct lookup {
    const char *name; // NULL: by uid
    uid_t uid;
    struct passwd passwd;
    struct group group;
    char *room;
};

static int lookup_once(struct lookup *l, bool is_group, size_t size, bool *found_r)
{
    struct passwd *pw = NULL;
    struct group *gr = NULL;
    int rc;
    if (is_group)
        rc = getgrnam_r(l->name, &l->group, l->room, size, &gr);
    else if (l->name != NULL)
        rc = getpwnam_r(l->name, &l->passwd, l->room, size, &pw);
    else
        rc = getpwuid_r(l->uid, &l->passwd, l->room, size, &pw);
    *found_r = pw != NULL || gr != NULL;
    return rc;
}

static int lookup_run(struct lookup *l, bool is_group, struct err *err)
{
    for (size_t size = ENTRY_FIRST; size <= ENTRY_MAX; size *= 2) {
        l->room = mem_realloc(l->room, size);
        bool found;
        int rc = lookup_once(l, is_group, size, &found);
        if (rc == ERANGE)
            continue;
        if (rc == EINTR) {
            size /= 2;
            continue;
        }
        if (found)
            return 1;
        if (rc == 0 || rc == ENOENT || rc == ESRCH)
            return 0;
        errno = rc;
        return err_errno(err, "look up %s %s", is_group ? "group" : "user", l->name ? l->name : "by number");
    }
    return err_set(err, ERR_TEMPORARY, "user or group entry too large");
}

static int copy_user(const struct passwd *pw, struct sys_user *user_r, struct err *err)
{
    int name = snprintf(user_r->name, sizeof user_r->name, "%s", pw->pw_name);
    int home = snprintf(user_r->home, sizeof user_r->home, "%s", pw->pw_dir);
    int shell = snprintf(user_r->shell, sizeof user_r->shell, "%s", pw->pw_shell);
    if (name >= (int)sizeof user_r->name || home >= (int)sizeof user_r->home || shell >= (int)sizeof user_r->shell)
        return err_set(err, ERR_TEMPORARY, "user entry too large");
    user_r->uid = pw->pw_uid;
    user_r->gid = pw->pw_gid;
    return 1;
}

int sys_user_by_name(struct str name, struct sys_user *user_r, struct err *err)
{
    struct lookup l = {.name = mem_dup_str(name)};
    int rc = lookup_run(&l, false, err);
    if (rc == 1)
        rc = copy_user(&l.passwd, user_r, err);
    else if (rc == 0)
        err_set(err, ERR_PERMANENT, "user " STR_FMT " does not exist", STR_ARG(name));
    mem_free((char *)(uintptr_t)l.name);
    mem_free(l.room);
    return rc;
}

int sys_user_by_uid(uid_t uid, struct sys_user *user_r, struct err *err)
{
    struct lookup l = {.uid = uid};
    int rc = lookup_run(&l, false, err);
    if (rc == 1)
        rc = copy_user(&l.passwd, user_r, err);
    mem_free(l.room);
    return rc;
}

int sys_group_by_name(struct str name, gid_t *gid_r, struct err *err)
{
    struct lookup l = {.name = mem_dup_str(name)};
    int rc = lookup_run(&l, true, err);
    if (rc == 1)
        *gid_r = l.group.gr_gid;
    mem_free((char *)(uintptr_t)l.name);
    mem_free(l.room);
    return rc;
}

bool sys_is_rootless(void)
{
    return geteuid() != 0 && getuid() != 0;
}

int sys_groups_of(const struct sys_user *user, struct sys_groups *groups_r, struct err *err)
{
    groups_r->count = SYS_GROUPS_MAX;
    if (getgrouplist(user->name, user->gid, groups_r->ids, &groups_r->count) < 0)
        return err_set(err, ERR_PERMANENT, "user %s is in more than %d groups", user->name, SYS_GROUPS_MAX);
    for (int i = 0; i < groups_r->count; i++)
        if (groups_r->ids[i] == 0)
            return err_set(err, ERR_PERMANENT, "user %s is in root's group", user->name);
    return 0;
}

int sys_become(const struct sys_user *user, struct err *err)
{
    const struct sys_groups primary = {{user->gid}, 1};
    return sys_become_with_groups(user, &primary, err);
}

int sys_become_with_groups(const struct sys_user *user, const struct sys_groups *groups, struct err *err)
{
    if (sys_is_rootless())
        return 0;
    if (user->uid == 0 || user->gid == 0)
        return err_set(err, ERR_PERMANENT, "user %s has root's user or group id", user->name);
    if (setgroups((size_t)groups->count, groups->ids) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return err_errno(err, "become user %s", user->name);
    if (setuid(0) == 0 || seteuid(0) == 0 || getuid() != user->uid || geteuid() != user->uid || getgid() != user->gid ||
        getegid() != user->gid)
        return err_set(err, ERR_BUG, "became user %s, but root can come back", user->name);
    return 0;
}

int sys_act_as(uid_t uid, gid_t gid, struct err *err)
{
    if (sys_is_rootless())
        return 0;
    if (geteuid() != 0)
        sys_act_as_root();
    if (setgroups(1, &gid) < 0 || setegid(gid) < 0 || seteuid(uid) < 0) {
        int saved = errno;
        sys_act_as_root();
        errno = saved;
        return err_errno(err, "act as user %u, group %u", (unsigned)uid, (unsigned)gid);
    }
    return 0;
}

void sys_act_as_root(void)
{
    if (sys_is_rootless())
        return;
    gid_t group = 0;
    if (seteuid(0) < 0 || setegid(0) < 0 || setgroups(1, &group) < 0)
        die("cannot act as root again: %s", strerror(errno));
}
