// SPDX-License-Identifier: ISC
// map.c: hash map from strings to pointers, chained, doubling.
#include "lib/base/map.h"

#include "lib/base/mem.h"

enum { FIRST_BUCKETS = 8 };

static uint64_t hash_key_of(const struct map *m, struct str key)
{
    return m->folds_case ? str_hash_nocase(key) : str_hash(key);
}

static struct map_entry **find_slot(const struct map *m, struct str key, uint64_t hash)
{
    struct map_entry **slot = &m->buckets[hash & (m->bucket_count - 1)];
    for (; *slot; slot = &(*slot)->next) {
        if ((*slot)->hash != hash)
            continue;
        if (m->folds_case ? str_is_nocase((*slot)->key, key) : str_is((*slot)->key, key))
            break;
    }
    return slot;
}

static void map_grow(struct map *m)
{
    size_t count = m->bucket_count ? m->bucket_count * 2 : FIRST_BUCKETS;
    struct map_entry **buckets = mem_alloc(count * sizeof *buckets);
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct map_entry *entry = m->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    mem_free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
}

void map_release(struct map *m)
{
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct map_entry *entry = m->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            mem_free(entry);
        }
    }
    mem_free(m->buckets);
    m->buckets = NULL;
    m->bucket_count = m->count = 0;
}

struct map_entry *map_find(const struct map *m, struct str key)
{
    return m->count ? *find_slot(m, key, hash_key_of(m, key)) : NULL;
}

void *map_get(const struct map *m, struct str key)
{
    struct map_entry *entry = map_find(m, key);
    return entry ? entry->value : NULL;
}

void *map_set(struct map *m, struct str key, void *value)
{
    if (m->count >= m->bucket_count)
        map_grow(m);
    uint64_t hash = hash_key_of(m, key);
    struct map_entry **slot = find_slot(m, key, hash);
    if (*slot) {
        void *former = (*slot)->value;
        (*slot)->value = value;
        return former;
    }
    struct map_entry *entry = mem_alloc(sizeof *entry + key.len + 1);
    char *copy = (char *)(entry + 1);
    if (key.len)
        memcpy(copy, key.ptr, key.len);
    entry->key = str_of(copy, key.len);
    entry->value = value;
    entry->hash = hash;
    *slot = entry;
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    struct map_entry **slot = find_slot(m, key, hash_key_of(m, key));
    struct map_entry *entry = *slot;
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    *slot = entry->next;
    mem_free(entry);
    m->count--;
    return value;
}

struct map_entry *map_next(const struct map *m, struct map_iter *it)
{
    while (it->next == NULL && it->bucket < m->bucket_count)
        it->next = m->buckets[it->bucket++];
    struct map_entry *entry = it->next;
    if (entry)
        it->next = entry->next;
    return entry;
}
