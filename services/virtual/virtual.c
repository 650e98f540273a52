// SPDX-License-Identifier: ISC
// virtual.c: delivers to mailboxes below virtual_mailbox_base, by tables alone: no accounts, no aliases, no commands.
//
// Trust: runs as root and acts as the mailbox's owner, or as its own user when started rootless. One delivery at a
// time.
#include "services/virtual/virtual.h"
#include "lib/base/log.h"

static int virtual_init(struct service_context *ctx, struct err *err)
{
    struct virtual *v = MEM_NEW(struct virtual);
    const struct settings *set = ctx->settings;

    table_use_backends(); // no other process may say whose mailbox it is
    ctx->state = v;
    v->settings = set;
    if (set->virtual_mailbox_limit > 0 && set->virtual_mailbox_limit < set->message_size_limit)
        return err_set(err, ERR_PERMANENT,
                       "main.cf configuration error: virtual_mailbox_limit is smaller than message_size_limit");
    v->mailbox_maps = table_list_open(set->virtual_mailbox_maps, TABLE_SENSITIVE);
    v->uid_maps = table_list_open(set->virtual_uid_maps, TABLE_SENSITIVE);
    v->gid_maps = table_list_open(set->virtual_gid_maps, TABLE_SENSITIVE);
    return mailbox_writer_init(&v->writer, set, set->virtual_mailbox_lock, set->virtual_mailbox_limit, err);
}

static void deliver(struct service_context *ctx, struct delivery *d)
{
    struct mailbox_content content;
    struct err err = ERR_INIT;

    co_assert_running();
    if (mailbox_content_load(&content, d->fd, d->request.data_offset, &err) < 0) {
        delivery_settle_all(d, &(struct delivery_report){.status = DELIVERY_DEFERRED,
                                                         .dsn = STR("4.3.0"),
                                                         .relay = STR("virtual"),
                                                         .text = arena_str(d->arena, str_from(err.text))});
        return;
    }
    for (size_t i = 0; i < d->request.recipient_count; i++)
        virtual_deliver_recipient(ctx->state, d, i, &content);
    mailbox_content_release(&content);
}

static void virtual_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    delivery_serve(ctx, client, 1, deliver);
}

static void virtual_deinit(struct service_context *ctx)
{
    struct virtual *v = ctx->state;

    if (v == NULL)
        return;
    table_list_close(v->mailbox_maps);
    table_list_close(v->uid_maps);
    table_list_close(v->gid_maps);
    mailbox_writer_release(&v->writer);
    mem_free(v);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "virtual",
        .flags = SERVICE_KEEPS_ROOT | SERVICE_ONE_SESSION,
        .init = virtual_init,
        .serve = virtual_serve,
        .deinit = virtual_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
