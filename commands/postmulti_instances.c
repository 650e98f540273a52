// SPDX-License-Identifier: ISC
// postmulti_instances.c: the primary instance and those that its multi_instance_directories names.
#include "commands/postmulti.h"

#include "lib/base/log.h"

struct instance instance_read(struct postmulti *pm, struct str dir)
{
    struct err err = ERR_INIT;
    struct instance i = {.dir = arena_str(&pm->arena, dir), .settings = ARENA_NEW(&pm->arena, struct settings)};
    struct conf *conf = conf_open(i.dir.ptr, NULL, &err);
    if (conf == NULL || settings_load(conf, "postmulti", &pm->arena, i.settings, &err) < 0)
        die("%s", err.text);
    conf_free(conf);
    return i;
}

void instances_load(struct postmulti *pm)
{
    struct str rest, dir;
    pm->instances[0] = instance_read(pm, str_from(conf_default_dir()));
    pm->instances[0].is_primary = true;
    pm->count = 1;
    rest = pm->instances[0].settings->multi_instance_directories;
    while (str_token(&rest, ", \t\r\n", &dir)) {
        if (pm->count == INSTANCES_MAX)
            die("more than %d instances", INSTANCES_MAX);
        struct instance i = instance_read(pm, dir);
        instance_check_conflicts(pm, &i);
        pm->instances[pm->count++] = i;
    }
}

static void check_one(const struct instance *a, const struct instance *b, const char *parameter, struct str x,
                      struct str y)
{
    if (x.len > 0 && str_is(x, y))
        die("instance " STR_FMT ", %s=" STR_FMT " conflicts with instance " STR_FMT ", %s=" STR_FMT, STR_ARG(a->dir),
            parameter, STR_ARG(x), STR_ARG(b->dir), parameter, STR_ARG(y));
}

void instance_check_conflicts(const struct postmulti *pm, const struct instance *fresh)
{
    const struct settings *s = fresh->settings;
    for (size_t i = 0; i < pm->count; i++) {
        const struct instance *other = &pm->instances[i];
        const struct settings *o = other->settings;
        check_one(fresh, other, "config_directory", fresh->dir, other->dir);
        check_one(fresh, other, "multi_instance_name", s->multi_instance_name, o->multi_instance_name);
        check_one(fresh, other, "queue_directory", s->queue_directory, o->queue_directory);
        check_one(fresh, other, "data_directory", s->data_directory, o->data_directory);
    }
    check_one(fresh, fresh, "queue_directory and data_directory", s->queue_directory, s->data_directory);
}

bool instance_is_enabled(const struct instance *i)
{
    return i->settings->multi_instance_enable;
}

bool instance_is_selected(const struct postmulti *pm, const struct instance *i)
{
    const struct postmulti_options *o = &pm->options;
    if (o->group != NULL)
        return str_is(i->settings->multi_instance_group, str_from(o->group));
    if (o->instance == NULL)
        return true;
    struct str wanted = str_from(o->instance);
    if (str_is(wanted, STR("-")))
        return i->is_primary;
    return str_is(i->dir, wanted) || (wanted.len > 0 && str_is(i->settings->multi_instance_name, wanted));
}
