// SPDX-License-Identifier: ISC
// table_memory.c: keys and values held in memory, in the order of their source.
#include <errno.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct table_memory *table_memory_new(void)
{
    struct table_memory *m = MEM_NEW(struct table_memory);
    m->entries = MAP_INIT;
    m->arena = ARENA_INIT;
    return m;
}

void table_memory_free(struct table_memory *m)
{
    map_release(&m->entries);
    mem_free(m->order);
    arena_release(&m->arena);
    mem_free(m);
}

bool table_memory_add(struct table_memory *m, struct str key, struct str value)
{
    struct table_memory_value *v;

    if (map_get(&m->entries, key) != NULL)
        return false;
    v = ARENA_NEW(&m->arena, struct table_memory_value);
    v->value = arena_str(&m->arena, value);
    map_set(&m->entries, key, v);
    v->key = map_find(&m->entries, key)->key;
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 16;
        m->order = mem_realloc(m->order, m->capacity * sizeof(struct table_memory_value *));
    }
    m->order[m->count++] = v;
    return true;
}

const struct table_memory_value *table_memory_get(const struct table_memory *m, struct str key)
{
    return map_get(&m->entries, key);
}

int table_memory_next(struct table_memory *m, size_t *cursor, struct str *key_r, struct str *value_r)
{
    if (*cursor >= m->count)
        return 0;
    *key_r = m->order[*cursor]->key;
    *value_r = m->order[*cursor]->value;
    ++*cursor;
    return 1;
}

struct table_memory *table_memory_load(const struct table_watch *w, const char *path, unsigned flags, struct err *err)
{
    struct table_memory *m;
    struct table_text *text;
    struct str key, value;
    unsigned line;
    int more, fd = table_watch_open(w);

    if (fd < 0) {
        err_errno(err, "open %s", path);
        return NULL;
    }
    text = table_text_open_fd(fd, path, flags);
    m = table_memory_new();
    while ((more = table_text_next(text, &key, &value, &line, err)) > 0)
        if (!table_memory_add(m, key, value))
            log_warn("%s, line %u: duplicate entry: \"" STR_FMT "\"", path, line, STR_ARG(key));
    table_text_close(text);
    if (more == 0)
        return m;
    table_memory_free(m);
    return NULL;
}
