// SPDX-License-Identifier: ISC
// local_alias.c: looks a local name up in alias_maps and serves what stands there.
//
// Trust: an alias table may belong to a user; its files are then written with that user's rights. Suspends: in tables.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/sys/sys.h"
#include "local/local.h"

#define INCLUDE_MAX (16 * 1024 * 1024)

// 1/0/-1: quoted form first, then the plain one.
static int lookup_alias(struct local *local, struct str name, struct buf *value, struct table **table_r,
                        struct err *err) CO
{
    struct buf quoted = BUF_INIT;
    int found;

    address_add_external(&quoted, name);
    found = table_list_lookup(local->alias_maps, buf_str(&quoted), value, table_r, err);
    if (found == 0 && !str_is(buf_str(&quoted), name))
        found = table_list_lookup(local->alias_maps, name, value, table_r, err);
    buf_release(&quoted);
    return found;
}

// The rights for files named in this table. -1: unknown.
static int table_rights(struct local *local, const struct table *table, struct sys_user *user_r)
{
    struct err err = ERR_INIT;
    uid_t uid = 0;

    if (table_owner(table, &uid) < 0)
        return -1;
    if (uid != 0)
        return sys_user_by_uid(uid, user_r, &err) == 1 ? 0 : -1;
    if (local->default_privs == NULL)
        return -1;
    *user_r = *local->default_privs;
    return 0;
}

static void deliver_to_file(struct local_delivery *l, const struct local_address *a, const struct table *table,
                            struct str path)
{
    struct sys_user user;

    if (!local_list_has(l->local->settings->allow_mail_to_files, "alias")) {
        local_result_set(l, a->address, DELIVERY_BOUNCED, "5.7.1", STR("mail to file is restricted"));
        return;
    }
    if (path.ptr[0] != '/' || table_rights(l->local, table, &user) < 0) {
        local_result_set(l, a->address, DELIVERY_DEFERRED, "4.3.0", STR("mail system configuration error"));
        return;
    }
    local_deliver_file(l, a, path, &user);
}

// ---- :include:

