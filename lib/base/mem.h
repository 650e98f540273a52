// SPDX-License-Identifier: ISC
// mem.h: allocation that cannot fail, and arenas: memory released by lifetime, not by object.
#ifndef DROMOS_BASE_MEM_H
#define DROMOS_BASE_MEM_H

#include "lib/base/str.h"

void *mem_alloc(size_t size); // zeroed; die() when out of memory or size is absurd (over 1 GiB)
void *mem_realloc(void *ptr, size_t size);
char *mem_strdup(const char *s);
char *mem_dup_str(struct str s); // NUL-terminated copy
void mem_free(void *ptr);        // NULL is fine

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

// An arena is a chain of chunks. Lifetimes: daemon, session, message, scratch. Everything taken from it is zeroed and
// goes away at reset or release; nothing taken from an arena may be stored in a longer-lived object but as a copy.
struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
    size_t used;  // in the newest chunk
    size_t total; // bytes handed out since the last reset
};
#define ARENA_INIT ((struct arena){NULL, 0, 0})

struct arena_mark {
    struct arena_chunk *chunk;
    size_t used;
    size_t total;
};

void *arena_alloc(struct arena *a, size_t size);     // aligned for any type, zeroed
struct str arena_str(struct arena *a, struct str s); // copy, NUL-terminated
char *arena_cstr(struct arena *a, struct str s);     // the same as a C string
struct str arena_strf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct str arena_lower(struct arena *a, struct str s); // ASCII lower-case copy
void arena_reset(struct arena *a);                     // keeps one chunk; poisoned under ASan
void arena_release(struct arena *a);                   // frees all chunks; may be used again
struct arena_mark arena_mark(const struct arena *a);
void arena_reset_to(struct arena *a, struct arena_mark mark); // frees what was taken since the mark
#define ARENA_NEW(a, type)          ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_alloc((a), sizeof(type) * (count)))

#endif
