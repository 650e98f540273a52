// SPDX-License-Identifier: ISC
// access_compile.c: the words of a restriction list as rules, with their tables opened.
#include "lib/access/access_impl.h"

const struct access_keyword *access_keyword_find(struct str word)
{
    for (const struct access_keyword *k = access_keywords; k->name != NULL; k++)
        if (str_is_nocase(word, str_from(k->name)))
            return k;
    return NULL;
}

// A bare table is looked up as the list's own subject.
static const struct access_keyword *bare_table_keyword(enum access_list_id list)
{
    static const char *const names[LIST_COUNT] = {
        [LIST_CLIENT] = "check_client_access",       [LIST_HELO] = "check_helo_access",
        [LIST_SENDER] = "check_sender_access",       [LIST_RELAY] = "check_recipient_access",
        [LIST_RECIPIENT] = "check_recipient_access", [LIST_ETRN] = "check_etrn_access"};
    return names[list] != NULL ? access_keyword_find(str_from(names[list])) : NULL;
}

struct table *access_find_table(struct access *a, struct str type_name, bool may_open)
{
    struct table *t = map_get(&a->tables, type_name);
    if (t == NULL && may_open) {
        t = table_open(type_name, 0);
        map_set(&a->tables, type_name, t);
    }
    return t;
}

// "{ type:name, option=value }" is "type:name"; the options stay in the argument as written.
static struct str table_of(struct str argument)
{
    struct str inside = argument, name;
    if (argument.len < 2 || argument.ptr[0] != '{')
        return argument;
    inside = str_trim(str_slice(argument, 1, argument.len - 1));
    return str_token_braced(&inside, ACCESS_SEPARATORS, &name) ? name : argument;
}

// Policy servers need nothing from outside the jail but a port's name.
static struct policy_server *find_policy_server(struct access *a, struct str argument)
{
    struct err err = ERR_INIT;
    struct policy_server *server = policy_server_open(a->policies, argument, &err);
    if (server == NULL)
        log_warn("%s", err.text);
    return server;
}

// A mistake in main.cf forbids to start; one in a table is found when it is used.
static void complain(struct access *a, const struct access_source *source, struct access_rule *r, const struct err *err)
{
    r->is_malformed = true;
    if (source->may_open && a->error.kind == ERR_NONE)
        a->error = *err;
    else
        log_warn("%s: " STR_FMT ": %s", source->parameter, STR_ARG(r->word), err->text);
}

// "domain" or "domain=d.d.d.d".
static int take_domain(struct access_rule *r, struct arena *arena, struct err *err)
{
    struct str rest = r->argument;
    if (!str_cut(&rest, '=', &r->domain))
        return 0;
    r->filter = ARENA_NEW(arena, struct address_filter);
    return address_filter_parse(rest, r->filter, err);
}

static void take_argument(struct access *a, const struct access_source *source, struct arena *arena,
                          struct access_rule *r)
{
    struct err err = ERR_INIT;
    int rc = 0;
    switch (r->keyword->argument) {
    case ARGUMENT_NONE:
        break;
    case ARGUMENT_TABLE:
        r->table = access_find_table(a, table_of(r->argument), source->may_open);
        break;
    case ARGUMENT_SERVICE:
        r->server = find_policy_server(a, r->argument);
        break;
    case ARGUMENT_DOMAIN:
        rc = take_domain(r, arena, &err);
        break;
    case ARGUMENT_SECONDS:
        rc = conf_parse_time(r->argument, 's', &r->number);
        if (rc < 0)
            err_set(&err, ERR_PERMANENT, "bad time \"" STR_FMT "\"", STR_ARG(r->argument));
        break;
    }
    if (rc < 0)
        complain(a, source, r, &err);
}

static bool ends_list(const struct access_rule *r)
{
    return str_is_nocase(r->word, STR("permit")) || str_is_nocase(r->word, STR("reject")) ||
           str_is_nocase(r->word, STR("defer"));
}

