// SPDX-License-Identifier: ISC
// str.c: borrowed strings: comparison, search, tokens, numbers, character classes and keyed hashing.
// Trust: every function takes arbitrary bytes.
#include "lib/base/str.h"

#include <pthread.h>
#include <sys/random.h>

#include "lib/base/err.h"

static inline unsigned char fold(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u + 32 : u;
}

static bool equal_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool str_is(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_is_nocase(struct str a, struct str b)
{
    return a.len == b.len && equal_nocase(a.ptr, b.ptr, a.len);
}

int str_compare(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && equal_nocase(s.ptr, prefix.ptr, prefix.len);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_is(str_slice(s, s.len - suffix.len, s.len), suffix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_is_nocase(str_slice(s, s.len - suffix.len, s.len), suffix);
}

struct str str_slice(struct str s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    return (struct str){s.ptr ? s.ptr + from : s.ptr, to - from};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

long str_find(struct str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (long)(at - s.ptr) : -1;
}

long str_rfind(struct str s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return at ? (long)(at - s.ptr) : -1;
}

long str_find_str(struct str s, struct str needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? (long)(at - s.ptr) : -1;
}

bool str_is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] > 127)
            return false;
    return true;
}

bool str_is_printable(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 32 || s.ptr[i] > 126)
            return false;
    return true;
}

// Length of the valid UTF-8 sequence at the start of s (which is not empty), or 0.
static size_t utf8_length(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char low = 0x80, high = 0xbf; // bounds of the second byte
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;  // overlong
        high = p[0] == 0xed ? 0x9f : 0xbf; // surrogates
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool str_is_utf8(struct str s)
{
    while (s.len) {
        size_t len = utf8_length(s);
        if (len == 0)
            return false;
        s = str_slice(s, len, s.len);
    }
    return true;
}

void buf_add_printable(struct buf *b, struct str s, size_t max)
{
    if (max)
        s = str_slice(s, 0, max);
    while (s.len) {
        size_t len = utf8_length(s);
        unsigned char c = (unsigned char)s.ptr[0];
        if (len == 0 || c < 32 || c == 127)
            buf_add_char(b, '?');
        else
            buf_add(b, s.ptr, len);
        s = str_slice(s, len ? len : 1, s.len);
    }
}

void buf_add_escaped(struct buf *b, struct str s, size_t max)
{
    static const char named[] = "\a\b\f\n\r\t\v\\", letters[] = "abfnrtv\\";
    if (max)
        s = str_slice(s, 0, max);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        const char *found = c != 0 ? strchr(named, c) : NULL;
        if (found != NULL)
            buf_addf(b, "\\%c", letters[found - named]);
        else if (c < 32 || c >= 127)
            buf_addf(b, "\\%03o", c);
        else
            buf_add_char(b, (char)c);
    }
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static size_t skip_separators(struct str s, const char *separators)
{
    size_t i = 0;
    while (i < s.len && is_one_of(s.ptr[i], separators))
        i++;
    return i;
}

static bool next_token(struct str *rest, const char *separators, bool braces, struct str *token_r)
{
    size_t start = skip_separators(*rest, separators), end = start, depth = 0;
    for (; end < rest->len; end++) {
        char c = rest->ptr[end];
        if (braces && c == '{')
            depth++;
        else if (braces && c == '}' && depth)
            depth--;
        else if (depth == 0 && is_one_of(c, separators))
            break;
    }
    *token_r = str_slice(*rest, start, end);
    *rest = str_slice(*rest, end, rest->len);
    return token_r->len > 0;
}

bool str_token(struct str *rest, const char *separators, struct str *token_r)
{
    return next_token(rest, separators, false, token_r);
}

bool str_token_braced(struct str *rest, const char *separators, struct str *token_r)
{
    return next_token(rest, separators, true, token_r);
}

bool str_cut(struct str *rest, char c, struct str *head_r)
{
    long at = str_find(*rest, c);
    size_t end = at < 0 ? rest->len : (size_t)at;
    *head_r = str_slice(*rest, 0, end);
    *rest = str_slice(*rest, at < 0 ? end : end + 1, rest->len);
    return at >= 0;
}

static int parse_digits(struct str s, unsigned base, uint64_t max, uint64_t *value_r)
{
    uint64_t value = 0;
    if (s.len == 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit >= base || value > (max - digit) / base)
            return -1;
        value = value * base + digit;
    }
    *value_r = value;
    return 0;
}

int str_to_u64(struct str s, uint64_t *value_r)
{
    return parse_digits(s, 10, UINT64_MAX, value_r);
}

int str_to_i64(struct str s, int64_t *value_r)
{
    bool negative = s.len && s.ptr[0] == '-';
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = str_slice(s, 1, s.len);
    uint64_t value, max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (parse_digits(s, 10, max, &value) < 0)
        return -1;
    *value_r = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

int str_to_octal(struct str s, unsigned *value_r)
{
    uint64_t value;
    if (parse_digits(s, 8, UINT32_MAX, &value) < 0)
        return -1;
    *value_r = (unsigned)value;
    return 0;
}

// ---- Keyed hashing: SipHash-1-3 (Aumasson and Bernstein), key drawn once per process.

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
    if (getrandom(hash_key, sizeof hash_key, 0) != (ssize_t)sizeof hash_key)
        die("no random numbers for the hash key");
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

// ASCII capitals in the eight bytes of w become small letters.
static inline uint64_t fold_word(uint64_t w)
{
    uint64_t low = w & 0x7f7f7f7f7f7f7f7fULL;
    uint64_t above = low + 0x2525252525252525ULL;    // bit 7 set where byte > 'Z'
    uint64_t at_least = low + 0x3f3f3f3f3f3f3f3fULL; // bit 7 set where byte >= 'A'
    uint64_t capital = at_least & ~above & ~w & 0x8080808080808080ULL;
    return w | (capital >> 2);
}

static uint64_t sip_hash(struct str s, bool nocase)
{
    pthread_once(&hash_once, draw_hash_key);
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
                     hash_key[0] ^ 0x6c7967656e657261ULL, hash_key[1] ^ 0x7465646279746573ULL};
    size_t left = s.len;
    for (const char *p = s.ptr;; p += 8) {
        bool last = left < 8;
        uint64_t word = 0;
        if (left)
            memcpy(&word, p, last ? left : 8);
        if (nocase)
            word = fold_word(word);
        if (last)
            word |= (uint64_t)(s.len & 0xff) << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        if (last)
            break;
        left -= 8;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t str_hash(struct str s)
{
    return sip_hash(s, false);
}

uint64_t str_hash_nocase(struct str s)
{
    return sip_hash(s, true);
}
