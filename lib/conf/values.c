// SPDX-License-Identifier: ISC
// values.c: configuration text as numbers, booleans and times.
#include "lib/conf/conf_private.h"

#define TIME_MAX INT32_MAX // seconds; 68 years

int conf_value_int(struct str name, struct str text, bool is_long, int64_t *value_r, struct err *err)
{
    int64_t value;
    if (str_to_i64(text, &value) != 0 || (!is_long && (value > INT32_MAX || value < INT32_MIN)))
        return err_set(err, ERR_PERMANENT, "bad numerical configuration: " STR_FMT " = " STR_FMT, STR_ARG(name),
                       STR_ARG(text));
    *value_r = value;
    return 0;
}

int conf_value_bool(struct str name, struct str text, bool *value_r, struct err *err)
{
    if (!str_is_nocase(text, STR("yes")) && !str_is_nocase(text, STR("no")))
        return err_set(err, ERR_PERMANENT, "bad boolean configuration: " STR_FMT " = " STR_FMT " (say yes or no)",
                       STR_ARG(name), STR_ARG(text));
    *value_r = str_is_nocase(text, STR("yes"));
    return 0;
}

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 604800;
    default:
        return 0;
    }
}

int conf_parse_time(struct str text, char default_unit, int64_t *seconds_r)
{
    int64_t value, unit = unit_seconds(default_unit);
    if (text.len > 0 && unit_seconds(text.ptr[text.len - 1]) > 0) {
        unit = unit_seconds(text.ptr[text.len - 1]);
        text.len--;
    }
    if (text.len == 0 || text.ptr[0] < '0' || text.ptr[0] > '9' || unit == 0)
        return -1;
    if (str_to_i64(text, &value) != 0 || value > TIME_MAX / unit)
        return -1;
    *seconds_r = value * unit;
    return 0;
}

int conf_value_time(struct str name, struct str text, char unit, int64_t *seconds_r, struct err *err)
{
    if (conf_parse_time(text, unit, seconds_r) != 0)
        return err_set(err, ERR_PERMANENT,
                       "parameter " STR_FMT ": bad time value or unit: " STR_FMT " (a number and one of s m h d w)",
                       STR_ARG(name), STR_ARG(text));
    return 0;
}

int conf_get_str(const struct conf *c, const char *name, const char *otherwise, struct buf *out, struct err *err)
{
    struct str raw, key = str_from(name);
    bool has_own_default = otherwise != NULL && !conf_is_set(c, key);
    if (has_own_default)
        raw = str_from(otherwise);
    else if (!conf_raw(c, key, &raw))
        return 0;
    if (conf_expand(c, raw, out, err) == 0)
        return 0;
    if (err != NULL)
        err_prefix(err, "%s: parameter %s", c->path, name);
    return -1;
}

int conf_get_int(const struct conf *c, const char *name, const char *otherwise, int64_t *value_r, struct err *err)
{
    struct buf text = BUF_INIT;
    int status = conf_get_str(c, name, otherwise, &text, err);
    if (status == 0)
        status = conf_value_int(str_from(name), buf_str(&text), true, value_r, err);
    buf_release(&text);
    return status;
}

int conf_get_bool(const struct conf *c, const char *name, const char *otherwise, bool *value_r, struct err *err)
{
    struct buf text = BUF_INIT;
    int status = conf_get_str(c, name, otherwise, &text, err);
    if (status == 0)
        status = conf_value_bool(str_from(name), buf_str(&text), value_r, err);
    buf_release(&text);
    return status;
}

int conf_get_time(const struct conf *c, const char *name, const char *otherwise, int64_t *seconds_r, struct err *err)
{
    struct buf text = BUF_INIT;
    const struct param *p = param_find(str_from(name));
    int status = conf_get_str(c, name, otherwise, &text, err);
    if (status == 0)
        status = conf_value_time(str_from(name), buf_str(&text), p != NULL && p->unit ? p->unit : 's', seconds_r, err);
    buf_release(&text);
    return status;
}
