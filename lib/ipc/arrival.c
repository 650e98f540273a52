// SPDX-License-Identifier: ISC
// arrival.c: the frame by which cleanup announces a committed message to the queue manager.
// Trust: the queue manager checks every field; what it cannot use it reads from the file instead.
#include "lib/ipc/arrival.h"

#include <limits.h>

#include "lib/ipc/delivery_fields.h"

void arrival_add(struct ipc_msg *m, const struct arrival *a)
{
    struct delivery_request request = a->request;
    bool has_all = a->has_all_recipients && request.recipient_count <= ARRIVAL_RECIPIENTS_MAX;
    if (!has_all)
        request.recipient_count = 0;
    ipc_begin(m, 0, "arrived");
    if (a->warn_time) {
        ipc_add_int(m, "warn", a->warn_time);
        ipc_add_int(m, "warn_at", a->warn_offset);
    }
    ipc_add_int(m, "created", a->create_time);
    if (a->trace_flags) {
        ipc_add_int(m, "trace", a->trace_flags);
        ipc_add_int(m, "trace_at", a->trace_flags_offset);
    }
    if (a->filter.len)
        ipc_add_str(m, "filter", a->filter);
    if (a->redirect.len)
        ipc_add_str(m, "redirect", a->redirect);
    if (a->verp.len)
        ipc_add_str(m, "verp", a->verp);
    if (a->has_trace)
        ipc_add_int(m, "traced", 1);
    ipc_add_int(m, "all", has_all);
    delivery_fields_add(m, &request);
    (void)ipc_end(m); // at most ARRIVAL_RECIPIENTS_MAX recipients: it fits; a lost notice costs time only
}

static bool read_offset(const struct ipc_view *v, const char *name, int64_t *value_r)
{
    *value_r = ipc_int_or(v, name, 0);
    return *value_r >= 0;
}

int arrival_read(const struct ipc_view *v, struct arena *arena, struct arrival *a_r, struct err *err)
{
    int64_t trace;
    *a_r = (struct arrival){0};
    if (!str_is(v->verb, STR("arrived")))
        return err_set(err, ERR_PROTOCOL, "unexpected notice");
    if (delivery_fields_read(v, arena, &a_r->request, err) < 0)
        return -1;
    if (!read_offset(v, "warn", &a_r->warn_time) || !read_offset(v, "warn_at", &a_r->warn_offset) ||
        !read_offset(v, "created", &a_r->create_time) || !read_offset(v, "trace_at", &a_r->trace_flags_offset) ||
        !read_offset(v, "trace", &trace) || trace > INT_MAX)
        return err_set(err, ERR_PROTOCOL, "bad number in notice");
    a_r->trace_flags = (int)trace;
    a_r->filter = arena_str(arena, ipc_str_or(v, "filter", STR("")));
    a_r->redirect = arena_str(arena, ipc_str_or(v, "redirect", STR("")));
    a_r->verp = arena_str(arena, ipc_str_or(v, "verp", STR("")));
    a_r->has_trace = ipc_int_or(v, "traced", 0) == 1;
    a_r->has_all_recipients = ipc_int_or(v, "all", 0) == 1 && a_r->request.recipient_count > 0;
    if (a_r->request.recipient_count > ARRIVAL_RECIPIENTS_MAX)
        return err_set(err, ERR_PROTOCOL, "too many recipients in notice");
    return 0;
}
