// SPDX-License-Identifier: ISC
// main_cf.c: main.cf in memory: reading, overriding, asking for raw text.
//
// Limits: CONF_FILE_MAX bytes per file.
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/conf/conf_private.h"
#include "lib/sys/sys.h"

struct conf *conf_new(const char *dir)
{
    struct conf *c = MEM_NEW(struct conf);
    c->arena = ARENA_INIT;
    c->values = MAP_INIT;
    c->dir = mem_strdup(dir);
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/main.cf", dir);
    c->path = mem_strdup(buf_cstr(&path));
    c->reading = c->path;
    buf_release(&path);
    conf_runtime_init(c);
    return c;
}

void conf_free(struct conf *c)
{
    if (c == NULL)
        return;
    conf_runtime_free(c);
    map_release(&c->values);
    mem_free(c->list);
    mem_free(c->path);
    mem_free(c->dir);
    arena_release(&c->arena);
    mem_free(c);
}

const char *conf_dir(const struct conf *c)
{
    return c->dir;
}

static void add_value(struct conf *c, struct str name, struct str value, unsigned line)
{
    struct conf_value *v = ARENA_NEW(&c->arena, struct conf_value);
    v->name = arena_str(&c->arena, name);
    v->value = arena_str(&c->arena, value);
    v->line = line;
    v->file = line > 0 ? c->reading : NULL;
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 64;
        c->list = mem_realloc(c->list, c->capacity * sizeof(*c->list));
    }
    c->list[c->count++] = v;
    struct conf_value *old = map_set(&c->values, v->name, v);
    if (old != NULL)
        old->is_superseded = true;
}

// Set twice in one file is a mistake; a file of main.cf.d that sets a value of an earlier file does its job.
static void warn_overridden(const struct conf *c, struct str name, unsigned number)
{
    const struct conf_value *old = map_get(&c->values, name);
    if (old != NULL && old->file == c->reading)
        log_warn("%s, line %u: overriding earlier entry: " STR_FMT "=" STR_FMT, c->reading, number, STR_ARG(name),
                 STR_ARG(old->value));
}

static int parse_line(struct conf *c, struct str line, unsigned number, struct err *err)
{
    struct str name, value;
    if (conf_is_blank(line.ptr[0])) {
        log_warn("%s: logical line must not start with whitespace: \"" STR_FMT "\"", c->reading, STR_ARG(line));
        return 0;
    }
    int status = 0;
    if (memchr(line.ptr, '\0', line.len) != NULL)
        status = err_set(err, ERR_PERMANENT, "NUL byte in the text: remove it");
    else if (line.len > CONF_VALUE_MAX)
        status = err_set(err, ERR_PERMANENT, "line is longer than %d bytes: use a table or a file", CONF_VALUE_MAX);
    else
        status = conf_split_assignment(line, &name, &value, err);
    if (status != 0) {
        err_prefix(err, "%s, line %u", c->reading, number);
        return -1;
    }
    warn_overridden(c, name, number);
    add_value(c, name, value, number);
    return 0;
}

int conf_parse(struct conf *c, struct str text, struct err *err)
{
    struct conf_lines lines;
    struct str line;
    unsigned number = 0;
    int status = 0;
    conf_lines_init(&lines, text);
    while (status == 0 && conf_lines_next(&lines, &line, &number))
        status = parse_line(c, line, number, err);
    conf_lines_release(&lines);
    return status;
}

static int apply_overrides(struct conf *c, const char *const *overrides, struct err *err)
{
    struct str name, value;
    for (size_t i = 0; overrides != NULL && overrides[i] != NULL; i++) {
        const char *text = overrides[i];
        if (conf_split_assignment(str_from(text), &name, &value, err) != 0)
            return err_set(err, ERR_PERMANENT, "invalid parameter override: %s: %s", text,
                           text[0] == '=' ? "missing attribute name" : "missing '=' after attribute name");
        conf_override(c, name, value);
    }
    return 0;
}

static int read_file(struct conf *c, const char *path, struct err *err)
{
    struct buf content = BUF_INIT;
    c->reading = path;
    int status = sys_read_file(path, CONF_FILE_MAX, &content, err);
    if (status == 0)
        status = conf_parse(c, buf_str(&content), err);
    buf_release(&content);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    const struct dirent *const *left = a, *const *right = b;
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int is_drop_in(const struct dirent *e)
{
    return e->d_name[0] != '.' && str_ends(str_from(e->d_name), STR(".cf"));
}

// Files of main.cf.d, in the order of their names byte by byte; no such directory is fine.
static int read_drop_ins(struct conf *c, struct err *err)
{
    struct dirent **list = NULL;
    const char *dir = arena_strf(&c->arena, "%s.d", c->path).ptr;
    int count = scandir(dir, &list, is_drop_in, NULL), status = 0;
    if (count < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, "open %s", dir);
    qsort(list, (size_t)count, sizeof(*list), compare_names);
    for (int i = 0; i < count; i++) {
        if (status == 0)
            status = read_file(c, arena_strf(&c->arena, "%s/%s", dir, list[i]->d_name).ptr, err);
        free(list[i]);
    }
    free(list);
    return status;
}

struct conf *conf_open(const char *dir, const char *const *overrides, struct err *err)
{
    struct conf *c = conf_new(dir);
    int status = read_file(c, c->path, err);
    if (status == 0)
        status = read_drop_ins(c, err);
    if (status == 0)
        status = apply_overrides(c, overrides, err);
    if (status == 0)
        return c;
    conf_free(c);
    return NULL;
}

struct conf *conf_open_defaults(const char *dir)
{
    return conf_new(dir);
}

struct conf *conf_open_layer(const struct conf *base)
{
    struct conf *c = conf_new(base->dir);
    c->base = base;
    return c;
}

int conf_override(struct conf *c, struct str name, struct str value)
{
    if (name.len == 0 || value.len > CONF_VALUE_MAX)
        return -1;
    add_value(c, name, value, 0);
    conf_runtime_forget(c);
    return 0;
}

bool conf_is_set(const struct conf *c, struct str name)
{
    return map_get(&c->values, name) != NULL || (c->base != NULL && conf_is_set(c->base, name));
}

bool conf_raw(const struct conf *c, struct str name, struct str *value_r)
{
    if (str_is(name, STR("config_directory"))) { // always the directory in use, whatever main.cf says
        *value_r = str_from(c->dir);
        return true;
    }
    const struct conf_value *v = map_get(&c->values, name);
    if (v != NULL) {
        *value_r = v->value;
        return true;
    }
    if (c->base != NULL)
        return conf_raw(c->base, name, value_r);
    if (conf_runtime_default(c, name, value_r))
        return true;
    const struct param *p = param_find(name);
    if (p == NULL)
        return false;
    *value_r = str_from(p->default_text);
    return true;
}

bool conf_next(const struct conf *c, size_t *at, struct conf_entry *entry_r)
{
    while (*at < c->count) {
        const struct conf_value *v = c->list[(*at)++];
        if (v->is_superseded)
            continue;
        *entry_r = (struct conf_entry){v->name, v->value, v->line, v->file};
        return true;
    }
    return false;
}

bool conf_origin(const struct conf *c, struct str name, struct conf_entry *entry_r)
{
    const struct conf_value *v = map_get(&c->values, name);
    if (v == NULL)
        return false;
    *entry_r = (struct conf_entry){v->name, v->value, v->line, v->file};
    return true;
}
