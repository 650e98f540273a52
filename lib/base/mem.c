// SPDX-License-Identifier: ISC
// mem.c: allocation that cannot fail, and arenas.
#include "lib/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len)   ASAN_POISON_MEMORY_REGION(ptr, len)
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION(ptr, len)
#else
#define POISON(ptr, len)   ((void)0)
#define UNPOISON(ptr, len) ((void)0)
#endif

#define ABSURD ((size_t)1 << 30)

static void check_size(size_t size)
{
    if (size > ABSURD)
        die("request for %zu bytes of memory refused", size);
}

void *mem_alloc(size_t size)
{
    check_size(size);
    void *ptr = calloc(1, size ? size : 1);
    if (ptr == NULL)
        die("out of memory (%zu bytes)", size);
    return ptr;
}

void *mem_realloc(void *ptr, size_t size)
{
    check_size(size);
    ptr = realloc(ptr, size ? size : 1);
    if (ptr == NULL)
        die("out of memory (%zu bytes)", size);
    return ptr;
}

char *mem_strdup(const char *s)
{
    return mem_dup_str(str_from(s));
}

char *mem_dup_str(struct str s)
{
    char *copy = mem_alloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}

// ---- Arenas

enum { CHUNK_FIRST = 1024 - 32, CHUNK_LARGEST = 64 * 1024, ALIGN = 16 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; // of data
    _Alignas(ALIGN) unsigned char data[];
};

// A new chunk doubles the last one, so that small lifetimes stay small and large ones take few calls.
static void arena_grow(struct arena *a, size_t need)
{
    size_t size = a->chunks ? a->chunks->size * 2 : CHUNK_FIRST;
    if (size > CHUNK_LARGEST)
        size = CHUNK_LARGEST;
    if (size < need)
        size = need;
    check_size(size);
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL)
        die("out of memory (%zu bytes)", size);
    chunk->older = a->chunks;
    chunk->size = size;
    POISON(chunk->data, size);
    a->chunks = chunk;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    check_size(size);
    size_t step = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (a->chunks == NULL || a->chunks->size - a->used < step)
        arena_grow(a, step);
    unsigned char *ptr = a->chunks->data + a->used;
    a->used += step;
    a->total += step;
    UNPOISON(ptr, size);
    memset(ptr, 0, size);
    return ptr;
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.len};
}

struct str arena_strf(struct arena *a, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, format, ap);
    if (len < 0)
        die("cannot format text");
    char *text = arena_alloc(a, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(ap);
    return (struct str){text, (size_t)len};
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);
    for (size_t i = 0; i < s.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + 32);
    return (struct str){copy, s.len};
}

static void free_newest(struct arena *a)
{
    struct arena_chunk *chunk = a->chunks;
    a->chunks = chunk->older;
    UNPOISON(chunk->data, chunk->size);
    free(chunk);
}

void arena_reset(struct arena *a)
{
    while (a->chunks && a->chunks->older)
        free_newest(a);
    if (a->chunks)
        POISON(a->chunks->data, a->chunks->size);
    a->used = a->total = 0;
}

void arena_release(struct arena *a)
{
    while (a->chunks)
        free_newest(a);
    *a = ARENA_INIT;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->chunks, a->used, a->total};
}

void arena_reset_to(struct arena *a, struct arena_mark mark)
{
    if (mark.chunk == NULL) {
        arena_reset(a);
        return;
    }
    while (a->chunks != mark.chunk)
        free_newest(a);
    a->used = mark.used;
    a->total = mark.total;
    POISON(a->chunks->data + a->used, a->chunks->size - a->used);
}
