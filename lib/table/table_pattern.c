// SPDX-License-Identifier: ISC
// table_pattern.c: the rules of regexp: and pcre: tables, in file order; the first match wins.
#include <ctype.h>

#include "lib/base/log.h"
#include "lib/table/table_pattern_impl.h"

#define RULES_MAX      1000000
#define POSIX_TEXT_MAX 8192 // longer keys take PCRE2's groups: the C library's matcher has no limits

enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF };

struct part {
    struct str text; // literal, when group is 0
    unsigned group;
};

struct rule {
    enum rule_kind kind;
    bool is_negated;
    struct pattern_regex regex;
    struct part *parts; // of the result, in the arena
    size_t part_count;
    bool has_groups;
    size_t jump; // RULE_IF: index behind its endif
    unsigned line;
};

struct pattern_table {
    struct rule *rules;
    size_t count, capacity;
    const char *type;
    struct arena arena;
};

struct parser {
    struct pattern_table *table;
    const struct pattern_dialect *dialect;
    const char *source;
    unsigned line;
    bool refuses_groups;
    size_t *open_ifs;
    size_t depth;
};

void pattern_table_close(void *data)
{
    struct pattern_table *p = data;
    for (size_t i = 0; i < p->count; i++)
        pattern_regex_release(&p->rules[i].regex);
    mem_free(p->rules);
    arena_release(&p->arena);
    mem_free(p);
}

static void complain(const struct parser *p, struct str what)
{
    log_warn("%s map %s, line %u: " STR_FMT, p->dialect->type, p->source, p->line, STR_ARG(what));
}

static void complain_with(const struct parser *p, const char *what, struct str text)
{
    log_warn("%s map %s, line %u: %s \"" STR_FMT "\"", p->dialect->type, p->source, p->line, what, STR_ARG(text));
}

static struct rule *add_rule(struct pattern_table *t, enum rule_kind kind)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->rules = mem_realloc(t->rules, t->capacity * sizeof(struct rule));
    }
    t->rules[t->count] = (struct rule){.kind = kind};
    return &t->rules[t->count++];
}

// ---- The result: text with $1, ${1}, $(1) and $$.

// Takes "$name" off *rest, which starts with "$". False: malformed.
static bool take_macro(struct str *rest, struct str *name_r)
{
    char open = rest->len > 1 ? rest->ptr[1] : 0;
    size_t end = 1;

    if (open == '{' || open == '(') {
        long close = str_find(*rest, open == '{' ? '}' : ')');
        if (close < 0)
            return false;
        *name_r = str_slice(*rest, 2, (size_t)close);
        *rest = str_slice(*rest, (size_t)close + 1, rest->len);
        return name_r->len > 0;
    }
    while (end < rest->len && (isalnum((unsigned char)rest->ptr[end]) || rest->ptr[end] == '_'))
        end++;
    *name_r = str_slice(*rest, 1, end);
    *rest = str_slice(*rest, end, rest->len);
    return name_r->len > 0;
}

// The number of a group: 1 up; 0: not one, and a warning was given.
static unsigned group_number(const struct parser *p, const struct rule *rule, struct str name)
{
    uint64_t number;

    if (str_to_u64(name, &number) < 0) {
        complain_with(p, "non-numeric replacement index", name);
        complain(p, STR("bad replacement syntax: skipping this rule"));
        return 0;
    }
    if (rule->is_negated) {
        complain(p, STR("$number found in negative match replacement text: skipping this rule"));
        return 0;
    }
    if (p->refuses_groups) {
        complain(p, STR("$number substitution is not allowed for security sensitive data: skipping this rule"));
        return 0;
    }
    if (number == 0 || number > rule->regex.groups) {
        log_warn("%s map %s, line %u: out of range replacement index \"" STR_FMT "\": skipping this rule",
                 p->dialect->type, p->source, p->line, STR_ARG(name));
        return 0;
    }
    return (unsigned)number;
}

static void add_part(struct rule *rule, struct str text, unsigned group)
{
    if (group == 0 && text.len == 0)
        return;
    rule->parts[rule->part_count++] = (struct part){text, group};
    rule->has_groups |= group > 0;
}

