// SPDX-License-Identifier: ISC
// str.h: borrowed strings (pointer and length) and owned growable buffers.
//
// A struct str owns nothing and need not end in NUL. A struct buf owns its memory and always keeps a NUL after its
// last byte, so buf_cstr() is free. Nothing here fails: running out of memory ends the process (die).
#ifndef DROMOS_BASE_STR_H
#define DROMOS_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

// Bytes straight from a peer, not yet validated. Only a validating function turns one into a struct str.
struct raw {
    const unsigned char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL     ((struct str){NULL, 0})
#define STR_FMT      "%.*s" // for printf-like functions, with STR_ARG
#define STR_ARG(s)   (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}
static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}
static inline struct str raw_unchecked(struct raw r) // for validators and content that is carried as it is
{
    return (struct str){(const char *)r.ptr, r.len};
}

bool str_is(struct str a, struct str b);        // equal, byte for byte
bool str_is_nocase(struct str a, struct str b); // equal, ASCII case folded
int str_compare(struct str a, struct str b);    // as memcmp, shorter first
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_ends_nocase(struct str s, struct str suffix);
struct str str_slice(struct str s, size_t from, size_t to); // clamped to the string
struct str str_trim(struct str s);                          // without leading and trailing blanks, tabs, CR, LF
long str_find(struct str s, char c);                        // index of the first c, or -1
long str_rfind(struct str s, char c);                       // index of the last c, or -1
long str_find_str(struct str s, struct str needle);         // index, or -1
bool str_is_ascii(struct str s);                            // no byte above 127
bool str_is_utf8(struct str s);                             // valid UTF-8 (RFC 3629: no surrogates, no overlong forms)
bool str_is_printable(struct str s);                        // ASCII 32..126 only

// Takes the next token off *rest: bytes up to any of `separators`; skips leading separators. False when none is left.
bool str_token(struct str *rest, const char *separators, struct str *token_r);
// As str_token, but { ... } groups (nested) are kept whole, braces included: `static:{a b}` is one token.
bool str_token_braced(struct str *rest, const char *separators, struct str *token_r);
// Cuts *rest at the first c: *head_r is what stood before it, *rest what stands after. False: no c, *head_r is all.
bool str_cut(struct str *rest, char c, struct str *head_r);

// Whole-string numbers. 0, or -1 if not a number or out of range; *value_r is then unchanged.
int str_to_i64(struct str s, int64_t *value_r);
int str_to_u64(struct str s, uint64_t *value_r);
int str_to_octal(struct str s, unsigned *value_r);

uint64_t str_hash(struct str s);        // keyed per process: safe for tables fed by peers
uint64_t str_hash_nocase(struct str s); // same for ASCII-case-insensitive keys

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
};
#define BUF_INIT ((struct buf){NULL, 0, 0})

void buf_release(struct buf *b); // frees the contents; the struct may be used again
void buf_clear(struct buf *b);   // length 0, memory kept
void buf_wipe(struct buf *b);    // as buf_release, after overwriting the contents (secrets)
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_add_lower(struct buf *b, struct str s); // ASCII lower case
void buf_add_u64(struct buf *b, uint64_t value);
void buf_consume(struct buf *b, size_t len);  // drops the first len bytes
void buf_truncate(struct buf *b, size_t len); // keeps the first len bytes
const char *buf_cstr(const struct buf *b);    // never NULL; valid until the next change
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr ? b->ptr : "", b->len};
}

// Appends s with control bytes, DEL and invalid UTF-8 replaced by '?': the one encoder for everything that goes into
// a log line or a reply. At most `max` bytes of s are taken (0 = all).
void buf_add_printable(struct buf *b, struct str s, size_t max);
// Appends at most `max` bytes of s (0 = all) as a C programmer would write them: \r \n \t \\ \ooo, for lines that show
// a peer's bytes.
void buf_add_escaped(struct buf *b, struct str s, size_t max);
// Appends s as a string of JSON, in quotes, in ASCII; invalid UTF-8 gives wrong characters, never invalid JSON.
void buf_add_json(struct buf *b, struct str s);
void buf_add_json_pair(struct buf *b, const char *name, struct str value); // "name": "value"

#endif
