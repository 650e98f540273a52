// SPDX-License-Identifier: ISC
// local.c: the local delivery agent: takes mail for users of this system to their mailboxes, through aliases.
//
// Trust: runs as root and acts as the recipient for everything in the recipient's reach; rootless it serves its own
// user only. One delivery at a time. Facts: reference on local delivery.
#include "local/local.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

static void open_tables(struct local *local)
{
    const struct settings *set = local->settings;

    local->alias_maps = table_list_open(set->alias_maps, TABLE_SENSITIVE);
    local->mailbox_transport_maps = table_list_open(set->mailbox_transport_maps, TABLE_NO_SUBSTITUTION);
    local->fallback_transport_maps = table_list_open(set->fallback_transport_maps, TABLE_NO_SUBSTITUTION);
    local->mailbox_command_maps = table_list_open(set->mailbox_command_maps, TABLE_SENSITIVE);
}

static void find_default_privs(struct local *local)
{
    struct sys_user user;
    struct err err = ERR_INIT;

    if (sys_user_by_name(local->settings->default_privs, &user, &err) != 1 || user.uid == 0) {
        log_warn("default_privs: " STR_FMT ": no such user, or it is root", STR_ARG(local->settings->default_privs));
        return;
    }
    local->default_privs = MEM_NEW(struct sys_user);
    *local->default_privs = user;
}

static int local_init(struct service_context *ctx, struct err *err)
{
    struct local *local = MEM_NEW(struct local);
    const struct settings *set = ctx->settings;
    struct buf path = BUF_INIT;

    table_use_backends(); // no other process may say whose rights a command gets
    ctx->state = local;
    local->ctx = ctx;
    local->settings = set;
    if (set->mailbox_size_limit > 0 && set->mailbox_size_limit < set->message_size_limit)
        return err_set(err, ERR_PERMANENT,
                       "main.cf configuration error: mailbox_size_limit is smaller than message_size_limit");
    local->route = route_open(set, err);
    if (local->route == NULL)
        return -1;
    if (mailbox_writer_init(&local->writer, set, set->mailbox_delivery_lock, set->mailbox_size_limit, err) < 0)
        return -1;
    open_tables(local);
    find_default_privs(local);
    buf_addf(&path, "public/" STR_FMT, STR_ARG(set->cleanup_service_name));
    local->cleanup = submit_pool_new(buf_cstr(&path));
    buf_release(&path);
    return 0;
}

static void local_serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    delivery_serve(ctx, client, 1, local_deliver);
}

static void local_deinit(struct service_context *ctx)
{
    struct local *local = ctx->state;

    if (local == NULL)
        return;
    route_close(local->route);
    table_list_close(local->alias_maps);
    table_list_close(local->mailbox_transport_maps);
    table_list_close(local->fallback_transport_maps);
    table_list_close(local->mailbox_command_maps);
    if (local->cleanup != NULL)
        submit_pool_free(local->cleanup);
    mailbox_writer_release(&local->writer);
    mem_free(local->default_privs);
    mem_free(local);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "local",
        .flags = SERVICE_KEEPS_ROOT | SERVICE_ONE_SESSION,
        .init = local_init,
        .serve = local_serve,
        .deinit = local_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
