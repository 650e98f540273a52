// SPDX-License-Identifier: ISC
// table_cidr.c: cidr: tables: networks in file order, first match wins; `!` negates, if and endif nest.
//
// Runs of plain rules, which most tables consist of, are answered by an index in logarithmic time.
#include <arpa/inet.h>
#include <errno.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table_cidr_impl.h"

#define RULES_MAX 10000000
#define RUN_MIN   16 // plain rules in a row that are worth an index

enum rule_kind { RULE_MATCH, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool is_negated;
    struct net_cidr net;
    struct str result; // RULE_MATCH, in the arena
    size_t jump;       // RULE_IF: index behind its endif; RULE_MATCH that starts a run: index behind that
    struct cidr_index *run;
};

struct cidr_table {
    struct rule *rules;
    size_t count, capacity;
    struct arena arena;
};

struct cidr_parser {
    struct cidr_table *table;
    const char *source;
    size_t *open_ifs;
    size_t depth;
};

static void cidr_close(void *data)
{
    struct cidr_table *c = data;
    for (size_t i = 0; i < c->count; i++)
        cidr_index_free(c->rules[i].run);
    mem_free(c->rules);
    arena_release(&c->arena);
    mem_free(c);
}

static struct rule *add_rule(struct cidr_table *c, enum rule_kind kind)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 16;
        c->rules = mem_realloc(c->rules, c->capacity * sizeof(struct rule));
    }
    c->rules[c->count] = (struct rule){.kind = kind};
    return &c->rules[c->count++];
}

static void add_endif(struct cidr_parser *p, unsigned line)
{
    if (p->depth == 0) {
        log_warn("cidr map %s, line %u: ENDIF without IF: skipping this rule", p->source, line);
        return;
    }
    add_rule(p->table, RULE_ENDIF);
    p->table->rules[p->open_ifs[--p->depth]].jump = p->table->count;
}

// "10.1.1.1/8" as the network that holds it; false: not even that.
static bool parse_with_host_bits(struct str text, struct net_cidr *net_r)
{
    struct str bits = text, address;
    uint64_t length;

    if (!str_cut(&bits, '/', &address) || net_cidr_parse(address, net_r, NULL) < 0 || str_to_u64(bits, &length) < 0 ||
        length > net_r->bits)
        return false;
    net_r->bits = (unsigned)length;
    for (unsigned i = net_r->bits; i < 128; i++)
        net_r->addr[i / 8] &= (unsigned char)~(0x80U >> i % 8);
    return true;
}

static void add_network(struct buf *out, const struct net_cidr *net)
{
    char text[INET6_ADDRSTRLEN];
    buf_addf(out, "%s/%u", inet_ntop(net->family, net->addr, text, sizeof(text)), net->bits);
}

static bool parse_pattern(struct cidr_parser *p, unsigned line, struct str text, struct net_cidr *net_r)
{
    struct net_cidr meant;

    if (net_cidr_parse(text, net_r, NULL) == 0)
        return true;
    if (parse_with_host_bits(text, &meant)) {
        struct buf network = BUF_INIT;
        add_network(&network, &meant);
        log_warn("cidr map %s, line %u: non-null host address bits in \"" STR_FMT
                 "\", perhaps you should use \"%s\" instead: "
                 "skipping this rule",
                 p->source, line, STR_ARG(text), buf_cstr(&network));
        buf_release(&network);
    } else {
        log_warn("cidr map %s, line %u: bad %s \"" STR_FMT "\": skipping this rule", p->source, line,
                 str_find(text, '/') >= 0 ? "network value in" : "address pattern:", STR_ARG(text));
    }
    return false;
}

static bool take_word(struct str *rest, struct str *word_r)
{
    if (!str_token(rest, " \t\r\n", word_r))
        return false;
    *rest = str_trim(*rest);
    return true;
}

