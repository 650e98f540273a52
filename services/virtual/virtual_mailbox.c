// SPDX-License-Identifier: ISC
// virtual_mailbox.c: one recipient: path, user and group from the tables, then the mailbox file or Maildir.
//
// Trust: tables are the administrator's; ids below virtual_minimum_uid are refused. Suspends: in tables and the bounce
// service.
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/sys.h"
#include "services/virtual/virtual.h"

struct owner {
    uid_t uid;
    gid_t gid;
};

static int lookup(struct virtual *v, struct table_list *maps, struct str address, struct buf *value, struct err *err) CO
{
    struct table_address_query query = {.address = address,
                                        .delimiter = v->settings->recipient_delimiter,
                                        .keys = ADDRESS_KEY_FULL | ADDRESS_KEY_AT_DOMAIN};
    return table_list_lookup_address(maps, &query, value, NULL, err);
}

// A number of at least `minimum`; -1 with err when there is none.
static int lookup_id(struct virtual *v, struct table_list *maps, struct str address, const char *what, int64_t *id_r,
                     struct err *err) CO
{
    struct buf value = BUF_INIT;
    int64_t minimum = what[0] == 'u' ? v->settings->virtual_minimum_uid : 1;
    int found = lookup(v, maps, address, &value, err);

    if (found == 0)
        err_set(err, ERR_TEMPORARY, "recipient <" STR_FMT "> not found in virtual_%s_maps", STR_ARG(address), what);
    else if (found > 0 &&
             (str_to_i64(str_trim(buf_str(&value)), id_r) < 0 || *id_r < minimum || *id_r > UINT32_MAX - 1))
        found = err_set(err, ERR_TEMPORARY, "bad %s %s in virtual_%s_maps for recipient <" STR_FMT ">", what,
                        buf_cstr(&value), what, STR_ARG(address));
    buf_release(&value);
    return found > 0 ? 0 : -1;
}

// Rootless, everything belongs to the one user and the tables of ids are not needed.
static int find_owner(struct virtual *v, struct str address, struct owner *owner_r, struct err *err) CO
{
    int64_t uid, gid;

    *owner_r = (struct owner){geteuid(), getegid()};
    if (sys_is_rootless())
        return 0;
    if (lookup_id(v, v->uid_maps, address, "uid", &uid, err) < 0 ||
        lookup_id(v, v->gid_maps, address, "gid", &gid, err) < 0)
        return -1;
    *owner_r = (struct owner){(uid_t)uid, (gid_t)gid};
    return 0;
}

static struct mailbox_message message_of(struct virtual *v, struct delivery *d, const struct delivery_recipient *rcpt,
                                         const struct mailbox_content *content)
{
    struct mailbox_message m = {.content = content, .sender = d->request.sender};

    if (v->settings->enable_original_recipient)
        m.original_to = rcpt->original;
    m.delivered_to = arena_lower(d->arena, rcpt->address);
    return m;
}

static void write_mailbox(struct virtual *v, struct arena *arena, const struct mailbox_message *m,
                          const struct mailbox_file *file, struct delivery_report *report)
{
    struct err err = ERR_INIT;

    if (!str_ends(str_from(file->path), STR("/"))) {
        mailbox_append(&v->writer, m, file, arena, report);
        return;
    }
    if (sys_act_as(file->uid, file->gid, &err) < 0)
        mailbox_report(report, DELIVERY_DEFERRED, "4.3.0", arena_str(arena, str_from(err.text)));
    else
        mailbox_deliver_maildir(&v->writer, m, file->path, arena, report);
    if (!sys_is_rootless() && geteuid() != 0)
        sys_act_as_root();
}

static void misconfigured(struct delivery *d, struct delivery_report *report, const struct err *err)
{
    log_warn(STR_FMT ": %s", STR_ARG(d->request.queue_id), err->text);
    mailbox_report(report, DELIVERY_DEFERRED, "4.3.5", STR("mail system configuration error"));
}

// "../" may not lead out of the base directory.
static bool is_inside(struct str path)
{
    struct str part;

    while (str_token(&path, "/", &part))
        if (str_is(part, STR("..")))
            return false;
    return true;
}

static void deliver_to(struct virtual *v, struct delivery *d, const struct delivery_recipient *rcpt,
                       const struct mailbox_content *content, struct delivery_report *report) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    struct owner owner;
    int found = lookup(v, v->mailbox_maps, rcpt->address, &value, &err);

    if (found < 0) {
        log_warn(STR_FMT ": %s", STR_ARG(d->request.queue_id), err.text);
        mailbox_report(report, DELIVERY_DEFERRED, "4.3.0", STR("table lookup failure"));
    } else if (found == 0) {
        mailbox_report(report, DELIVERY_BOUNCED, "5.1.1",
                       arena_strf(d->arena, "unknown user: \"" STR_FMT "\"", STR_ARG(rcpt->address)));
    } else if (!is_inside(buf_str(&value)) || v->settings->virtual_mailbox_base.len == 0) {
        err_set(&err, ERR_TEMPORARY, "bad mailbox path \"%s\", or virtual_mailbox_base is not set", buf_cstr(&value));
        misconfigured(d, report, &err);
    } else if (find_owner(v, rcpt->address, &owner, &err) < 0) {
        misconfigured(d, report, &err);
    } else if (d->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER)) {
        mailbox_report(report, DELIVERY_SENT, "2.0.0",
                       str_ends(buf_str(&value), STR("/")) ? STR("delivers to maildir") : STR("delivers to mailbox"));
    } else {
        struct mailbox_message m = message_of(v, d, rcpt, content);
        struct str path =
            arena_strf(d->arena, STR_FMT "/%s", STR_ARG(v->settings->virtual_mailbox_base), buf_cstr(&value));
        struct mailbox_file file = {path.ptr, false, arena_cstr(d->arena, rcpt->address), owner.uid, owner.gid};
        write_mailbox(v, d->arena, &m, &file, report);
    }
    buf_release(&value);
}

void virtual_deliver_recipient(struct virtual *v, struct delivery *d, size_t recipient,
                               const struct mailbox_content *content)
{
    const struct delivery_recipient *rcpt = &d->request.recipients[recipient];
    struct delivery_report report = {.relay = STR("virtual")};

    if (mailbox_content_was_delivered_to(content, rcpt->address))
        mailbox_report(&report, DELIVERY_BOUNCED, "5.4.6",
                       arena_strf(d->arena, "mail forwarding loop for " STR_FMT, STR_ARG(rcpt->address)));
    else
        deliver_to(v, d, rcpt, content, &report);
    delivery_settle(d, recipient, &report);
}
