// SPDX-License-Identifier: ISC
// lint_tables.c: tables that main.cf names: unknown types, missing, unreadable and stale files.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf/lint_private.h"

enum table_kind { KIND_TEXT, KIND_SOURCE_OR_INDEX, KIND_INDEX };
static const struct {
    struct str type;
    enum table_kind kind;
    const char *suffix; // of the index
} file_types[] = {
    {STR("hash"), KIND_SOURCE_OR_INDEX, ".lmdb"},
    {STR("btree"), KIND_SOURCE_OR_INDEX, ".lmdb"},
    {STR("lmdb"), KIND_INDEX, ".lmdb"},
    {STR("cdb"), KIND_INDEX, ".cdb"},
    {STR("texthash"), KIND_TEXT, ""},
    {STR("cidr"), KIND_TEXT, ""},
    {STR("regexp"), KIND_TEXT, ""},
    {STR("pcre"), KIND_TEXT, ""},
    {STR("sqlite"), KIND_TEXT, ""},
    {STR("mysql"), KIND_TEXT, ""},
    {STR("pgsql"), KIND_TEXT, ""},
    {STR("ldap"), KIND_TEXT, ""},
    {STR("memcache"), KIND_TEXT, ""},
    {STR("redis"), KIND_TEXT, ""},
};

struct table_use {
    const char *parameter;
    struct lint_place place;
    struct str type, path;
};

static bool examine(struct lint *l, const struct table_use *u, const char *path, struct stat *st_r)
{
    if (stat(path, st_r) != 0)
        return false;
    if (!S_ISREG(st_r->st_mode))
        lint_add(l, KIND(LINT_ERROR, "bad-table"), u->place, "%s: %s is not a file", u->parameter, path);
    else if (access(path, R_OK) != 0)
        lint_add(l, KIND(LINT_ERROR, "unreadable-table"), u->place, "%s: %s: %s", u->parameter, path, strerror(errno));
    return true;
}

static void check_index(struct lint *l, const struct table_use *u, enum table_kind kind, const char *suffix)
{
    const char *source = arena_cstr(&l->arena, u->path);
    const char *index = arena_strf(&l->arena, STR_FMT "%s", STR_ARG(u->path), suffix).ptr;
    struct stat source_st, index_st;
    bool has_index = examine(l, u, index, &index_st), has_source = examine(l, u, source, &source_st);
    if (!has_index && !has_source)
        lint_add(l, KIND(LINT_ERROR, "missing-table"), u->place, "%s: neither %s nor %s exists", u->parameter, source,
                 index);
    else if (!has_index && kind == KIND_INDEX)
        lint_add(l, KIND(LINT_ERROR, "missing-table"), u->place, "%s: %s does not exist: run postmap " STR_FMT ":%s",
                 u->parameter, index, STR_ARG(u->type), source);
    else if (has_index && has_source && kind == KIND_INDEX && source_st.st_mtime > index_st.st_mtime)
        lint_add(l, KIND(LINT_WARNING, "stale-table"), u->place, "%s: %s is older than %s: run postmap " STR_FMT ":%s",
                 u->parameter, index, source, STR_ARG(u->type), source);
}

static void check_use(struct lint *l, const struct table_use *u)
{
    struct stat st;
    for (size_t i = 0; i < sizeof(file_types) / sizeof(file_types[0]); i++) {
        if (!str_is(u->type, file_types[i].type))
            continue;
        if (u->path.len == 0 || u->path.ptr[0] != '/')
            return; // inline rules, or keys in main.cf
        if (file_types[i].kind != KIND_TEXT)
            check_index(l, u, file_types[i].kind, file_types[i].suffix);
        else if (!examine(l, u, arena_cstr(&l->arena, u->path), &st))
            lint_add(l, KIND(LINT_ERROR, "missing-table"), u->place, "%s: " STR_FMT " does not exist", u->parameter,
                     STR_ARG(u->path));
        return;
    }
}

static bool is_known_type(const struct lint *l, struct str type)
{
    for (const char *const *known = l->table_types; *known != NULL; known++)
        if (str_is(type, str_from(*known)))
            return true;
    return false;
}

static bool is_type_word(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9')))
            return false;
    return s.len > 0;
}

// Files that a daemon makes when it needs them.
static bool is_cache(struct str name)
{
    return str_ends(name, STR("_session_cache_database"));
}

// tls_server_sni_maps takes directories, too.
static bool is_directory_of_names(struct str name, struct str item)
{
    return str_is(name, STR("tls_server_sni_maps")) && item.ptr[0] == '/';
}

static bool is_list_of_tables(struct str name)
{
    return str_ends(name, STR("_maps")) || str_is(name, STR("alias_database")) || str_is(name, STR("header_checks")) ||
           str_is(name, STR("body_checks"));
}

static void check_value(struct lint *l, const char *name, struct str value, struct lint_place place)
{
    struct str token;
    bool only_tables = is_list_of_tables(str_from(name));
    while (str_token_braced(&value, LINT_SEPARATORS, &token)) {
        struct table_use u = {.parameter = name, .place = place, .path = token};
        bool has_type = str_cut(&u.path, ':', &u.type);
        if (has_type && str_is(u.type, STR("proxy")))
            (void)str_cut(&u.path, ':', &u.type);
        if (is_directory_of_names(str_from(name), token))
            continue;
        if (only_tables && !has_type && token.ptr[0] != '$' && token.ptr[0] != '{')
            lint_add(l, KIND(LINT_ERROR, "bad-table"), place, "%s: \"" STR_FMT "\" is no table: write type:name", name,
                     STR_ARG(token));
        else if (only_tables && has_type && is_type_word(u.type) && !is_known_type(l, u.type))
            lint_add(l, KIND(LINT_ERROR, "unknown-type"), place,
                     "%s: this system has no table type \"" STR_FMT "\" (postconf -m)", name, STR_ARG(u.type));
        else if (has_type)
            check_use(l, &u);
    }
}

void lint_tables(struct lint *l)
{
    struct conf_entry e;
    size_t at = 0;
    while (conf_next(l->conf, &at, &e)) {
        const struct param *p = param_find(e.name);
        if (p != NULL && p->type == PARAM_STRING && !is_cache(e.name) && !str_is(e.name, STR("proxy_read_maps")) &&
            !str_is(e.name, STR("proxy_write_maps")))
            check_value(l, p->name, lint_value(l, p->name), (struct lint_place){e.file, e.line});
    }
}
