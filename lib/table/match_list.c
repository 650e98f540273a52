// SPDX-License-Identifier: ISC
// match_list.c: lists of names, domains and networks, as mydestination and mynetworks hold.
//
// Suspends: in tables that do. Limits: ITEMS_MAX items, FILE_DEPTH nested files.
#include <ctype.h>
#include <fcntl.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table_impl.h"

#define ITEMS_MAX  1000000
#define FILE_DEPTH 10

enum item_kind { ITEM_NAME, ITEM_NETWORK, ITEM_TABLE };

struct match_item {
    enum item_kind kind;
    bool is_negated;
    struct str text; // lower case, in the arena
    struct net_cidr net;
    struct table *table;
};

struct match_list {
    unsigned flags;
    struct match_item *items;
    size_t count, capacity;
    struct map names; // plain names, when no item is negated
    bool has_negated;
    bool has_other; // items besides names that a name may match
    struct arena arena;
};

static struct match_item *add_item(struct match_list *m, enum item_kind kind, bool is_negated)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 8;
        m->items = mem_realloc(m->items, m->capacity * sizeof(struct match_item));
    }
    m->items[m->count] = (struct match_item){.kind = kind, .is_negated = is_negated};
    return &m->items[m->count++];
}

static bool is_table(struct str text)
{
    long colon = str_find(text, ':');
    if (colon <= 0 || text.ptr[0] == '[')
        return false;
    for (long i = 0; i < colon; i++)
        if (!isalnum((unsigned char)text.ptr[i]) && text.ptr[i] != '_')
            return false;
    return isalpha((unsigned char)text.ptr[0]) != 0;
}

static bool looks_like_network(struct str text)
{
    if (text.ptr[0] == '[' || str_find(text, ':') >= 0)
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit((unsigned char)text.ptr[i]) && strchr("./", text.ptr[i]) == NULL)
            return false;
    return true;
}

static int add_network(struct match_list *m, struct str text, bool is_negated, struct err *err)
{
    struct match_item *item = add_item(m, ITEM_NETWORK, is_negated);

    if (net_cidr_parse(text, &item->net, err) < 0)
        return -1;
    item->text = arena_str(&m->arena, text);
    return 0;
}

static int add_text(struct match_list *m, struct str list, bool is_negated, unsigned depth, struct err *err);

static int add_file(struct match_list *m, struct str path, bool is_negated, unsigned depth, struct err *err)
{
    char *name = mem_dup_str(path);
    struct table_lines *lines;
    struct str text;
    unsigned line;
    int rc = -1, fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        err_errno(err, "open file %s", name);
        mem_free(name);
        return -1;
    }
    table_watch_list_file(name);
    lines = table_lines_open_fd(fd, name);
    while ((rc = table_lines_next(lines, &text, &line, err)) > 0)
        if (add_text(m, text, is_negated, depth, err) < 0) {
            rc = -1;
            break;
        }
    table_lines_close(lines);
    mem_free(name);
    return rc;
}

static int add_one(struct match_list *m, struct str text, bool is_negated, unsigned depth, struct err *err)
{
    struct match_item *item;

    while (str_starts(text, STR("!"))) {
        is_negated = !is_negated;
        text = str_slice(text, 1, text.len);
    }
    if (text.len == 0)
        return err_set(err, ERR_PERMANENT, "no pattern after \"!\"");
    if (m->count >= ITEMS_MAX)
        return err_set(err, ERR_PERMANENT, "more than %d items", ITEMS_MAX);
    m->has_negated |= is_negated;
    if (text.ptr[0] == '/') {
        if (depth >= FILE_DEPTH)
            return err_set(err, ERR_PERMANENT, STR_FMT ": files are nested too deeply", STR_ARG(text));
        return add_file(m, text, is_negated, depth + 1, err);
    }
    if (is_table(text)) {
        add_item(m, ITEM_TABLE, is_negated)->table = table_open(text, 0);
        m->has_other = true;
        return 0;
    }
    if ((m->flags & MATCH_NETWORKS) && looks_like_network(text))
        return add_network(m, text, is_negated, err);
    item = add_item(m, ITEM_NAME, is_negated);
    item->text = arena_lower(&m->arena, text);
    map_set(&m->names, item->text, m);
    m->has_other |= text.ptr[0] == '.';
    return 0;
}

static int add_text(struct match_list *m, struct str list, bool is_negated, unsigned depth, struct err *err)
{
    struct str token;

    while (str_token_braced(&list, ", \t\r\n", &token)) {
        // "cidr:{{1.2.3.0/24 ok}}" is one token; "{type:name}" may wrap one
        table_unbrace(token, &token);
        if (token.len > 0 && add_one(m, token, is_negated, depth, err) < 0)
            return -1;
    }
    return 0;
}

