// SPDX-License-Identifier: ISC
// master_drain.c: what is different while the system is being drained (lib/conf/drain.h).
#include "master/master.h"

// Programs that take mail in.
static bool takes_mail(struct str program)
{
    static const char *const programs[] = {"smtpd", "postscreen", "qmqpd", "pickup"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (str_is(program, str_from(programs[i])))
            return true;
    return false;
}

// Where a content filter gives mail back: a listener of this host for itself, which sends nothing to a filter again.
// What is with the filter is queued mail on its way.
static bool is_way_back(const struct master_row *row)
{
    if (!str_is(row->type, STR("inet")) ||
        (!str_starts(row->name, STR("127.")) && !str_starts(row->name, STR("[::1]:")) &&
         !str_starts(row->name, STR("localhost:"))))
        return false;
    for (size_t i = 0; i + 1 < row->argc; i++)
        if (str_is(row->argv[i], STR("-o")) && str_is(row->argv[i + 1], STR("content_filter=")))
            return true;
    return false;
}

bool master_drain_closes(const struct master_config *c, const struct master_row *row)
{
    return c->is_draining && takes_mail(row->command) && !is_way_back(row);
}

const char *master_drain_option(const struct master_config *c, const struct master_row *row, struct arena *arena)
{
    if (!c->is_draining || c->drain_nexthop.len == 0 || !str_is(row->command, STR("qmgr")))
        return NULL;
    return arena_strf(arena, "transport_maps=static:smtp:" STR_FMT, STR_ARG(c->drain_nexthop)).ptr;
}