// The list's text. Readable as its owner when the table is root's; a regular file that not everybody may change.
static int read_include(const char *path, const struct sys_user *user, struct buf *text, struct err *err)
{
    struct stat st;
    int rc = -1, fd;

    if (stat(path, &st) < 0)
        return err_errno(err, "open include file %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & S_IWOTH))
        return err_set(err, ERR_PERMANENT, "include file %s is not a regular file, or everybody may write to it", path);
    if (user->uid == 0 || st.st_uid == user->uid)
        rc = sys_act_as(st.st_uid, st.st_gid, err);
    else
        rc = sys_act_as(user->uid, user->gid, err);
    if (rc < 0)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    rc = fd < 0 ? err_errno(err, "open include file %s", path) : sys_read_file(path, INCLUDE_MAX, text, err);
    if (fd >= 0)
        close(fd);
    if (!sys_is_rootless())
        sys_act_as_root();
    return rc;
}

// Lines that start with '#' are left out.
static struct str without_comments(struct str text, struct arena *arena)
{
    struct buf kept = BUF_INIT;
    struct str line, result;

    while (str_token(&text, "\n", &line))
        if (line.ptr[0] != '#') {
            buf_add_str(&kept, line);
            buf_add_char(&kept, '\n');
        }
    result = arena_str(arena, buf_str(&kept));
    buf_release(&kept);
    return result;
}

// The addresses of the list leave in a new message, so that they cannot use the rights of this delivery.
static void forward_list(struct local_delivery *l, const struct local_address *a, struct str text) CO
{
    struct local_targets targets = {.rest = text, .arena = l->arena};
    struct local_target target;
    struct err err = ERR_INIT;
    int more;

    while ((more = local_targets_next(&targets, &target, &err)) > 0) {
        struct str address = target.text;
        if (target.kind != LOCAL_TARGET_ADDRESS) {
            log_warn(STR_FMT ": only addresses are taken from include files: \"" STR_FMT "\"",
                     STR_ARG(l->delivery->request.queue_id), STR_ARG(target.text));
            local_result_set(l, a->address, DELIVERY_BOUNCED, "5.7.1",
                             target.kind == LOCAL_TARGET_FILE ? STR("mail to file is restricted")
                                                              : STR("mail to command is restricted"));
            continue;
        }
        if (route_rewrite(l->local->route, true, target.text, l->arena, &address, &err) == 0)
            local_forward_add(l, a, address);
    }
    if (more < 0)
        local_result_set_err(l, a->address, "4.3.5", STR("mail system configuration error"), &err);
}

static void deliver_include(struct local_delivery *l, const struct local_address *a, const struct table *table,
                            struct str path) CO
{
    struct buf text = BUF_INIT;
    struct err err = ERR_INIT;
    struct sys_user user = {.uid = 0};
    uid_t uid = 0;

    if (table_owner(table, &uid) > 0 && uid != 0 && sys_user_by_uid(uid, &user, &err) != 1) {
        local_result_set_err(l, a->address, "4.3.0", STR("mail system configuration error"), &err);
        return;
    }
    if (path.len == 0 || path.ptr[0] != '/')
        err_set(&err, ERR_PERMANENT, "include file name \"" STR_FMT "\" does not start with a slash", STR_ARG(path));
    else if (read_include(arena_cstr(l->arena, path), &user, &text, &err) == 0)
        forward_list(l, a, without_comments(buf_str(&text), l->arena));
    if (err.text[0] != '\0')
        local_result_set_err(l, a->address, "4.3.5", STR("mail system configuration error"), &err);
    buf_release(&text);
}

// ---- Aliases

static void deliver_value(struct local_delivery *l, struct local_address *a, const struct table *table,
                          struct str value) CO
{
    struct local_targets targets = {.rest = value, .arena = l->arena};
    struct local_target target;
    struct err err = ERR_INIT;
    size_t count = 0;
    int more;

    while ((more = local_targets_next(&targets, &target, &err)) > 0) {
        if (++count > LOCAL_TARGETS_MAX)
            break;
        switch (target.kind) {
        case LOCAL_TARGET_ADDRESS:
            local_deliver_target(l, a, target.text, target.is_final);
            break;
        case LOCAL_TARGET_FILE:
            deliver_to_file(l, a, table, target.text);
            break;
        case LOCAL_TARGET_INCLUDE:
            deliver_include(l, a, table, target.text);
            break;
        case LOCAL_TARGET_COMMAND:
            local_result_set(
                l, a->address, DELIVERY_DEFERRED, "4.3.5",
                arena_strf(l->arena, "delivery to commands is not available: \"" STR_FMT "\"", STR_ARG(target.text)));
            break;
        }
    }
    if (more < 0)
        local_result_set_err(l, a->address, "4.3.0", STR("alias database unavailable"), &err);
    else if (count == 0 || more > 0)
        local_result_set(l, a->address, DELIVERY_DEFERRED, "4.3.0", STR("alias database unavailable"));
}

// owner-NAME exists: what goes on from NAME has it as its sender. 0, -1.
static int find_owner(struct local_delivery *l, struct local_address *a, struct str name, struct err *err) CO
{
    const struct settings *set = l->local->settings;
    struct buf value = BUF_INIT;
    struct str owner = arena_strf(l->arena, "owner-" STR_FMT, STR_ARG(name));
    int found;

    if (!set->owner_request_special)
        return 0;
    found = lookup_alias(l->local, owner, &value, NULL, err);
    if (found > 0) {
        struct address_list list;
        if (set->expand_owner_alias && address_list_parse(buf_str(&value), l->arena, &list, err) == 0 &&
            list.count == 1)
            owner = list.items[0];
        found = route_rewrite(l->local->route, true, owner, l->arena, &a->owner, err);
    } else if (set->reset_owner_alias) {
        a->owner = STR_NULL;
    }
    buf_release(&value);
    return found < 0 ? -1 : 0;
}

// The names under which this address may stand: with the extension, then without.
static int find_alias(struct local_delivery *l, struct local_address *a, struct buf *value, struct table **table_r,
                      struct err *err) CO
{
    int found;

    a->alias = a->local;
    found = lookup_alias(l->local, a->alias, value, table_r, err);
    if (found == 0 && a->extension.ptr != NULL) {
        a->alias = a->user;
        found = lookup_alias(l->local, a->alias, value, table_r, err);
    }
    if (found <= 0)
        a->alias = STR("");
    return found;
}

// An alias that names itself means the mailbox; one that comes back over others is a loop.
static bool is_loop(const struct local_address *a, struct str name, bool *is_direct_r)
{
    *is_direct_r = a->parent != NULL && str_is_nocase(a->parent->alias, name);
    for (const struct local_address *up = a->parent; up != NULL; up = up->parent)
        if (str_is_nocase(up->alias, name))
            return true;
    return false;
}

int local_deliver_alias(struct local_delivery *l, struct local_address *a)
{
    struct buf value = BUF_INIT;
    struct table *table = NULL;
    struct err err = ERR_INIT;
    bool is_direct;
    int found = find_alias(l, a, &value, &table, &err);

    if (found < 0) {
        local_result_set_err(l, a->address, "4.3.0", STR("alias database unavailable"), &err);
        found = 1;
    } else if (found > 0 && is_loop(a, a->alias, &is_direct)) {
        found = !is_direct;
        if (!is_direct)
            local_result_set(l, a->address, DELIVERY_BOUNCED, "5.4.6",
                             arena_strf(l->arena, "alias database loop for " STR_FMT, STR_ARG(a->alias)));
    } else if (found > 0 && find_owner(l, a, a->alias, &err) < 0) {
        local_result_set_err(l, a->address, "4.3.0", STR("alias database unavailable"), &err);
    } else if (found > 0) {
        deliver_value(l, a, table, buf_str(&value));
    }
    buf_release(&value);
    return found;
}
