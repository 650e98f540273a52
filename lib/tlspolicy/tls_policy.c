// SPDX-License-Identifier: ISC
// tls_policy.c: security levels, and policies as smtp_tls_policy_maps and smtp_tls_per_site write them. Pure.
// Trust: the tables are the administrator's, but a program that asks the network may fill them: lists are bounded.
#include "lib/tlspolicy/tls_policy.h"

#define WORDS_MAX 200

static const char *const level_names[] = {
    [TLS_LEVEL_NONE] = "none",           [TLS_LEVEL_MAY] = "may",
    [TLS_LEVEL_ENCRYPT] = "encrypt",     [TLS_LEVEL_FINGERPRINT] = "fingerprint",
    [TLS_LEVEL_HALF_DANE] = "half-dane", [TLS_LEVEL_DANE] = "dane",
    [TLS_LEVEL_DANE_ONLY] = "dane-only", [TLS_LEVEL_VERIFY] = "verify",
    [TLS_LEVEL_SECURE] = "secure",
};

int tls_level_parse(struct str name, enum tls_level *level_r)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (str_is_nocase(name, str_from(level_names[i]))) {
            *level_r = (enum tls_level)i;
            return 0;
        }
    return -1;
}

const char *tls_level_name(enum tls_level level)
{
    return level_names[level];
}

void tls_words_add(struct tls_words *words, struct str list, const char *separators, struct arena *arena)
{
    struct str word;

    if (words->items == NULL)
        words->items = ARENA_ARRAY(arena, struct str, WORDS_MAX);
    while (words->count < WORDS_MAX && str_token(&list, separators, &word))
        words->items[words->count++] = arena_str(arena, word);
}

// ---- One attribute

struct parser {
    struct tls_policy *policy;
    struct arena *arena;
    struct err *err;
};

static int repeated(struct parser *p, struct str name)
{
    return err_set(p->err, ERR_PERMANENT, "attribute \"" STR_FMT "\" is specified multiple times", STR_ARG(name));
}

static int misplaced(struct parser *p, struct str name)
{
    return err_set(p->err, ERR_PERMANENT, "attribute \"" STR_FMT "\" invalid at security level \"%s\"", STR_ARG(name),
                   tls_level_name(p->policy->level));
}

static int set_text(struct parser *p, struct str name, struct str value, struct str *text_r)
{
    if (text_r->len > 0)
        return repeated(p, name);
    *text_r = arena_str(p->arena, value);
    return 0;
}

static int set_flag(struct parser *p, struct str name, struct str value, bool *flag_r)
{
    if (!str_is_nocase(value, STR("yes")) && !str_is_nocase(value, STR("no")))
        return err_set(p->err, ERR_PERMANENT, "attribute \"" STR_FMT "\" has bad value: \"" STR_FMT "\"", STR_ARG(name),
                       STR_ARG(value));
    *flag_r = str_is_nocase(value, STR("yes"));
    return 0;
}

static int set_match(struct parser *p, struct str name, struct str value)
{
    enum tls_level level = p->policy->level;

    if (level < TLS_LEVEL_FINGERPRINT || tls_level_is_dane(level))
        return misplaced(p, name);
    tls_words_add(&p->policy->match, value, level == TLS_LEVEL_FINGERPRINT ? "|" : ":", p->arena);
    return 0;
}