static void warn_of_rest(const struct access_source *source, const struct access_rule *r, struct str rest)
{
    struct str word;
    if (source->may_open && ends_list(r) && !r->only_warns && str_token_braced(&rest, ACCESS_SEPARATORS, &word))
        log_warn("%s: restriction `" STR_FMT "' after `" STR_FMT "' is ignored", source->parameter, STR_ARG(word),
                 STR_ARG(r->word));
}

static void compile_word(struct access *a, const struct access_source *source, struct str *rest, struct access_rule *r)
{
    bool has_argument = false;
    r->class = map_get(&a->classes, r->word);
    r->keyword = r->class == NULL ? access_keyword_find(r->word) : NULL;
    if (r->class == NULL && r->keyword == NULL && str_find(r->word, ':') >= 0) {
        r->keyword = bare_table_keyword(source->list);
        if (r->keyword != NULL) {
            r->argument = r->word;
            r->word = str_from(r->keyword->name);
            has_argument = true;
        }
    } else if (r->keyword != NULL && r->keyword->argument != ARGUMENT_NONE) {
        has_argument = str_token_braced(rest, ACCESS_SEPARATORS, &r->argument);
    }
    if (has_argument)
        take_argument(a, source, source->arena, r);
}

// Of "{ type:name, name = value, { name = value } }".
struct str access_rule_option(const struct access_rule *r, struct str name)
{
    struct str rest = r->argument, item, key;
    if (rest.len < 2 || rest.ptr[0] != '{')
        return STR("");
    rest = str_slice(rest, 1, rest.len - 1);
    while (str_token_braced(&rest, ",\t\r\n", &item)) {
        item = str_trim(item);
        if (item.len > 2 && item.ptr[0] == '{')
            item = str_trim(str_slice(item, 1, item.len - 1));
        if (str_cut(&item, '=', &key) && str_is_nocase(str_trim(key), name))
            return str_trim(item);
    }
    return STR("");
}

static size_t count_words(struct str text)
{
    struct str word;
    size_t count = 0;
    while (str_token_braced(&text, ACCESS_SEPARATORS, &word))
        count++;
    return count;
}

void access_compile(struct access *a, const struct access_source *source, struct str text, struct access_list *list_r)
{
    struct str word, rest = text;
    bool only_warns = false;
    *list_r = (struct access_list){.parameter = source->parameter};
    list_r->rules = ARENA_ARRAY(source->arena, struct access_rule, count_words(text));
    while (str_token_braced(&rest, ACCESS_SEPARATORS, &word)) {
        if (str_is_nocase(word, STR("warn_if_reject"))) {
            only_warns = true;
            continue;
        }
        struct access_rule *r = &list_r->rules[list_r->count];
        *r = (struct access_rule){.word = word, .position = (unsigned)++list_r->count, .only_warns = only_warns};
        compile_word(a, source, &rest, r);
        warn_of_rest(source, r, rest);
        only_warns = false;
    }
}

// ---- Is there a restriction that stops relaying?

static bool stops_relaying(const struct access_list *list, unsigned depth)
{
    static const char *const names[] = {"reject",
                                        "defer",
                                        "defer_if_permit",
                                        "reject_unauth_destination",
                                        "defer_unauth_destination",
                                        "check_relay_domains"};
    for (size_t i = 0; i < list->count; i++) {
        const struct access_rule *r = &list->rules[i];
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
            if (r->class == NULL && str_is_nocase(r->word, str_from(names[k])))
                return true;
        if (str_is_nocase(r->word, STR("permit")) && !r->only_warns)
            return false; // what follows is never reached
        if (r->class != NULL && depth < ACCESS_DEPTH_MAX && stops_relaying(r->class, depth + 1))
            return true;
    }
    return false;
}

int access_check_lists(struct access *a, struct err *err)
{
    if (stops_relaying(&a->lists[LIST_RELAY], 0) || stops_relaying(&a->lists[LIST_RECIPIENT], 0))
        return 0;
    return err_set(err, ERR_PERMANENT,
                   "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one "
                   "working instance of: "
                   "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit");
}
