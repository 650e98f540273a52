// SPDX-License-Identifier: ISC
// dns_answer.c: takes one DNS message apart into the records that were asked for. Pure.
// Trust: the message is hostile: every length is checked against it, compression pointers only lead backwards.
// Limits: DNS_MAX_RECORDS records; names of 253 bytes.
#include <netinet/in.h>

#include "lib/net/dns_internal.h"

#define HEADER_SIZE      12
#define NAME_TEXT_MAX    253
#define FLAG_TRUNCATED   0x02 // in the third byte
#define FLAG_SECURE      0x20 // AD, in the fourth byte
#define RCODE_NAME_ERROR 3
#define CLASS_IN         1

struct cursor {
    const unsigned char *data;
    size_t size;
    size_t at;
};

static bool read_u16(struct cursor *c, unsigned *value_r)
{
    if (c->size - c->at < 2)
        return false;
    *value_r = (unsigned)c->data[c->at] << 8 | c->data[c->at + 1];
    c->at += 2;
    return true;
}

static bool skip(struct cursor *c, size_t n)
{
    if (c->size - c->at < n)
        return false;
    c->at += n;
    return true;
}

static bool label_char_is_valid(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dns_name_is_valid(struct str name)
{
    size_t label = 0;

    if (name.len == 0 || name.len > NAME_TEXT_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!label_char_is_valid((unsigned char)name.ptr[i]) || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

// Reads a name at the cursor, following compression. text_r holds NAME_TEXT_MAX + 1 bytes; *valid_r: it is a host name
// or the root. False: malformed message.
static bool read_name(struct cursor *c, char *text_r, size_t *len_r, bool *valid_r)
{
    size_t at = c->at, used = 0, limit = c->size;
    bool has_jumped = false;

    *valid_r = true;
    for (;;) {
        if (at >= limit)
            return false;
        unsigned length = c->data[at];
        if ((length & 0xc0) == 0xc0) {
            if (at + 1 >= limit)
                return false;
            size_t target = (size_t)(length & 0x3f) << 8 | c->data[at + 1];
            if (!has_jumped)
                c->at = at + 2;
            if (target >= at)
                return false; // only backwards: no loop is possible
            has_jumped = true;
            at = target;
            continue;
        }
        if ((length & 0xc0) != 0 || at + 1 + length > c->size)
            return false;
        at++;
        if (length == 0)
            break;
        if (used + (used > 0) + length > NAME_TEXT_MAX)
            return false;
        if (used > 0)
            text_r[used++] = '.';
        for (unsigned i = 0; i < length; i++) {
            unsigned char byte = c->data[at + i];
            if (!label_char_is_valid(byte))
                *valid_r = false;
            text_r[used++] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
        }
        at += length;
    }
    if (!has_jumped)
        c->at = at;
    *len_r = used;
    return true;
}

static void read_address(struct dns_record *record, int type, const unsigned char *data)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)&record->addr.sa;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)&record->addr.sa;

    memset(&record->addr, 0, sizeof record->addr);
    if (type == DNS_TYPE_A) {
        record->addr.sa.ss_family = AF_INET;
        record->addr.len = sizeof *four;
        memcpy(&four->sin_addr, data, 4);
    } else {
        record->addr.sa.ss_family = AF_INET6;
        record->addr.len = sizeof *six;
        memcpy(&six->sin6_addr, data, 16);
    }
}

// The character strings of a text, one after the other (RFC 1035 3.3.14).
static int read_text(struct cursor *c, size_t end, struct arena *arena, struct dns_record *record_r)
{
    char *text = arena_alloc(arena, end - c->at + 1);
    size_t used = 0;

    while (c->at < end) {
        size_t length = c->data[c->at++];
        if (end - c->at < length)
            return -1;
        memcpy(text + used, c->data + c->at, length);
        used += length;
        c->at += length;
    }
    record_r->data = str_of(text, used);
    return 1;
}

static int read_tlsa(struct cursor *c, size_t length, struct arena *arena, struct dns_record *record_r)
{
    const char *data = (const char *)c->data + c->at;

    if (length <= sizeof record_r->tlsa)
        return -1;
    memcpy(record_r->tlsa, data, sizeof record_r->tlsa);
    record_r->data = arena_str(arena, str_of(data + sizeof record_r->tlsa, length - sizeof record_r->tlsa));
    c->at += length;
    return 1;
}

