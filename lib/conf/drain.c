// SPDX-License-Identifier: ISC
// drain.c: finding and reading the mark of `postfix drain`.
#include "lib/conf/drain.h"

#include <errno.h>

#include "lib/sys/sys.h"

struct str drain_mark_path(const struct settings *settings, struct arena *arena)
{
    return arena_strf(arena, STR_FMT "/" STR_FMT "/draining", STR_ARG(settings->queue_directory),
                      STR_ARG(settings->process_id_directory));
}

bool drain_nexthop_is_valid(struct str nexthop)
{
    return nexthop.len > 0 && nexthop.len <= DRAIN_NEXTHOP_MAX && str_is_printable(nexthop) &&
           str_find(nexthop, ' ') < 0;
}

int drain_mark_read(const struct settings *settings, struct arena *arena, struct str *nexthop_r, struct err *err)
{
    struct buf text = BUF_INIT;
    struct str path = drain_mark_path(settings, arena);
    int rc = 1;
    *nexthop_r = STR("");
    if (sys_read_file(path.ptr, DRAIN_NEXTHOP_MAX + 1, &text, err) < 0)
        rc = err->errnum == ENOENT ? 0 : -1;
    else if (str_trim(buf_str(&text)).len > 0)
        *nexthop_r = arena_str(arena, str_trim(buf_str(&text)));
    if (rc == 0)
        *err = ERR_INIT;
    if (nexthop_r->len > 0 && !drain_nexthop_is_valid(*nexthop_r))
        rc = err_set(err, ERR_PERMANENT, "%s: not a next hop", path.ptr);
    buf_release(&text);
    return rc;
}