static bool parse_result(const struct parser *p, struct rule *rule, struct str text)
{
    size_t most = 1;
    struct str rest = arena_str(&p->table->arena, text), name;

    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == '$' ? 2 : 0;
    rule->parts = ARENA_ARRAY(&p->table->arena, struct part, most);
    while (rest.len > 0) {
        long dollar = str_find(rest, '$');
        unsigned group;
        add_part(rule, str_slice(rest, 0, dollar < 0 ? rest.len : (size_t)dollar), 0);
        if (dollar < 0)
            break;
        rest = str_slice(rest, (size_t)dollar, rest.len);
        if (str_starts(rest, STR("$$"))) {
            add_part(rule, str_slice(rest, 0, 1), 0);
            rest = str_slice(rest, 2, rest.len);
            continue;
        }
        if (!take_macro(&rest, &name)) {
            complain(p, STR("bad replacement syntax: skipping this rule"));
            return false;
        }
        group = group_number(p, rule, name);
        if (group == 0)
            return false;
        add_part(rule, STR(""), group);
    }
    return true;
}

// ---- Rules

// "/pattern/flags" off *text. The pattern may hold the delimiter behind a backslash, which stays.
static bool take_pattern(const struct parser *p, struct str *text, struct str *pattern_r, struct str *flags_r)
{
    char delimiter = text->ptr[0];
    size_t end = 1;

    while (end < text->len && text->ptr[end] != delimiter)
        end += text->ptr[end] == '\\' && end + 1 < text->len ? 2 : 1;
    if (end >= text->len) {
        log_warn("%s map %s, line %u: no closing regexp delimiter \"%c\": %s", p->dialect->type, p->source, p->line,
                 delimiter, p->dialect->unclosed_action);
        return false;
    }
    *pattern_r = str_slice(*text, 1, end);
    *text = str_slice(*text, end + 1, text->len);
    end = 0;
    while (end < text->len && !isspace((unsigned char)text->ptr[end]))
        end++;
    *flags_r = str_slice(*text, 0, end);
    *text = str_trim(str_slice(*text, end, text->len));
    return true;
}

static bool compile(const struct parser *p, struct rule *rule, struct str pattern, struct str flags)
{
    struct buf why = BUF_INIT;
    char *copy = mem_dup_str(pattern);
    bool works = false;

    if (pattern.len > PATTERN_LENGTH_MAX)
        buf_add_cstr(&why, "the pattern is too long: skipping this rule");
    else
        works = p->dialect->compile(&rule->regex, str_from(copy), flags, &why);
    if (works && rule->regex.groups > PATTERN_GROUPS_MAX) {
        buf_add_cstr(&why, "too many parentheses: skipping this rule");
        works = false;
    }
    if (!works)
        complain(p, buf_str(&why));
    buf_release(&why);
    mem_free(copy);
    return works;
}

static void keep_rule(struct parser *p, const struct rule *rule)
{
    *add_rule(p->table, rule->kind) = *rule;
    if (rule->kind != RULE_IF)
        return;
    p->open_ifs = mem_realloc(p->open_ifs, (p->depth + 1) * sizeof(size_t));
    p->open_ifs[p->depth++] = p->table->count - 1;
}

static void parse_pattern_rule(struct parser *p, struct str text, enum rule_kind kind)
{
    struct rule rule = {.kind = kind, .line = p->line};
    struct str pattern, flags;
    bool works;

    for (; str_starts(text, STR("!")); text = str_trim(str_slice(text, 1, text.len)))
        rule.is_negated = !rule.is_negated;
    if (text.len == 0) {
        complain(p, STR("no regexp: skipping this rule"));
        return;
    }
    if (isalnum((unsigned char)text.ptr[0])) {
        complain(p, STR("ignoring unrecognized request"));
        return;
    }
    if (!take_pattern(p, &text, &pattern, &flags))
        return;
    if (kind == RULE_MATCH && text.len == 0)
        complain(p, STR("no replacement text: using empty string"));
    if (kind == RULE_IF && text.len > 0)
        complain_with(p, "ignoring extra text after IF statement:", text);
    works = p->table->count < RULES_MAX && compile(p, &rule, pattern, flags);
    if (works && kind == RULE_MATCH)
        works = parse_result(p, &rule, text);
    if (!works) {
        pattern_regex_release(&rule.regex);
        return;
    }
    if (!rule.has_groups && rule.regex.posix != NULL) {
        regfree(rule.regex.posix);
        mem_free(rule.regex.posix);
        rule.regex.posix = NULL;
    }
    keep_rule(p, &rule);
}

static void parse_endif(struct parser *p)
{
    if (p->depth == 0) {
        complain(p, STR("ignoring ENDIF without matching IF"));
        return;
    }
    add_rule(p->table, RULE_ENDIF);
    p->table->rules[p->open_ifs[--p->depth]].jump = p->table->count;
}

