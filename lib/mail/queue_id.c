// SPDX-License-Identifier: ISC
// queue_id.c: queue ids, short (microseconds and inode) and long (time and inode in base 52 and 51).
#include "lib/mail/queue_id.h"

#include <stdio.h>

enum { SECONDS_WIDTH = 6, MICROS_WIDTH = 4, MICROS_HEX_WIDTH = 5, BASE = 52, INODE_BASE = 51, Z_AT_LEAST = 10 };
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static void add_based(struct buf *b, uint64_t value, unsigned base, size_t width)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value > 0);
    for (size_t len = sizeof text - at; len < width; len++)
        buf_add_char(b, '0');
    buf_add(b, text + at, sizeof text - at);
}

void queue_id_add(struct buf *b, bool is_long, int64_t wall_us, uint64_t inode)
{
    uint64_t seconds = (uint64_t)wall_us / 1000000, micros = (uint64_t)wall_us % 1000000;
    if (!is_long) {
        buf_addf(b, "%05X%llX", (unsigned)micros, (unsigned long long)inode);
        return;
    }
    add_based(b, seconds, BASE, SECONDS_WIDTH);
    add_based(b, micros, BASE, MICROS_WIDTH);
    buf_add_char(b, 'z');
    add_based(b, inode, INODE_BASE, 1);
}

void queue_id_add_for_inode(struct buf *b, struct str id, uint64_t inode, bool may_be_long)
{
    char hash[QUEUE_HASH_MAX];
    if (queue_id_is_long(id) && may_be_long) {
        buf_add_str(b, str_slice(id, 0, (size_t)str_rfind(id, 'z') + 1));
        add_based(b, inode, INODE_BASE, 1);
        return;
    }
    queue_id_hash(id, hash); // microseconds in hexadecimal, of either form
    buf_addf(b, "%.*s%llX", MICROS_HEX_WIDTH, hash, (unsigned long long)inode);
}

unsigned char queue_hash_char(struct str id)
{
    char hash[QUEUE_HASH_MAX];
    queue_id_hash(id, hash);
    return (unsigned char)hash[0];
}

bool queue_id_is_valid(struct str id)
{
    if (id.len == 0 || id.len > QUEUE_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'))
            return false;
    }
    return true;
}

bool queue_id_is_long(struct str id)
{
    return str_rfind(id, 'z') >= Z_AT_LEAST;
}

void queue_id_hash(struct str id, char hash_r[QUEUE_HASH_MAX])
{
    size_t len = id.len < QUEUE_HASH_MAX - 1 ? id.len : QUEUE_HASH_MAX - 1;
    memcpy(hash_r, id.ptr, len);
    hash_r[len] = '\0';
    long z = str_rfind(id, 'z');
    if (z < Z_AT_LEAST)
        return;
    unsigned long micros = 0;
    for (long i = z - MICROS_WIDTH; i < z; i++) {
        const char *digit = id.ptr[i] ? strchr(digits, id.ptr[i]) : NULL;
        if (digit == NULL)
            return; // not ours: hash by the name
        micros = micros * BASE + (unsigned long)(digit - digits);
    }
    snprintf(hash_r, QUEUE_HASH_MAX, "%05lX", micros);
}