static void parse_rule(struct cidr_parser *p, struct str text, unsigned line)
{
    struct str word;
    struct net_cidr net;
    struct rule *rule;
    bool is_if = false, is_negated;

    if (!take_word(&text, &word))
        return;
    if (str_is_nocase(word, STR("endif"))) {
        add_endif(p, line);
        return;
    }
    if (str_is_nocase(word, STR("if"))) {
        is_if = true;
        if (!take_word(&text, &word)) {
            log_warn("cidr map %s, line %u: no address pattern: skipping this rule", p->source, line);
            return;
        }
    }
    is_negated = str_starts(word, STR("!"));
    word = str_slice(word, is_negated ? 1 : 0, word.len);
    if (word.len == 0) // "! 1.2.3.4"
        take_word(&text, &word);
    if (!parse_pattern(p, line, word, &net))
        return;
    if (!is_if && text.len == 0) {
        log_warn("cidr map %s, line %u: no lookup result: skipping this rule", p->source, line);
        return;
    }
    if (p->table->count >= RULES_MAX)
        return;
    rule = add_rule(p->table, is_if ? RULE_IF : RULE_MATCH);
    rule->is_negated = is_negated;
    rule->net = net;
    if (!is_if) {
        rule->result = arena_str(&p->table->arena, text);
        return;
    }
    p->open_ifs = mem_realloc(p->open_ifs, (p->depth + 1) * sizeof(size_t));
    p->open_ifs[p->depth++] = p->table->count - 1;
}

static void end_parse(struct cidr_parser *p, unsigned line)
{
    while (p->depth > 0) {
        log_warn("cidr map %s, line %u: IF has no matching ENDIF", p->source, line);
        p->table->rules[p->open_ifs[--p->depth]].jump = p->table->count;
    }
    mem_free(p->open_ifs);
}

static void parse_inline(struct cidr_parser *p, struct str inside)
{
    struct str item;
    unsigned line = 0;

    while (table_inline_item(&inside, &item))
        parse_rule(p, item, ++line);
    end_parse(p, line);
}

static int parse_file(struct cidr_parser *p, const struct table_watch *w, struct err *err)
{
    struct table_lines *lines;
    struct str text;
    unsigned line = 0;
    int more, fd = table_watch_open(w);

    if (fd < 0)
        return err_errno(err, "open %s", w->path);
    lines = table_lines_open_fd(fd, w->path);
    while ((more = table_lines_next(lines, &text, &line, err)) > 0)
        parse_rule(p, text, line);
    end_parse(p, line);
    table_lines_close(lines);
    return more;
}

static bool is_plain(const struct rule *rule)
{
    return rule->kind == RULE_MATCH && !rule->is_negated;
}

static void index_run(struct cidr_table *c, size_t from, size_t to)
{
    struct cidr_item *items = mem_alloc((to - from) * sizeof(struct cidr_item));

    for (size_t i = from; i < to; i++)
        items[i - from] = (struct cidr_item){c->rules[i].net, (uint32_t)i};
    c->rules[from].run = cidr_index_new(items, to - from);
    c->rules[from].jump = to;
    mem_free(items);
}

static void index_runs(struct cidr_table *c)
{
    size_t end;

    for (size_t i = 0; i < c->count; i = end + 1) {
        for (end = i; end < c->count && is_plain(&c->rules[end]);)
            end++;
        if (end - i >= RUN_MIN)
            index_run(c, i, end);
    }
}

static void *cidr_open(struct table *t, struct err *err)
{
    struct cidr_table *c = MEM_NEW(struct cidr_table);
    struct cidr_parser parser = {.table = c, .source = t->body};
    struct str inside;

    if (table_unbrace(str_from(t->body), &inside))
        parse_inline(&parser, inside);
    else if (parse_file(&parser, table_add_watch(t, t->body), err) < 0) {
        cidr_close(c);
        return NULL;
    }
    index_runs(c);
    return c;
}

static int cidr_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct cidr_table *c = t->data;
    struct net_addr addr;
    size_t i = 0;

    if (str_starts(key, STR("[")) || net_addr_parse(key, 0, &addr) < 0)
        return 0;
    while (i < c->count) {
        struct rule *rule = &c->rules[i++];
        bool matches;
        if (rule->run != NULL) {
            uint32_t position = cidr_index_find(rule->run, &addr);
            i = rule->jump;
            if (position == CIDR_NOWHERE)
                continue;
            buf_add_str(value_r, c->rules[position].result);
            return 1;
        }
        if (rule->kind == RULE_ENDIF)
            continue;
        matches = rule->net.family == net_addr_family(&addr) && net_cidr_matches(&rule->net, &addr);
        if (rule->net.family == net_addr_family(&addr) && rule->is_negated)
            matches = !matches;
        if (rule->kind == RULE_IF) {
            i = matches ? i : rule->jump;
            continue;
        }
        if (matches) {
            buf_add_str(value_r, rule->result);
            return 1;
        }
    }
    return 0;
}

// Inline tables have no watch, so nothing is ever opened again for them.
const struct table_type table_type_cidr = {"cidr", false, true, cidr_open, cidr_lookup, NULL, cidr_close, 0};