static int set_named_text(struct parser *p, struct str name, struct str value)
{
    struct tls_policy *policy = p->policy;
    const struct {
        const char *name;
        struct str *text;
    } texts[] = {
        {"ciphers", &policy->ciphers},        {"protocols", &policy->protocols},    {"exclude", &policy->exclude},
        {"servername", &policy->server_name}, {"tafile", &policy->anchor_file},     {"policy_type", &policy->type},
        {"policy_domain", &policy->domain},   {"policy_failure", &policy->failure},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (str_is_nocase(name, str_from(texts[i].name)))
            return set_text(p, name, value, texts[i].text);
    return err_set(p->err, ERR_PERMANENT, "invalid attribute name: \"" STR_FMT "\"", STR_ARG(name));
}

static int set_attribute(struct parser *p, struct str name, struct str value)
{
    struct tls_policy *policy = p->policy;

    if (value.len == 0)
        return err_set(p->err, ERR_PERMANENT, "attribute \"" STR_FMT "\" has empty value", STR_ARG(name));
    if (str_is_nocase(name, STR("match")))
        return set_match(p, name, value);
    if (str_is_nocase(name, STR("tafile")) && policy->level < TLS_LEVEL_VERIFY)
        return misplaced(p, name);
    if (str_is_nocase(name, STR("connection_reuse"))) {
        policy->has_reuse = true;
        return set_flag(p, name, value, &policy->reuse);
    }
    if (str_is_nocase(name, STR("enable_rpk"))) {
        policy->has_raw_key = true;
        return set_flag(p, name, value, &policy->raw_key);
    }
    if (str_is_nocase(name, STR("mx_host_pattern"))) {
        tls_words_add(&policy->mx_patterns, value, ":", p->arena);
        return 0;
    }
    if (str_is_nocase(name, STR("policy_string")) || str_is_nocase(name, STR("policy_ttl")))
        return 0; // for reports only
    return set_named_text(p, name, value);
}

// ---- The value

int tls_policy_parse(struct str value, struct arena *arena, struct tls_policy *policy_r, struct str *ignored_r,
                     struct err *err)
{
    struct parser p = {policy_r, arena, err};
    struct str word, name, rest = value;

    *policy_r = (struct tls_policy){.level = TLS_LEVEL_NONE};
    if (ignored_r != NULL)
        *ignored_r = STR("");
    if (!str_token(&rest, ", \t\r\n", &word))
        return err_set(err, ERR_PERMANENT, "invalid empty policy");
    if (tls_level_parse(word, &policy_r->level) < 0)
        return err_set(err, ERR_PERMANENT, "invalid security level \"" STR_FMT "\"", STR_ARG(word));
    while (str_token_braced(&rest, ", \t\r\n", &word)) {
        struct str text = word;
        if (word.len >= 2 && word.ptr[0] == '{') // { name = value with blanks }
            text = str_trim(str_slice(word, 1, word.len - 1));
        if (policy_r->level == TLS_LEVEL_NONE) {
            if (ignored_r != NULL)
                *ignored_r = arena_str(arena, word);
            return 0;
        }
        if (!str_cut(&text, '=', &name))
            return err_set(err, ERR_PERMANENT,
                           "malformed attribute/value pair \"" STR_FMT "\": missing '=' after attribute name",
                           STR_ARG(word));
        if (set_attribute(&p, str_trim(name), str_trim(text)) < 0)
            return -1;
    }
    return 0;
}

// ---- Per site

int tls_site_parse(struct str value, enum tls_site *site_r)
{
    static const struct {
        const char *word;
        enum tls_site site;
    } words[] = {{"NONE", TLS_SITE_NONE},
                 {"MAY", TLS_SITE_MAY},
                 {"MUST", TLS_SITE_MUST},
                 {"MUST_NOPEERMATCH", TLS_SITE_MUST_NOPEERMATCH}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_is_nocase(str_trim(value), str_from(words[i].word))) {
            *site_r = words[i].site;
            return 0;
        }
    return -1;
}

enum tls_level tls_site_level(enum tls_site nexthop, enum tls_site host, enum tls_level global)
{
    switch (nexthop > host ? nexthop : host) {
    case TLS_SITE_MUST:
        return TLS_LEVEL_VERIFY;
    case TLS_SITE_MUST_NOPEERMATCH:
        return TLS_LEVEL_ENCRYPT;
    case TLS_SITE_NONE:
        return TLS_LEVEL_NONE;
    case TLS_SITE_MAY: // does not weaken what main.cf demands of all
        return global > TLS_LEVEL_MAY ? global : TLS_LEVEL_MAY;
    case TLS_SITE_ABSENT:
        break;
    }
    return global;
}

bool tls_mx_pattern_matches(struct str pattern, struct str host)
{
    struct str label;

    if (!str_starts(pattern, STR("*.")))
        return str_is_nocase(pattern, host);
    if (!str_cut(&host, '.', &label) || label.len == 0)
        return false;
    return str_is_nocase(str_slice(pattern, 2, pattern.len), host);
}
