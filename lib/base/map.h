// SPDX-License-Identifier: ISC
// map.h: hash map from strings to pointers. Keys are copied; values are the caller's. Hashing is keyed per process.
#ifndef DROMOS_BASE_MAP_H
#define DROMOS_BASE_MAP_H

#include "lib/base/str.h"

struct map_entry {
    struct str key; // owned by the map, NUL-terminated
    void *value;
    uint64_t hash;
    struct map_entry *next; // in the bucket
};

struct map {
    struct map_entry **buckets;
    size_t bucket_count; // a power of two, or 0
    size_t count;
    bool folds_case; // set before the first insertion: keys compare without ASCII case
};
#define MAP_INIT        ((struct map){NULL, 0, 0, false})
#define MAP_INIT_NOCASE ((struct map){NULL, 0, 0, true})

void map_release(struct map *m);                                 // frees entries and keys, not values
void *map_get(const struct map *m, struct str key);              // NULL when absent
struct map_entry *map_find(const struct map *m, struct str key); // NULL when absent
void *map_set(struct map *m, struct str key, void *value);       // returns the former value or NULL
void *map_remove(struct map *m, struct str key);                 // returns the value or NULL

// Iteration in no order; the map must not change but for removal of the returned entry's key after the call.
struct map_iter {
    size_t bucket;
    struct map_entry *next;
};
#define MAP_ITER_INIT ((struct map_iter){0, NULL})
struct map_entry *map_next(const struct map *m, struct map_iter *it); // NULL at the end

#endif
