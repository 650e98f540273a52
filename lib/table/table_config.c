// SPDX-License-Identifier: ISC
// table_config.c: the "key = value" file of an SQL, LDAP or cache table, or the same as main.cf parameters.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/table/table_source_impl.h"

#define VALUE_MAX (64 * 1024)

struct table_config {
    char *name;
    struct map values; // key -> char *
};

static void set_value(struct table_config *c, struct str key, struct str value)
{
    char *old = map_set(&c->values, key, mem_dup_str(value));
    if (old != NULL) {
        explicit_bzero(old, strlen(old));
        mem_free(old);
    }
}

static void take_line(struct table_config *c, struct str text, unsigned line)
{
    struct str value = text, key;

    if (!str_cut(&value, '=', &key) || str_trim(key).len == 0) {
        log_warn("%s, line %u: missing '=' after attribute name: \"" STR_FMT "\" -- ignoring this line", c->name, line,
                 STR_ARG(str_slice(text, 0, 30)));
        return;
    }
    if (value.len > VALUE_MAX) {
        log_warn("%s, line %u: the value is too long -- ignoring this line", c->name, line);
        return;
    }
    key = str_trim(key);
    if (map_get(&c->values, key) != NULL)
        log_warn("%s, line %u: overriding earlier entry: \"" STR_FMT "\"", c->name, line, STR_ARG(key));
    set_value(c, key, str_trim(value));
}

static int read_file(struct table_config *c, struct err *err)
{
    struct table_lines *lines;
    struct str text;
    unsigned line;
    int more, fd = open(c->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return err_errno(err, "open %s", c->name);
    lines = table_lines_open_fd(fd, c->name);
    while ((more = table_lines_next(lines, &text, &line, err)) > 0)
        take_line(c, text, line);
    table_lines_close(lines);
    return more;
}

// Takes every NAME_key that main.cf sets.
static int read_parameters(struct table_config *c, struct err *err)
{
    struct conf *conf = conf_open(conf_default_dir(), NULL, err);
    struct buf prefix = BUF_INIT, value = BUF_INIT;
    struct conf_entry entry;

    if (conf == NULL)
        return -1;
    buf_addf(&prefix, "%s_", c->name);
    for (size_t at = 0; conf_next(conf, &at, &entry);) {
        char *name;
        if (!str_starts(entry.name, buf_str(&prefix)))
            continue;
        name = mem_dup_str(entry.name);
        buf_clear(&value);
        if (conf_get_str(conf, name, "", &value, NULL) == 0)
            set_value(c, str_from(name + prefix.len), buf_str(&value));
        mem_free(name);
    }
    buf_release(&prefix);
    buf_wipe(&value);
    conf_free(conf);
    return 0;
}

struct table_config *table_config_open(const char *name, struct err *err)
{
    struct table_config *c = MEM_NEW(struct table_config);

    c->name = mem_strdup(name);
    c->values = MAP_INIT;
    if ((name[0] == '/' || name[0] == '.' ? read_file(c, err) : read_parameters(c, err)) == 0)
        return c;
    table_config_close(c);
    return NULL;
}

void table_config_close(struct table_config *c)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    if (c == NULL)
        return;
    while ((entry = map_next(&c->values, &it)) != NULL) {
        explicit_bzero(entry->value, strlen(entry->value));
        mem_free(entry->value);
    }
    map_release(&c->values);
    mem_free(c->name);
    mem_free(c);
}

const char *table_config_name(const struct table_config *c)
{
    return c->name;
}

struct str table_config_str(struct table_config *c, const char *key, const char *otherwise)
{
    const char *value = map_get(&c->values, str_from(key));

    return str_from(value ? value : otherwise);
}

bool table_config_has(struct table_config *c, const char *key)
{
    return table_config_str(c, key, NULL).ptr != NULL;
}

int table_config_int(struct table_config *c, const char *key, int64_t otherwise, int64_t *value_r, struct err *err)
{
    struct str text = table_config_str(c, key, "");

    *value_r = otherwise;
    if (text.len > 0 && (str_to_i64(text, value_r) < 0 || *value_r < 0))
        return err_set(err, ERR_PERMANENT, "%s: bad numerical configuration: %s = " STR_FMT, c->name, key,
                       STR_ARG(text));
    return 0;
}

int table_config_bool(struct table_config *c, const char *key, bool otherwise, bool *value_r, struct err *err)
{
    struct str text = table_config_str(c, key, "");

    *value_r = str_is_nocase(text, STR("yes"));
    if (text.len == 0)
        *value_r = otherwise;
    else if (!*value_r && !str_is_nocase(text, STR("no")))
        return err_set(err, ERR_PERMANENT, "%s: bad boolean configuration: %s = " STR_FMT, c->name, key, STR_ARG(text));
    return 0;
}
