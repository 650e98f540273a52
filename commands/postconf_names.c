// SPDX-License-Identifier: ISC
// postconf_names.c: which parameter names mean something: built-in ones, those of each service, those that other values
// use.
#include <unistd.h>

#include "commands/postconf.h"
#include "lib/base/log.h"

static char present[] = "";

static void add_known(struct postconf *p, const char *name, const char *default_text, unsigned class, bool is_hidden)
{
    if (map_get(&p->known, str_from(name)) != NULL)
        return;
    struct postconf_known *k = ARENA_NEW(&p->arena, struct postconf_known);
    *k = (struct postconf_known){name, default_text, class, is_hidden};
    (void)map_set(&p->known, str_from(name), k);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Collects what `text` refers to as $name, ${name...} or $(name...).
static void collect_references(struct str text, struct map *names)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] != '$')
            continue;
        i++;
        if (text.ptr[i] == '$')
            continue;
        while (i < text.len && (text.ptr[i] == '{' || text.ptr[i] == '(' || text.ptr[i] == ' '))
            i++;
        size_t start = i;
        while (i < text.len && is_name_char(text.ptr[i]))
            i++;
        // ${{literal} == ...} and ${function{...}} are no references
        bool is_literal = start > 1 && text.ptr[start - 1] == '{' && text.ptr[start - 2] == '{';
        bool is_call = i < text.len && text.ptr[i] == '{';
        if (i > start && !is_literal && !is_call)
            (void)map_set(names, str_slice(text, start, i), present);
        i--;
    }
}

static bool is_delivery_agent(struct str command)
{
    static const char *const agents[] = {"local", "error", "virtual", "smtp", "lmtp", "pipe"};
    for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++)
        if (str_is(command, str_from(agents[i])))
            return true;
    return false;
}

static void learn_service_name(struct postconf *p, const struct master_row *row, const struct param *pattern)
{
    struct str rest = str_from(pattern->name), kind;
    if (!str_cut(&rest, '>', &kind))
        return;
    bool is_time_limit = str_is(rest, STR("_time_limit")), is_hidden = str_is(rest, STR("_sessions_per_process"));
    bool runs_commands = str_is(row->command, STR("pipe")) || str_is(row->command, STR("spawn"));
    if (is_time_limit ? !runs_commands : !is_hidden && !is_delivery_agent(row->command))
        return;
    char *name = arena_cstr(&p->arena, arena_strf(&p->arena, STR_FMT STR_FMT, STR_ARG(row->name), STR_ARG(rest)));
    const struct param *own = param_find(str_from(name)); // local_destination_recipient_limit and its like
    struct postconf_known *known = map_get(&p->known, str_from(name));
    if (known != NULL)
        known->class |= POSTCONF_SERVICE;
    add_known(p, name, own != NULL ? own->default_text : pattern->default_text, POSTCONF_SERVICE, is_hidden);
}

static void learn_builtin(struct postconf *p)
{
    for (size_t i = 0; i < param_count; i++) {
        const struct param *param = &param_table[i];
        bool is_own_service = param->name[0] != '<' && param->default_text[0] != '$'; // known without a master.cf row
        if (param->class != PARAM_SERVICE || is_own_service)
            add_known(p, param->name, param->default_text, POSTCONF_BUILTIN, param->class == PARAM_LEGACY);
    }
}

static void learn_services(struct postconf *p)
{
    for (size_t row = 0; row < p->row_count; row++)
        for (size_t i = 0; i < param_count; i++)
            if (param_table[i].class == PARAM_SERVICE && param_table[i].name[0] == '<')
                learn_service_name(p, &p->rows[row], &param_table[i]);
}

static void learn_overrides(struct postconf *p)
{
    for (size_t row = 0; row < p->row_count; row++) {
        const struct master_row *r = &p->rows[row];
        struct postconf_option option;
        size_t at = 0;
        while (postconf_next_option(r, &at, &option)) {
            collect_references(option.value, &p->master_names);
            if (option.is_override)
                (void)map_set(&p->master_set, option.name, arena_cstr(&p->arena, option.value));
        }
    }
}

