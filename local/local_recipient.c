// SPDX-License-Identifier: ISC
// local_recipient.c: one recipient, step by step: loops, duplicates, aliases, mailbox, unknown users.
//
// Suspends: in tables, and where results are recorded.
#include <stdio.h>

#include "lib/mail/address.h"
#include "local/local.h"

// True the first time; a limit of 0 remembers everything.
static bool is_new(struct local_delivery *l, const char *kind, struct str name)
{
    struct str key = arena_lower(l->arena, arena_strf(l->arena, "%s " STR_FMT, kind, STR_ARG(name)));
    int64_t limit = l->local->settings->duplicate_filter_limit;

    if (map_get(&l->seen, key) != NULL)
        return false;
    if (limit == 0 || (int64_t)l->seen.count < limit)
        map_set(&l->seen, key, l);
    return true;
}

static void split(struct local_delivery *l, struct local_address *a)
{
    struct str local = address_local(a->address);

    if (str_starts(local, STR("\\"))) {
        a->skips_aliases = true;
        local = str_slice(local, 1, local.len);
    }
    a->local = arena_lower(l->arena, local);
    address_split_extension(a->local, l->local->settings->recipient_delimiter, &a->user, &a->extension);
    if (a->extension.ptr != NULL && str_find(a->extension, '/') >= 0)
        a->extension = STR_NULL; // must not lead out of a directory
}

void local_deliver_address(struct local_delivery *l, struct local_address *a)
{
    char kind[32];

    split(l, a);
    if (a->level > LOCAL_NESTING_MAX) {
        local_result_set(l, a->address, DELIVERY_BOUNCED, "5.4.6", STR("recipient nesting limit exceeded"));
        return;
    }
    // The level is part of the name: `root: root, joe` comes to root a second time, for the mailbox.
    snprintf(kind, sizeof(kind), "%s %u", a->skips_aliases ? "final" : "address", a->level);
    if (!is_new(l, kind, a->address))
        return;
    if (mailbox_content_was_delivered_to(l->content, a->address)) {
        local_result_set(l, a->address, DELIVERY_BOUNCED, "5.4.6",
                         arena_strf(l->arena, "mail forwarding loop for " STR_FMT, STR_ARG(a->address)));
        return;
    }
    if (a->user.len == 0) {
        local_result_set(l, a->address, DELIVERY_BOUNCED, "5.1.3", STR("null username in local recipient address"));
        return;
    }
    if (!a->skips_aliases && local_deliver_alias(l, a) != 0)
        return;
    if (is_new(l, "mailbox", a->user))
        local_deliver_mailbox(l, a);
}

// An address that an alias named: ours is served at once, the others leave in a new message.
void local_deliver_target(struct local_delivery *l, const struct local_address *from, struct str text, bool is_final)
{
    struct local_address *next = ARENA_NEW(l->arena, struct local_address);
    struct route_result where;
    struct err err = ERR_INIT;
    struct str address = text;

    if (route_rewrite(l->local->route, true, text, l->arena, &address, &err) < 0 ||
        route_resolve(l->local->route, l->delivery->request.sender, address, l->arena, &where, &err) < 0) {
        local_result_set_err(l, from->address, "4.3.0", STR("table lookup failure"), &err);
        return;
    }
    // An owner takes the bounces: what it stands for is sent anew, with it as the sender.
    if (where.class != ROUTE_LOCAL || !str_is(where.transport, str_from(l->local->ctx->name)) ||
        from->owner.ptr != NULL) {
        local_forward_add(l, from, address);
        return;
    }
    *next = (struct local_address){
        .address = where.recipient, .level = from->level + 1, .parent = from, .skips_aliases = is_final};
    local_deliver_address(l, next);
}

static void deliver_one(struct local *local, struct delivery *d, size_t recipient,
                        const struct mailbox_content *content) CO
{
    const struct delivery_recipient *rcpt = &d->request.recipients[recipient];
    struct local_address *first = ARENA_NEW(d->arena, struct local_address);
    struct local_delivery l = {
        .local = local, .delivery = d, .recipient = recipient, .arena = d->arena, .content = content};

    l.seen = MAP_INIT;
    l.results_end = &l.results;
    l.delivered_to = arena_lower(d->arena, rcpt->address);
    first->address = rcpt->address;
    local_deliver_address(&l, first);
    local_forward_send(&l);
    local_result_settle(&l);
    map_release(&l.seen);
}

void local_deliver(struct service_context *ctx, struct delivery *d)
{
    struct mailbox_content content;
    struct err err = ERR_INIT;

    co_assert_running();
    if (mailbox_content_load(&content, d->fd, d->request.data_offset, &err) < 0) {
        delivery_settle_all(d, &(struct delivery_report){.status = DELIVERY_DEFERRED,
                                                         .dsn = STR("4.3.0"),
                                                         .relay = STR("local"),
                                                         .text = arena_str(d->arena, str_from(err.text))});
        return;
    }
    for (size_t i = 0; i < d->request.recipient_count; i++)
        deliver_one(ctx->state, d, i, &content);
    mailbox_content_release(&content);
}