// The data of one wanted record; c covers the whole message, the data is `length` bytes at the cursor.
// 1 taken, 0 a name that may not be believed, -1 malformed.
static int read_data(struct cursor *c, int type, size_t length, struct arena *arena, struct dns_record *record_r)
{
    char text[NAME_TEXT_MAX + 1];
    size_t len, end = c->at + length;
    bool is_valid;
    bool is_srv = type == DNS_TYPE_SRV;
    unsigned preference = 0, weight = 0, port = 0;

    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
        if (length != (type == DNS_TYPE_A ? 4U : 16U))
            return -1;
        read_address(record_r, type, c->data + c->at);
        c->at = end;
        return 1;
    }
    if (type == DNS_TYPE_TXT)
        return read_text(c, end, arena, record_r);
    if (type == DNS_TYPE_TLSA)
        return read_tlsa(c, length, arena, record_r);
    if ((type == DNS_TYPE_MX || is_srv) && !read_u16(c, &preference))
        return -1;
    if (is_srv && (!read_u16(c, &weight) || !read_u16(c, &port)))
        return -1;
    if (!read_name(c, text, &len, &is_valid) || c->at != end)
        return -1;
    record_r->preference = (uint16_t)preference;
    record_r->weight = (uint16_t)weight;
    record_r->port = (uint16_t)port;
    record_r->name = arena_str(arena, str_of(text, len));
    return is_valid && (len > 0 || type == DNS_TYPE_MX || is_srv);
}

static int read_record(struct cursor *c, int type, struct arena *arena, struct dns_answer *answer)
{
    char owner[NAME_TEXT_MAX + 1];
    size_t owner_len;
    bool is_valid;
    unsigned found_type, class, length;

    if (!read_name(c, owner, &owner_len, &is_valid) || !read_u16(c, &found_type) || !read_u16(c, &class) ||
        !skip(c, 4) || !read_u16(c, &length) || c->size - c->at < length)
        return -1;
    if ((int)found_type != type || class != CLASS_IN || answer->count == DNS_MAX_RECORDS)
        return skip(c, length) ? 0 : -1;
    int taken = read_data(c, type, length, arena, &answer->records[answer->count]);
    if (taken > 0 && answer->count++ == 0)
        answer->owner = is_valid ? arena_str(arena, str_of(owner, owner_len)) : STR("");
    else if (taken == 0)
        answer->status = DNS_INVALID; // unless another record is good
    return taken < 0 ? -1 : 0;
}

static int read_message(struct cursor *c, int type, struct arena *arena, struct dns_answer *answer)
{
    char name[NAME_TEXT_MAX + 1];
    size_t name_len;
    bool is_valid;
    unsigned questions, answers;

    if (c->size < HEADER_SIZE)
        return -1;
    c->at = 4;
    if (!read_u16(c, &questions) || !read_u16(c, &answers))
        return -1;
    c->at = HEADER_SIZE;
    for (unsigned i = 0; i < questions; i++)
        if (!read_name(c, name, &name_len, &is_valid) || !skip(c, 4))
            return -1;
    answer->status = DNS_NO_DATA;
    answer->records = ARENA_ARRAY(arena, struct dns_record, DNS_MAX_RECORDS);
    for (unsigned i = 0; i < answers; i++)
        if (read_record(c, type, arena, answer) < 0)
            return -1;
    return 0;
}

void dns_answer_parse(struct raw message, int type, struct arena *arena, struct dns_answer *answer_r)
{
    struct cursor c = {message.ptr, message.len, 0};

    *answer_r = (struct dns_answer){.status = DNS_INVALID};
    if (message.len < HEADER_SIZE)
        return;
    unsigned rcode = message.ptr[3] & 0x0f;
    answer_r->is_secure = (message.ptr[3] & FLAG_SECURE) != 0;
    if (rcode == RCODE_NAME_ERROR) {
        answer_r->status = DNS_NOT_FOUND;
        return;
    }
    if (rcode != 0 || (message.ptr[2] & FLAG_TRUNCATED) != 0) {
        answer_r->status = DNS_TRY_AGAIN;
        return;
    }
    if (read_message(&c, type, arena, answer_r) < 0) {
        answer_r->status = DNS_INVALID;
        answer_r->count = 0;
    } else if (answer_r->count > 0) {
        answer_r->status = DNS_OK;
    }
}
