// SPDX-License-Identifier: ISC
// table_compound.c: tables made of others: unionmap, pipemap, randmap.
//
// Suspends: where the tables inside do.
#include <stdio.h>
#include <stdlib.h>

#include "lib/table/table_impl.h"

struct compound {
    struct table **tables;
    size_t count;
};

static void compound_close(void *data)
{
    struct compound *c = data;
    for (size_t i = 0; i < c->count; i++)
        table_close(c->tables[i]);
    mem_free(c->tables);
    mem_free(c);
}

static void *compound_open(struct table *t, struct err *err)
{
    struct compound *c;
    struct str rest, item;

    if (!table_unbrace(str_from(t->body), &rest) || rest.len == 0) {
        err_set(err, ERR_TEMPORARY, "bad syntax: \"%s\"; need \"%s:{type:name...}\"", t->name, t->type->name);
        return NULL;
    }
    c = MEM_NEW(struct compound);
    while (table_inline_item(&rest, &item)) {
        c->tables = mem_realloc(c->tables, (c->count + 1) * sizeof(struct table *));
        c->tables[c->count++] = table_open(item, t->flags);
        if (!table_is_usable(c->tables[c->count - 1], err)) {
            compound_close(c);
            return NULL;
        }
    }
    return c;
}

int table_compound_owner(const struct table *t, uid_t *uid_r)
{
    const struct compound *c = t->data;
    int result = 0;

    for (size_t i = 0; i < c->count; i++) {
        uid_t uid = 0;
        int known = table_owner(c->tables[i], &uid);
        if (known < 0)
            return -1;
        if (known > 0 && (result == 0 || uid != 0))
            *uid_r = uid;
        result |= known;
    }
    return result;
}

// All tables are asked; their values are joined by commas.
static int unionmap_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct compound *c = t->data;
    struct buf one = BUF_INIT;
    int found = 0, any = 0;

    co_assert_running();
    for (size_t i = 0; i < c->count && found >= 0; i++) {
        found = table_lookup(c->tables[i], key, &one, err);
        if (found <= 0)
            continue;
        if (any)
            buf_add_char(value_r, ',');
        buf_add_str(value_r, buf_str(&one));
        any = 1;
    }
    buf_release(&one);
    return found < 0 ? -1 : any;
}

// The value of one table is the key of the next.
static int pipemap_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct compound *c = t->data;
    struct buf query = BUF_INIT, answer = BUF_INIT;
    int found = 1;

    co_assert_running();
    buf_add_str(&query, key);
    for (size_t i = 0; i < c->count && found > 0; i++) {
        found = table_lookup(c->tables[i], buf_str(&query), &answer, err);
        buf_clear(&query);
        buf_add_str(&query, buf_str(&answer));
    }
    if (found > 0)
        buf_add_str(value_r, buf_str(&query));
    buf_release(&query);
    buf_release(&answer);
    return found;
}

// ---- randmap:{a, b, c}: one of the texts, at random.
static void randmap_close(void *data)
{
    table_memory_free(data);
}

static void *randmap_open(struct table *t, struct err *err)
{
    struct table_memory *m;
    struct str rest, item;
    char number[24];

    if (!table_unbrace(str_from(t->body), &rest) || rest.len == 0) {
        err_set(err, ERR_TEMPORARY, "bad syntax: \"%s\"; need \"randmap:{value...}\"", t->name);
        return NULL;
    }
    m = table_memory_new();
    while (table_inline_item(&rest, &item)) {
        snprintf(number, sizeof(number), "%zu", m->count);
        table_memory_add(m, str_from(number), item);
    }
    return m;
}

static int randmap_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct table_memory *m = t->data;
    buf_add_str(value_r, m->order[arc4random_uniform((uint32_t)m->count)]->value);
    return 1;
}

const struct table_type table_type_unionmap = {"unionmap",      false, false,          compound_open,
                                               unionmap_lookup, NULL,  compound_close, 0};
const struct table_type table_type_pipemap = {"pipemap",      false, false,          compound_open,
                                              pipemap_lookup, NULL,  compound_close, 0};
const struct table_type table_type_randmap = {"randmap",      false, false,         randmap_open,
                                              randmap_lookup, NULL,  randmap_close, 0};