// Tables configured by main.cf names ("ldap:x" reads x_server_host): any name with that beginning counts.
static bool belongs_to_table(const struct postconf *p, struct str name)
{
    static const char *const types[] = {"ldap:", "mysql:", "pgsql:", "sqlite:", "memcache:", "mongodb:"};
    struct conf_entry e;
    struct str token, rest;
    size_t at = 0;
    while (conf_next(p->conf, &at, &e)) {
        rest = e.value;
        while (str_token(&rest, ", \t{}", &token)) {
            if (str_starts(token, STR("proxy:")))
                token = str_slice(token, 6, token.len);
            for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                struct str source = str_slice(token, strlen(types[i]), token.len);
                if (str_starts(token, str_from(types[i])) && source.len > 0 && str_starts(name, source) &&
                    name.len > source.len && name.ptr[source.len] == '_')
                    return true;
            }
        }
    }
    return false;
}

static void learn_user_names(struct postconf *p)
{
    struct conf_entry e;
    struct str classes, token;
    size_t at = 0;
    if (conf_raw(p->conf, STR("smtpd_restriction_classes"), &classes))
        while (str_token(&classes, ", \t", &token))
            (void)map_set(&p->main_names, token, present);
    while (conf_next(p->conf, &at, &e))
        collect_references(e.value, &p->main_names);
    at = 0;
    while (conf_next(p->conf, &at, &e))
        if (map_get(&p->main_names, e.name) != NULL || map_get(&p->master_names, e.name) != NULL ||
            belongs_to_table(p, e.name))
            add_known(p, e.name.ptr, NULL, POSTCONF_USER, true);
}

static void read_master(struct postconf *p)
{
    struct err err = ERR_INIT;
    const char *path = arena_cstr(&p->arena, arena_strf(&p->arena, "%s/master.cf", p->options->dir));
    if (access(path, F_OK) != 0) {
        log_warn("open %s: no such file: names of services are not known", path);
        return;
    }
    if (master_cf_read(p->conf, path, &p->arena, &p->rows, &p->row_count, &err) != 0)
        die("%s", err.text);
}

void postconf_learn(struct postconf *p)
{
    read_master(p);
    learn_builtin(p);
    learn_services(p);
    learn_overrides(p);
    learn_user_names(p);
}

static void warn_undefined(const struct postconf *p, const struct map *names, const char *file)
{
    struct map_iter it = MAP_ITER_INIT;
    const struct map_entry *e;
    while ((e = map_next(names, &it)) != NULL)
        if (map_get(&p->known, e->key) == NULL && !conf_is_set(p->conf, e->key) &&
            map_get(&p->master_set, e->key) == NULL)
            log_warn("%s/%s: undefined parameter: " STR_FMT, p->options->dir, file, STR_ARG(e->key));
}

static bool is_used(const struct postconf *p, struct str name)
{
    return map_get(&p->known, name) != NULL || map_get(&p->main_names, name) != NULL ||
           map_get(&p->master_names, name) != NULL;
}

static void warn_unused_overrides(const struct postconf *p)
{
    struct map_iter it = MAP_ITER_INIT;
    const struct map_entry *e;
    while ((e = map_next(&p->master_set, &it)) != NULL)
        if (!is_used(p, e->key))
            log_warn("%s/master.cf: unused parameter: " STR_FMT "=%s", p->options->dir, STR_ARG(e->key),
                     (const char *)e->value);
}

void postconf_warn(struct postconf *p)
{
    struct conf_entry e;
    size_t at = 0;
    while (p->options->mode == POSTCONF_MAIN && conf_next(p->conf, &at, &e))
        if (map_get(&p->known, e.name) == NULL)
            log_warn("%s/main.cf: unused parameter: " STR_FMT "=" STR_FMT, p->options->dir, STR_ARG(e.name),
                     STR_ARG(e.value));
    warn_unused_overrides(p);
    warn_undefined(p, &p->main_names, "main.cf");
    warn_undefined(p, &p->master_names, "master.cf");
}

void postconf_release(struct postconf *p)
{
    map_release(&p->known);
    map_release(&p->main_names);
    map_release(&p->master_names);
    map_release(&p->master_set);
    conf_free(p->conf);
    conf_free(p->defaults);
    arena_release(&p->arena);
}
