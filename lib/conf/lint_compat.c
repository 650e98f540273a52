// SPDX-License-Identifier: ISC
// lint_compat.c: defaults that compatibility_level keeps at what they were in older releases, and that main.cf leaves
// unset.
#include "lib/conf/lint_private.h"

#define CURRENT_LEVEL STR("3.12") // no default changes above it

static void check_default(struct lint *l, const struct param *p, const struct conf *current)
{
    struct buf now = BUF_INIT, then = BUF_INIT;
    if (conf_get_str(l->conf, p->name, NULL, &now, NULL) == 0 &&
        conf_get_str(current, p->name, NULL, &then, NULL) == 0 && !str_is(buf_str(&now), buf_str(&then)))
        lint_add(l, KIND(LINT_NOTE, "old-default"), lint_place_of(l, "compatibility_level"),
                 "using backwards-compatible default setting %s=" STR_FMT
                 ": set it to keep it, or raise compatibility_level for the "
                 "new default, \"" STR_FMT "\"",
                 p->name, STR_ARG(buf_str(&now)), STR_ARG(buf_str(&then)));
    buf_release(&now);
    buf_release(&then);
}

void lint_old_defaults(struct lint *l)
{
    struct conf *current = conf_open_layer(l->conf);
    if (conf_override(current, STR("compatibility_level"), CURRENT_LEVEL) < 0)
        bug("a level of our own cannot be set");
    for (size_t i = 0; i < param_count; i++)
        if (str_find_str(str_from(param_table[i].default_text), STR("$compatibility_level")) >= 0 &&
            !conf_is_set(l->conf, str_from(param_table[i].name)))
            check_default(l, &param_table[i], current);
    conf_free(current);
}