static bool starts_word(struct str text, struct str word)
{
    return str_starts_nocase(text, word) && (text.len == word.len || !isalnum((unsigned char)text.ptr[word.len]));
}

static void parse_line(struct parser *p, struct str text)
{
    if (starts_word(text, STR("endif"))) {
        text = str_trim(str_slice(text, 5, text.len));
        if (text.len > 0)
            complain(p, STR("ignoring extra text after ENDIF"));
        parse_endif(p);
    } else if (starts_word(text, STR("if"))) {
        parse_pattern_rule(p, str_trim(str_slice(text, 2, text.len)), RULE_IF);
    } else {
        parse_pattern_rule(p, text, RULE_MATCH);
    }
}

static void end_parse(struct parser *p)
{
    while (p->depth > 0) {
        struct rule *rule = &p->table->rules[p->open_ifs[--p->depth]];
        p->line = rule->line;
        complain(p, STR("IF has no matching ENDIF"));
        rule->jump = p->table->count;
    }
    mem_free(p->open_ifs);
}

static int parse_file(struct parser *p, const struct table_watch *w, struct err *err)
{
    struct table_lines *lines;
    struct str text;
    int more, fd = table_watch_open(w);

    if (fd < 0)
        return err_errno(err, "open %s", w->path);
    lines = table_lines_open_fd(fd, w->path);
    while ((more = table_lines_next(lines, &text, &p->line, err)) > 0)
        parse_line(p, text);
    table_lines_close(lines);
    return more;
}

void *pattern_table_open(struct table *t, const struct pattern_dialect *dialect, struct err *err)
{
    struct pattern_table *table = MEM_NEW(struct pattern_table);
    struct parser p = {.table = table, .dialect = dialect, .source = t->body};
    struct str inside, item;
    int rc = 0;

    table->type = dialect->type;
    p.refuses_groups = (t->flags & (TABLE_SENSITIVE | TABLE_NO_SUBSTITUTION)) != 0;
    if (table_unbrace(str_from(t->body), &inside)) {
        while (table_inline_item(&inside, &item)) {
            p.line++;
            parse_line(&p, item);
        }
    } else {
        rc = parse_file(&p, table_add_watch(t, t->body), err);
    }
    end_parse(&p);
    if (rc == 0)
        return table;
    pattern_table_close(table);
    return NULL;
}

// ---- Lookup

static void add_posix_groups(struct buf *value, const struct rule *rule, const char *key)
{
    regmatch_t groups[PATTERN_GROUPS_MAX / 4];

    if (regexec(rule->regex.posix, key, sizeof(groups) / sizeof(groups[0]), groups, 0) != 0)
        return;
    for (size_t i = 0; i < rule->part_count; i++) {
        const struct part *part = &rule->parts[i];
        if (part->group == 0)
            buf_add_str(value, part->text);
        else if (part->group < sizeof(groups) / sizeof(groups[0]) && groups[part->group].rm_so >= 0)
            buf_add(value, key + groups[part->group].rm_so,
                    (size_t)(groups[part->group].rm_eo - groups[part->group].rm_so));
    }
}

static void add_result(struct buf *value, const struct rule *rule, struct str key, const PCRE2_SIZE *groups,
                       int group_count)
{
    if (rule->regex.posix != NULL && key.len <= POSIX_TEXT_MAX) {
        add_posix_groups(value, rule, key.ptr);
        return;
    }
    for (size_t i = 0; i < rule->part_count; i++) {
        const struct part *part = &rule->parts[i];
        if (part->group == 0)
            buf_add_str(value, part->text);
        else if ((int)part->group < group_count && groups[2 * part->group] != PCRE2_UNSET)
            buf_add_str(value, str_slice(key, groups[2 * part->group], groups[2 * part->group + 1]));
    }
}

int pattern_table_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct pattern_table *p = t->data;
    size_t i = 0;

    while (i < p->count) {
        const struct rule *rule = &p->rules[i++];
        const PCRE2_SIZE *groups;
        int matches, code;
        if (rule->kind == RULE_ENDIF)
            continue;
        matches = pattern_match(&rule->regex, key, &groups, &code);
        if (matches < 0)
            return err_set(err, ERR_TEMPORARY,
                           "%s map %s, line %u: matching takes too long (code %d); simplify the pattern", p->type,
                           t->body, rule->line, code);
        if ((matches > 0) == rule->is_negated) {
            i = rule->kind == RULE_IF ? rule->jump : i;
            continue;
        }
        if (rule->kind == RULE_IF)
            continue;
        add_result(value_r, rule, key, groups, code);
        return 1;
    }
    return 0;
}
