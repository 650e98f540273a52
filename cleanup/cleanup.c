// SPDX-License-Identifier: ISC
// cleanup.c: turns submitted messages into queue files: rewriting, missing headers, aliases, durability.
// Trust: submitters are other daemons: every field is checked. Runs as mail_owner.
#include "cleanup/cleanup.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/sys/sys.h"

enum { SYNC_THREADS = 16 };

static int open_queue(struct cleanup *d, struct err *err)
{
    d->queue_dirfd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->queue_dirfd < 0)
        return err_errno(err, "open the queue directory");
    d->incoming_dirfd = openat(d->queue_dirfd, QUEUE_INCOMING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->incoming_dirfd < 0)
        return err_errno(err, "open the directory incoming");
    d->sync_is_instant = sys_sync_is_instant(d->incoming_dirfd);
    d->layout.is_staged = queue_is_staged(d->queue_dirfd);
    d->syncs_directory = !d->sync_is_instant && !sys_sync_covers_names(d->incoming_dirfd);
    return 0;
}

static int open_tables(struct cleanup *d, struct err *err)
{
    const struct settings *s = d->settings;
    d->canonical = table_list_open(s->canonical_maps, TABLE_FOLD_KEYS);
    d->sender_canonical = table_list_open(s->sender_canonical_maps, TABLE_FOLD_KEYS);
    d->recipient_canonical = table_list_open(s->recipient_canonical_maps, TABLE_FOLD_KEYS);
    d->virtual_alias = table_list_open(s->virtual_alias_maps, TABLE_FOLD_KEYS);
    d->sender_bcc = table_list_open(s->sender_bcc_maps, TABLE_FOLD_KEYS);
    d->recipient_bcc = table_list_open(s->recipient_bcc_maps, TABLE_FOLD_KEYS);
    if (s->masquerade_exceptions.len == 0)
        return 0;
    d->masquerade_exceptions = match_list_open(s->masquerade_exceptions, 0, err);
    return d->masquerade_exceptions != NULL ? 0 : -1;
}

static int cleanup_init(struct service_context *ctx, struct err *err)
{
    struct cleanup *d = MEM_NEW(struct cleanup);
    const struct settings *s = ctx->settings;
    ctx->state = d;
    *d = (struct cleanup){.ctx = ctx, .settings = s, .queue_dirfd = -1, .incoming_dirfd = -1};
    d->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    buf_addf(&d->queue_manager_path, "public/" STR_FMT, STR_ARG(s->queue_service_name));
    d->route = route_open(s, err);
    if (d->route == NULL || open_tables(d, err) < 0)
        return -1;
    co_jobs_set_threads(SYNC_THREADS);
    d->in_flow = in_flow_new();
    return open_queue(d, err);
}

static void cleanup_deinit(struct service_context *ctx)
{
    struct cleanup *d = ctx->state;
    cleanup_notices_close(d);
    in_flow_free(d->in_flow);
    buf_release(&d->queue_manager_path);
    table_list_close(d->canonical);
    table_list_close(d->sender_canonical);
    table_list_close(d->recipient_canonical);
    table_list_close(d->virtual_alias);
    table_list_close(d->sender_bcc);
    table_list_close(d->recipient_bcc);
    if (d->masquerade_exceptions != NULL)
        match_list_close(d->masquerade_exceptions);
    route_close(d->route);
    close(d->incoming_dirfd);
    close(d->queue_dirfd);
    mem_free(d);
}

int main(int argc, char **argv)
{
    static const struct service service = {
        .program = "cleanup",
        .flags = SERVICE_WRITES_QUEUE | SERVICE_UNLIMITED,
        .init = cleanup_init,
        .serve = cleanup_serve,
        .deinit = cleanup_deinit,
        .outdated = table_outdated,
    };
    return service_main(&service, argc, argv);
}
