// SPDX-License-Identifier: ISC
// postmap_message.c: splits a message into headers and body lines, on request by its MIME structure.
#include "commands/postmap_message.h"

enum { BOUNDARY_MAX = 200 };

void message_keys_init(struct message_keys *k, bool follows_mime, size_t header_max)
{
    *k = (struct message_keys){.follows_mime = follows_mime, .in_headers = true, .arena = ARENA_INIT};
    header_scan_init(&k->scan, header_max);
}

void message_keys_release(struct message_keys *k)
{
    header_scan_release(&k->scan);
    arena_release(&k->arena);
}

// The value of boundary=, quoted or not; empty when there is none.
static struct str find_boundary(struct str value)
{
    struct str rest = value, part;
    while (rest.len > 0) {
        (void)str_cut(&rest, ';', &part);
        part = str_trim(part);
        if (!str_starts_nocase(part, STR("boundary=")))
            continue;
        part = str_slice(part, strlen("boundary="), part.len);
        if (part.len > 0 && part.ptr[0] == '"') {
            struct str inside = str_slice(part, 1, part.len);
            (void)str_cut(&inside, '"', &part);
        }
        return str_slice(part, 0, BOUNDARY_MAX);
    }
    return STR("");
}

static void take_header(struct message_keys *k, struct str header)
{
    struct str name, value;
    if (!k->follows_mime || !header_split(header, &name, &value) || !str_is_nocase(name, STR("Content-Type")))
        return;
    value = str_trim(value);
    k->opens_message =
        str_starts_nocase(value, STR("message/rfc822")) || str_starts_nocase(value, STR("message/global"));
    struct str boundary = str_starts_nocase(value, STR("multipart/")) ? find_boundary(value) : STR("");
    if (boundary.len > 0 && k->depth < MESSAGE_DEPTH_MAX)
        k->boundaries[k->depth++] = arena_str(&k->arena, boundary);
}

// A boundary of this multipart or of one around it ends what is inside.
static void take_boundary(struct message_keys *k, struct str line)
{
    if (!str_starts(line, STR("--")))
        return;
    struct str rest = str_slice(line, 2, line.len);
    for (size_t i = k->depth; i > 0; i--) {
        if (!str_starts(rest, k->boundaries[i - 1]))
            continue;
        bool closes = str_starts(str_slice(rest, k->boundaries[i - 1].len, rest.len), STR("--"));
        k->depth = closes ? i - 1 : i;
        k->in_headers = !closes;
        return;
    }
}

static size_t add_header(struct message_keys *k, struct str header, struct message_key keys_r[2])
{
    if (header.len == 0)
        return 0;
    take_header(k, header);
    keys_r[0] = (struct message_key){true, header};
    return 1;
}

size_t message_keys_line(struct message_keys *k, struct str line, struct message_key keys_r[2])
{
    size_t count = 0;
    if (k->in_headers) {
        struct str header = STR("");
        k->scan.in_header = true;
        enum header_event event = header_scan_line(&k->scan, line, &header);
        if (event != HEADER_PENDING)
            count = add_header(k, header, keys_r);
        if (event != HEADER_END)
            return count;
        bool is_separator = line.len == 0;
        k->in_headers = is_separator && k->opens_message;
        k->opens_message = false;
        if (is_separator)
            return count;
    }
    take_boundary(k, line);
    keys_r[count++] = (struct message_key){false, line};
    return count;
}

size_t message_keys_finish(struct message_keys *k, struct message_key keys_r[2])
{
    return k->in_headers ? add_header(k, header_scan_finish(&k->scan), keys_r) : 0;
}
