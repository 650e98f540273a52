// SPDX-License-Identifier: ISC
// buf.c: owned growable byte buffers that always end in NUL.
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { SMALLEST = 64 };

void buf_release(struct buf *b)
{
    free(b->ptr);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    buf_truncate(b, 0);
}

void buf_wipe(struct buf *b)
{
    if (b->ptr)
        explicit_bzero(b->ptr, b->cap);
    buf_release(b);
}

void buf_reserve(struct buf *b, size_t more)
{
    if (more < b->cap - b->len) // strictly: one byte for the NUL; cap 0 gives 0
        return;
    if (more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
        die("buffer of absurd size");
    size_t need = b->len + more + 1;
    size_t cap = b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap < SMALLEST)
        cap = SMALLEST;
    b->ptr = mem_realloc(b->ptr, cap);
    b->cap = cap;
    b->ptr[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    buf_reserve(b, len);
    if (len)
        memcpy(b->ptr + b->len, data, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.ptr, s.len);
}

void buf_add_cstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_vaddf(b, format, ap);
    va_end(ap);
}

void buf_vaddf(struct buf *b, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    buf_reserve(b, SMALLEST);
    size_t room = b->cap - b->len;
    int len = vsnprintf(b->ptr + b->len, room, format, ap);
    if (len < 0)
        die("cannot format text");
    if ((size_t)len >= room) {
        buf_reserve(b, (size_t)len);
        vsnprintf(b->ptr + b->len, (size_t)len + 1, format, again);
    }
    b->len += (size_t)len;
    va_end(again);
}

void buf_add_lower(struct buf *b, struct str s)
{
    buf_reserve(b, s.len);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        b->ptr[b->len + i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    b->len += s.len;
    b->ptr[b->len] = '\0';
}

void buf_add_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        buf_truncate(b, 0);
        return;
    }
    memmove(b->ptr, b->ptr + len, b->len - len + 1);
    b->len -= len;
}

void buf_truncate(struct buf *b, size_t len)
{
    if (len < b->len)
        b->len = len;
    if (b->ptr)
        b->ptr[b->len] = '\0';
}

const char *buf_cstr(const struct buf *b)
{
    return b->ptr ? b->ptr : "";
}
