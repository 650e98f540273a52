// SPDX-License-Identifier: ISC
// table_list.c: ordered lists of tables; the first hit wins, an error in one ends the search.
#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct table_list {
    struct table **tables;
    size_t count;
};

struct table_list *table_list_open(struct str list, unsigned flags)
{
    struct table_list *l = MEM_NEW(struct table_list);
    struct str item;

    while (str_token_braced(&list, ", \t\r\n", &item)) {
        table_unbrace(item, &item); // "{type:name with blanks}"
        l->tables = mem_realloc(l->tables, (l->count + 1) * sizeof(struct table *));
        l->tables[l->count++] = table_open(item, flags);
    }
    return l;
}

void table_list_close(struct table_list *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++)
        table_close(l->tables[i]);
    mem_free(l->tables);
    mem_free(l);
}

bool table_list_is_empty(const struct table_list *l)
{
    return l->count == 0;
}

// 1/0/-1 from one table; an empty value counts as absent.
static int lookup_one(struct table *t, struct str key, struct buf *value_r, struct err *err) CO
{
    int found = table_lookup(t, key, value_r, err);
    struct str name = table_name(t);

    if (found <= 0 || value_r->len > 0)
        return found;
    log_warn(STR_FMT " lookup of " STR_FMT " returns an empty string result", STR_ARG(name), STR_ARG(key));
    log_warn(STR_FMT " should return NO RESULT in case of NOT FOUND", STR_ARG(name));
    return 0;
}

static int list_lookup(struct table_list *l, struct str key, bool is_partial, struct buf *value_r,
                       struct table **table_r, struct err *err) CO
{
    buf_clear(value_r);
    for (size_t i = 0; i < l->count; i++) {
        int found;
        if (is_partial && !table_takes_partial_keys(l->tables[i]))
            continue;
        found = lookup_one(l->tables[i], key, value_r, err);
        if (found != 0 && table_r != NULL)
            *table_r = l->tables[i];
        if (found != 0)
            return found;
    }
    return 0;
}

int table_list_lookup(struct table_list *l, struct str key, struct buf *value_r, struct table **table_r,
                      struct err *err)
{
    return list_lookup(l, key, false, value_r, table_r, err);
}

int table_list_lookup_partial(struct table_list *l, struct str key, struct buf *value_r, struct err *err)
{
    return list_lookup(l, key, true, value_r, NULL, err);
}
