// SPDX-License-Identifier: ISC
// settings.c: evaluates every built-in parameter into a struct settings.
#include "lib/conf/settings.h"
#include "lib/conf/conf_private.h"

struct loader {
    const struct conf *conf;
    struct arena *arena;
    struct buf scratch;
    char *base; // the struct settings
};

static struct str *string_member(struct loader *l, const struct param *p)
{
    return (struct str *)(void *)(l->base + p->offset);
}

static int check_length(const struct param *p, struct str value, struct err *err)
{
    if (str_is(value, str_from(p->default_text))) // some defaults are emptier than what may be set
        return 0;
    if ((int64_t)value.len < p->min)
        return err_set(err, ERR_PERMANENT, "bad string length %zu < %lld: %s = " STR_FMT, value.len, (long long)p->min,
                       p->name, STR_ARG(value));
    if (p->max > 0 && (int64_t)value.len > p->max)
        return err_set(err, ERR_PERMANENT, "bad string length %zu > %lld: %s = " STR_FMT, value.len, (long long)p->max,
                       p->name, STR_ARG(value));
    return 0;
}

static int check_bounds(const struct param *p, int64_t value, struct err *err)
{
    bool is_low = (p->min != 0 || p->type == PARAM_TIME) && value < p->min;
    bool is_high = p->max > 0 && value > p->max;
    if (!is_low && !is_high)
        return 0;
    if (p->type == PARAM_TIME)
        return err_set(err, ERR_PERMANENT, "invalid %s: %lld (%s %lld)", p->name, (long long)value,
                       is_low ? "min" : "max", (long long)(is_low ? p->min : p->max));
    return err_set(err, ERR_PERMANENT, "invalid %s parameter value %lld %c %lld", p->name, (long long)value,
                   is_low ? '<' : '>', (long long)(is_low ? p->min : p->max));
}

static int store_string(struct loader *l, const struct param *p, struct str value, struct err *err)
{
    if (check_length(p, value, err) != 0)
        return -1;
    *string_member(l, p) = arena_str(l->arena, value);
    return 0;
}

static int store_number(struct loader *l, const struct param *p, struct str text, struct err *err)
{
    int64_t value = 0;
    int status = p->type == PARAM_TIME ? conf_value_time(str_from(p->name), text, p->unit, &value, err)
                                       : conf_value_int(str_from(p->name), text, p->type == PARAM_LONG, &value, err);
    if (status == 0)
        status = check_bounds(p, value, err);
    if (status == 0)
        *(int64_t *)(void *)(l->base + p->offset) = value;
    return status;
}

static int store_value(struct loader *l, const struct param *p, struct str raw, struct err *err)
{
    struct str value = raw;
    if (p->type == PARAM_RAW)
        return store_string(l, p, raw, err);
    if (memchr(raw.ptr, '$', raw.len) != NULL) {
        buf_clear(&l->scratch);
        if (conf_expand(l->conf, raw, &l->scratch, err) != 0) {
            if (err != NULL)
                err_prefix(err, "parameter %s", p->name);
            return -1;
        }
        value = buf_str(&l->scratch);
    }
    if (p->type == PARAM_STRING)
        return store_string(l, p, value, err);
    if (p->type == PARAM_BOOL)
        return conf_value_bool(str_from(p->name), value, (bool *)(void *)(l->base + p->offset), err);
    return store_number(l, p, value, err);
}

static bool is_used_by(const struct param *p, const char *program)
{
    struct str rest = str_from(p->used_by), name;
    while (str_token(&rest, ", ", &name))
        if (str_is(name, STR("all")) || str_is(name, str_from(program)))
            return true;
    return false;
}

static int load_one(struct loader *l, const struct param *p, const char *program, struct err *err)
{
    struct str name = str_from(p->name), raw = STR("");
    conf_raw(l->conf, name, &raw);
    if (raw.len == 0 && p->class == PARAM_LEGACY)
        return store_string(l, p, raw, err);
    if (store_value(l, p, raw, err) == 0)
        return 0;
    if (is_used_by(p, program))
        return -1;
    // Another program's affair: take the default; where that refers to something bad, an empty or zero value stays.
    (void)store_value(l, p, str_from(p->default_text), NULL);
    return 0;
}

int settings_load(const struct conf *c, const char *program, struct arena *arena, struct settings *settings_r,
                  struct err *err)
{
    memset(settings_r, 0, sizeof(*settings_r));
    struct loader l = {c, arena, BUF_INIT, (char *)settings_r};
    int status = 0;
    for (size_t i = 0; status == 0 && i < param_count; i++) {
        const struct param *p = &param_table[i];
        if (p->offset == SIZE_MAX)
            continue;
        if (p->type == PARAM_STRING || p->type == PARAM_RAW)
            *string_member(&l, p) = STR("");
        status = load_one(&l, p, program, err);
    }
    if (status != 0 && err != NULL)
        err_prefix(err, "%s", c->path);
    buf_release(&l.scratch);
    return status;
}

static int check_service_value(const struct conf *c, const struct param *p, struct err *err)
{
    struct buf text = BUF_INIT;
    int64_t value = 0;
    int status = conf_get_str(c, p->name, NULL, &text, err);
    if (status == 0 && p->type == PARAM_TIME)
        status = conf_value_time(str_from(p->name), buf_str(&text), p->unit, &value, err);
    else if (status == 0 && p->type == PARAM_INT)
        status = conf_value_int(str_from(p->name), buf_str(&text), false, &value, err);
    if (status == 0 && p->type != PARAM_STRING)
        status = check_bounds(p, value, err);
    buf_release(&text);
    return status;
}

int settings_check_value(const struct conf *c, const struct param *p, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct str raw = STR("");
    if (p->offset == SIZE_MAX)
        return check_service_value(c, p, err);
    struct loader l = {c, &arena, BUF_INIT, arena_alloc(&arena, sizeof(struct settings))};
    conf_raw(c, str_from(p->name), &raw);
    int status = raw.len == 0 && p->class == PARAM_LEGACY ? 0 : store_value(&l, p, raw, err);
    buf_release(&l.scratch);
    arena_release(&arena);
    return status;
}
