// SPDX-License-Identifier: ISC
// table_texthash.c: texthash: the source file of postmap, read into memory.
#include "lib/table/table_impl.h"

static void *texthash_open(struct table *t, struct err *err)
{
    return table_memory_load(table_add_watch(t, t->body), t->body, t->flags, err);
}

static int texthash_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    const struct table_memory_value *v = table_memory_get(t->data, key);
    if (v == NULL)
        return 0;
    buf_add_str(value_r, v->value);
    return 1;
}

static int texthash_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    return table_memory_next(t->data, cursor, key_r, value_r);
}

static void texthash_close(void *data)
{
    table_memory_free(data);
}

const struct table_type table_type_texthash = {"texthash",      true,          true,           texthash_open,
                                               texthash_lookup, texthash_next, texthash_close, 0};
