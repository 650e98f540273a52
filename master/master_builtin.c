// SPDX-License-Identifier: ISC
// master_builtin.c: services that Postfix does not have, so that an existing master.cf, which has no row for them,
// works.
//
// A row of the same name and type in master.cf takes the place of the built-in one, and master_service_disable turns it
// off.
#include <unistd.h>

#include "master/master.h"

static const struct {
    const char *name, *command;
    int64_t maxproc;
    bool is_unpriv;
} builtin[] = {
    {"mtasts", "mtasts", 1, true},
};
enum { BUILTIN_COUNT = sizeof builtin / sizeof builtin[0] };

static bool has_row(const struct master_config *c, struct str name)
{
    for (size_t i = 0; i < c->row_count; i++)
        if (str_is(c->rows[i].name, name) && str_is(c->rows[i].type, STR("unix")))
            return true;
    return false;
}

static bool is_installed(struct master_config *c, const char *command)
{
    struct str path = arena_strf(&c->arena, STR_FMT "/%s", STR_ARG(c->settings.daemon_directory), command);
    return access(path.ptr, X_OK) == 0;
}

void master_builtin_add(struct master_config *c)
{
    struct master_row *rows = ARENA_ARRAY(&c->arena, struct master_row, c->row_count + BUILTIN_COUNT);
    size_t count = c->row_count;
    for (size_t i = 0; i < count; i++)
        rows[i] = c->rows[i];
    for (size_t i = 0; i < BUILTIN_COUNT; i++) {
        struct str name = str_from(builtin[i].name);
        if (has_row(c, name) || !is_installed(c, builtin[i].command))
            continue;
        rows[count++] = (struct master_row){
            .name = name,
            .type = STR("unix"),
            .is_private = true,
            .is_unpriv = builtin[i].is_unpriv,
            .maxproc = builtin[i].maxproc,
            .command = str_from(builtin[i].command),
        };
    }
    c->rows = rows;
    c->row_count = count;
}
