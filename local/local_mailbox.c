// SPDX-License-Identifier: ISC
// local_mailbox.c: the mailbox of a user of this system: a file or a Maildir, in the spool or at home.
//
// Trust: files are written with the user's rights. Suspends: in tables and other agents.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"
#include "local/local.h"

static struct mailbox_message message_of(const struct local_delivery *l, const char *kind)
{
    const struct settings *set = l->local->settings;
    const struct delivery_recipient *rcpt = &l->delivery->request.recipients[l->recipient];
    struct mailbox_message m = {.content = l->content, .sender = l->delivery->request.sender};

    if (set->enable_original_recipient && rcpt->original.len > 0)
        m.original_to = rcpt->original;
    // Mailboxes always get the header; files named in aliases by prepend_delivered_header.
    if (kind == NULL || local_list_has(set->prepend_delivered_header, kind))
        m.delivered_to = l->delivered_to;
    return m;
}

static void give_back_rights(void)
{
    if (!sys_is_rootless() && geteuid() != 0)
        sys_act_as_root();
}

static void deliver_maildir(struct local_delivery *l, const struct local_address *a, const char *path,
                            const struct sys_user *user)
{
    struct mailbox_message m = message_of(l, NULL);
    struct delivery_report *report = local_result_add(l, a->address);
    struct err err = ERR_INIT;

    if (sys_act_as(user->uid, user->gid, &err) < 0)
        mailbox_report(report, DELIVERY_DEFERRED, "4.3.0", arena_str(l->arena, str_from(err.text)));
    else
        mailbox_deliver_maildir(&l->local->writer, &m, path, l->arena, report);
    give_back_rights();
}

static void deliver_mbox(struct local_delivery *l, const struct local_address *a, const struct mailbox_file *file)
{
    struct mailbox_message m = message_of(l, NULL);
    mailbox_append(&l->local->writer, &m, file, l->arena, local_result_add(l, a->address));
}

void local_deliver_file(struct local_delivery *l, const struct local_address *a, struct str path,
                        const struct sys_user *user)
{
    if (local_is_probe(l)) {
        local_result_set(l, a->address, DELIVERY_SENT, "2.0.0",
                         arena_strf(l->arena, "delivers to file: " STR_FMT, STR_ARG(path)));
        return;
    }
    struct mailbox_message m = message_of(l, "file");
    struct delivery_report *report = local_result_add(l, a->address);
    struct mailbox_file file = {arena_cstr(l->arena, path), false, user->name, user->uid, user->gid};
    struct err err = ERR_INIT;
    struct stat st;

    if (sys_act_as(user->uid, user->gid, &err) < 0) {
        mailbox_report(report, DELIVERY_DEFERRED, "4.3.0", arena_str(l->arena, str_from(err.text)));
    } else if (str_ends(path, STR("/"))) {
        mailbox_deliver_maildir(&l->local->writer, &m, file.path, l->arena, report);
    } else if (stat(file.path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111)) {
        mailbox_report(report, DELIVERY_BOUNCED, "5.7.1", STR("file is executable"));
    } else {
        give_back_rights();
        mailbox_append(&l->local->writer, &m, &file, l->arena, report);
        if (report->status == DELIVERY_SENT)
            report->text = arena_strf(l->arena, "delivered to file: %s", file.path);
    }
    give_back_rights();
}

static bool home_is_missing(const struct sys_user *user)
{
    struct err err = ERR_INIT;
    struct stat st;
    bool is_missing = sys_act_as(user->uid, user->gid, &err) < 0 || stat(user->home, &st) < 0;

    give_back_rights();
    return is_missing;
}

// By the precedence of home_mailbox and mail_spool_directory.
static void deliver_to_user(struct local_delivery *l, const struct local_address *a, const struct sys_user *user)
{
    const struct settings *set = l->local->settings;
    struct str home_mailbox = set->home_mailbox, spool = set->mail_spool_directory;
    struct mailbox_file file = {.user = user->name, .uid = user->uid, .gid = user->gid};

    if (home_mailbox.len > 0) {
        file.path = arena_strf(l->arena, "%s/" STR_FMT, user->home, STR_ARG(home_mailbox)).ptr;
    } else {
        file.is_spool = true;
        file.path = arena_strf(l->arena, STR_FMT "%s%s%s", STR_ARG(spool), str_ends(spool, STR("/")) ? "" : "/",
                               user->name, str_ends(spool, STR("/")) ? "/" : "")
                        .ptr;
    }
    if (str_ends(str_from(file.path), STR("/")))
        deliver_maildir(l, a, file.path, user);
    else
        deliver_mbox(l, a, &file);
}

static void deliver_known(struct local_delivery *l, const struct local_address *a, const struct sys_user *user)
{
    const struct settings *set = l->local->settings;

    if (sys_is_rootless() && user->uid != geteuid()) {
        local_result_set(
            l, a->address, DELIVERY_DEFERRED, "4.3.0",
            arena_strf(l->arena, "cannot deliver to user %s: the mail system runs without root rights", user->name));
        return;
    }
    if (set->require_home_directory && home_is_missing(user)) {
        local_result_set(l, a->address, DELIVERY_DEFERRED, "4.3.0",
                         arena_strf(l->arena, "cannot access home directory of user %s", user->name));
        return;
    }
    deliver_to_user(l, a, user);
}

// A table that has the user decides, else the parameter. 1: *text_r is not empty, 0, -1.
static int choose(struct local_delivery *l, struct table_list *maps, struct str user, struct str otherwise,
                  struct str *text_r, struct err *err) CO
{
    struct buf value = BUF_INIT;
    int found = table_list_lookup(maps, user, &value, NULL, err);

    *text_r = found > 0 ? arena_str(l->arena, buf_str(&value)) : otherwise;
    buf_release(&value);
    return found < 0 ? -1 : text_r->len > 0;
}

void local_deliver_mailbox(struct local_delivery *l, const struct local_address *a)
{
    const struct settings *set = l->local->settings;
    struct err err = ERR_INIT;
    struct sys_user user;
    struct str text;
    int found = choose(l, l->local->mailbox_transport_maps, a->user, set->mailbox_transport, &text, &err);

    if (found < 0) {
        local_result_set_err(l, a->address, "4.3.0", STR("table lookup failure"), &err);
        return;
    }
    if (found > 0) {
        local_pass_to_transport(l, a, text);
        return;
    }
    found = sys_user_by_name(a->user, &user, &err);
    if (found < 0) {
        local_result_set_err(l, a->address, "4.3.0", STR("user lookup error"), &err);
        return;
    }
    if (found == 0) {
        local_deliver_fallback(l, a);
        return;
    }
    found = choose(l, l->local->mailbox_command_maps, a->user, set->mailbox_command, &text, &err);
    if (found < 0)
        local_result_set_err(l, a->address, "4.3.0", STR("table lookup failure"), &err);
    else if (found > 0)
        local_result_set(l, a->address, DELIVERY_DEFERRED, "4.3.5",
                         arena_strf(l->arena, "delivery to commands is not available: \"" STR_FMT "\"", STR_ARG(text)));
    else if (local_is_probe(l))
        local_result_set(l, a->address, DELIVERY_SENT, "2.0.0", STR("delivers to mailbox"));
    else
        deliver_known(l, a, &user);
}
