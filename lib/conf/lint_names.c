// SPDX-License-Identifier: ISC
// lint_names.c: names in main.cf and in -o options that mean nothing, with the name that was probably meant.
#include "lib/conf/lint_private.h"

// Does `text` refer to the name as $name, ${name...} or $(name...)?
static bool refers_to(struct str text, struct str name)
{
    for (size_t i = 0; i + name.len < text.len; i++) {
        if (text.ptr[i] != '$')
            continue;
        size_t at = i + 1;
        while (at < text.len && (text.ptr[at] == '{' || text.ptr[at] == '('))
            at++;
        struct str rest = str_slice(text, at, text.len);
        char next = rest.len > name.len ? rest.ptr[name.len] : ' ';
        bool ends = !(next == '_' || (next >= '0' && next <= '9') || (next >= 'a' && next <= 'z') ||
                      (next >= 'A' && next <= 'Z'));
        if (str_starts(rest, name) && ends)
            return true;
    }
    return false;
}

static bool lists(struct lint *l, const char *parameter, struct str name)
{
    struct str rest = lint_value(l, parameter), word;
    while (str_token(&rest, LINT_SEPARATORS, &word))
        if (str_is(word, name))
            return true;
    return false;
}

// "ldap:NAME" and the like read NAME_key from main.cf.
static bool belongs_to_table(struct str text, struct str name)
{
    static const char *const types[] = {"ldap:", "mysql:", "pgsql:", "sqlite:", "memcache:", "mongodb:"};
    struct str word;
    while (str_token(&text, ", \t{}", &word)) {
        if (str_starts(word, STR("proxy:")))
            word = str_slice(word, 6, word.len);
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
            struct str source = str_slice(word, strlen(types[i]), word.len);
            if (str_starts(word, str_from(types[i])) && source.len > 0 && str_starts(name, source) &&
                name.len > source.len && name.ptr[source.len] == '_')
                return true;
        }
    }
    return false;
}

static bool is_used(struct lint *l, struct str name)
{
    struct conf_entry e;
    size_t at = 0;
    while (conf_next(l->conf, &at, &e))
        if (refers_to(e.value, name) || belongs_to_table(e.value, name))
            return true;
    for (size_t row = 0; row < l->row_count; row++)
        for (size_t i = 0; i < l->rows[row].argc; i++)
            if (refers_to(l->rows[row].argv[i], name) || belongs_to_table(l->rows[row].argv[i], name))
                return true;
    return lists(l, "smtpd_restriction_classes", name);
}

// NAME_suffix with the suffix of a per-service parameter; *service_r is NAME.
static bool is_service_name(struct str name, struct str *service_r)
{
    for (size_t i = 0; i < param_count; i++) {
        struct str suffix = str_from(param_table[i].name), kind;
        if (param_table[i].class != PARAM_SERVICE || suffix.ptr[0] != '<' || !str_cut(&suffix, '>', &kind))
            continue;
        if (str_ends(name, suffix) && name.len > suffix.len) {
            *service_r = str_slice(name, 0, name.len - suffix.len);
            return true;
        }
    }
    return false;
}

static bool has_row(const struct lint *l, struct str service)
{
    for (size_t i = 0; i < l->row_count; i++)
        if (str_is(l->rows[i].name, service))
            return true;
    return false;
}

static const char *suggestion(struct str name)
{
    const char *best = NULL;
    size_t limit = name.len / 6 + 1;
    limit = limit > 4 ? 4 : limit;
    for (size_t i = 0; i < param_count; i++) {
        if (param_table[i].name[0] == '<' || param_table[i].class == PARAM_REMOVED)
            continue;
        size_t distance = lint_distance(name, str_from(param_table[i].name), limit);
        if (distance > limit || (best != NULL && distance == limit))
            continue;
        best = param_table[i].name;
        limit = distance;
    }
    return best;
}

static void check_name(struct lint *l, struct str name, struct lint_place place)
{
    struct str service;
    if (param_find(name) != NULL)
        return;
    if (is_service_name(name, &service)) {
        if (!has_row(l, service))
            lint_add(l, KIND(LINT_WARNING, "unknown-service"), place,
                     "parameter " STR_FMT ": master.cf has no service \"" STR_FMT "\"", STR_ARG(name),
                     STR_ARG(service));
        return;
    }
    if (is_used(l, name))
        return;
    const char *meant = suggestion(name);
    if (meant != NULL)
        lint_add(l, KIND(LINT_WARNING, "unknown-name"), place, "unknown parameter " STR_FMT ": did you mean %s?",
                 STR_ARG(name), meant);
    else
        lint_add(l, KIND(LINT_WARNING, "unknown-name"), place,
                 "unknown parameter " STR_FMT ", which no value refers to", STR_ARG(name));
}

void lint_names(struct lint *l)
{
    struct conf_entry e;
    size_t at = 0;
    while (conf_next(l->conf, &at, &e))
        check_name(l, e.name, (struct lint_place){e.file, e.line});
    for (size_t row = 0; row < l->row_count; row++) {
        const struct master_row *r = &l->rows[row];
        for (size_t i = 0; i + 1 < r->argc && r->argv[i].len > 0 && r->argv[i].ptr[0] == '-'; i++) {
            struct str value = r->argv[i + 1], name;
            if (!str_is(r->argv[i], STR("-o")))
                continue;
            i++;
            if (str_cut(&value, '=', &name))
                check_name(l, str_trim(name), (struct lint_place){l->master_path, r->line});
        }
    }
}