struct match_list *match_list_open(struct str list, unsigned flags, struct err *err)
{
    struct match_list *m = MEM_NEW(struct match_list);
    m->flags = flags;
    m->names = MAP_INIT;
    m->arena = ARENA_INIT;
    if (add_text(m, list, false, 0, err) == 0)
        return m;
    match_list_close(m);
    return NULL;
}

struct match_list *match_list_open_domains(struct str list, unsigned flags, const char *parameter, struct str parents,
                                           struct err *err)
{
    struct str word;
    while (str_token(&parents, ", \t\r\n", &word))
        if (str_is_nocase(word, str_from(parameter)))
            flags |= MATCH_PARENTS;
    return match_list_open(list, flags, err);
}

void match_list_close(struct match_list *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        table_close(m->items[i].table);
    mem_free(m->items);
    map_release(&m->names);
    arena_release(&m->arena);
    mem_free(m);
}

static bool next_parent(struct str *name)
{
    long dot = str_find(*name, '.');
    if (dot < 0 || (size_t)dot + 1 >= name->len)
        return false;
    *name = str_slice(*name, (size_t)dot + 1, name->len);
    return true;
}

static int table_has(struct match_list *m, struct table *t, struct str name, struct err *err) CO
{
    struct buf value = BUF_INIT, key = BUF_INIT;
    bool takes_parents = table_takes_partial_keys(t) && name.len > 0 && name.ptr[0] != '[';
    int found = table_lookup(t, name, &value, err);

    while (found == 0 && takes_parents && next_parent(&name)) {
        buf_clear(&key);
        if ((m->flags & MATCH_PARENTS) == 0)
            buf_add_char(&key, '.');
        buf_add_str(&key, name);
        found = table_lookup(t, buf_str(&key), &value, err);
    }
    buf_release(&value);
    buf_release(&key);
    return found;
}

static bool name_matches(const struct match_list *m, struct str pattern, struct str name)
{
    if (str_is_nocase(pattern, name))
        return true;
    if (!str_ends_nocase(name, pattern) || name.len <= pattern.len)
        return false;
    if (m->flags & MATCH_PARENTS)
        return name.ptr[name.len - pattern.len - 1] == '.';
    return pattern.ptr[0] == '.';
}

// 1 the item matches, 0, -1. `addr` and `addr_text` are for networks and tables.
static int item_matches(struct match_list *m, struct match_item *item, struct str name, const struct net_addr *addr,
                        struct str addr_text, struct err *err) CO
{
    int found = 0;

    if (item->kind == ITEM_NETWORK)
        return addr != NULL && net_cidr_matches(&item->net, addr);
    if (item->kind == ITEM_NAME)
        return name.len > 0 && name_matches(m, item->text, name);
    if (name.len > 0)
        found = table_has(m, item->table, name, err);
    if (found == 0 && addr != NULL) {
        struct buf value = BUF_INIT;
        found = table_lookup(item->table, addr_text, &value, err);
        buf_release(&value);
    }
    return found;
}

// Without exclusions the order of names does not matter: one look into the map for the name and each parent.
static bool is_in_names(const struct match_list *m, struct str name)
{
    char folded[256];

    if (name.len > sizeof(folded) || m->names.count == 0)
        return false;
    for (size_t i = 0; i < name.len; i++)
        folded[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
    struct str rest = str_of(folded, name.len);
    if (map_find(&m->names, rest) != NULL)
        return true;
    while ((m->flags & MATCH_PARENTS) && next_parent(&rest))
        if (map_find(&m->names, rest) != NULL)
            return true;
    return false;
}

static int match(struct match_list *m, struct str name, const struct net_addr *addr, struct err *err) CO
{
    struct buf addr_text = BUF_INIT;
    int found = 0;

    if (!m->has_negated && name.len > 0 && is_in_names(m, name))
        return 1;
    if (!m->has_negated && !m->has_other && addr == NULL && name.len <= 256)
        return 0;
    if (addr != NULL)
        net_addr_add_text(&addr_text, addr);
    for (size_t i = 0; i < m->count && found == 0; i++) {
        found = item_matches(m, &m->items[i], name, addr, buf_str(&addr_text), err);
        if (found > 0 && m->items[i].is_negated) {
            found = 0;
            break;
        }
    }
    buf_release(&addr_text);
    return found;
}

int match_list_has(struct match_list *m, struct str name, struct err *err)
{
    return match(m, name, NULL, err);
}

int match_list_has_addr(struct match_list *m, struct str name, const struct net_addr *addr, struct err *err)
{
    return match(m, name, addr, err);
}
