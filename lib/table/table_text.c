// SPDX-License-Identifier: ISC
// table_text.c: the two source grammars: postmap's "key value" and aliases(5)' "name: value".
#include <fcntl.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

struct table_text {
    struct table_lines *lines;
    char *path;
    unsigned flags;
    struct buf key;
};

struct table_text *table_text_open_fd(int fd, const char *path, unsigned flags)
{
    struct table_text *t = MEM_NEW(struct table_text);
    t->lines = table_lines_open_fd(fd, path);
    t->path = mem_strdup(path);
    t->flags = flags;
    return t;
}

struct table_text *table_text_open(const char *path, unsigned flags, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        err_errno(err, "open %s", path);
        return NULL;
    }
    return table_text_open_fd(fd, path, flags);
}

void table_text_close(struct table_text *t)
{
    table_lines_close(t->lines);
    mem_free(t->path);
    buf_release(&t->key);
    mem_free(t);
}

// The end of a key: the first byte of `stops` outside double quotes.
static size_t key_end(struct str text, const char *stops)
{
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' && quoted && i + 1 < text.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && strchr(stops, c) != NULL && c != '\0')
            return i;
    }
    return text.len;
}

static bool parse_map_line(struct table_text *t, struct str text, unsigned line, struct str *key_r, struct str *value_r)
{
    size_t end = key_end(text, " \t\r\n\v\f");

    *key_r = str_slice(text, 0, end);
    *value_r = str_trim(str_slice(text, end, text.len));
    if (value_r->len == 0) {
        log_warn("%s, line %u: expected format: key whitespace value", t->path, line);
        return false;
    }
    if (str_ends(*key_r, STR(":")))
        log_warn("%s, line %u: record is in \"key: value\" format; is this an alias file?", t->path, line);
    return true;
}

static bool needs_quotes(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (strchr(" \t\"()<>@,;:\\[]", name.ptr[i]) != NULL && name.ptr[i] != '\0')
            return true;
    return name.len == 0 || name.ptr[0] == '.' || name.ptr[name.len - 1] == '.';
}

// `"x"` becomes x: quotes stay only where the name needs them.
static struct str plain_name(struct str name)
{
    struct str inside;

    if (name.len < 3 || name.ptr[0] != '"' || name.ptr[name.len - 1] != '"')
        return name;
    inside = str_slice(name, 1, name.len - 1);
    return needs_quotes(inside) ? name : inside;
}

static bool parse_alias_line(struct table_text *t, struct str text, unsigned line, struct str *key_r,
                             struct str *value_r)
{
    size_t end = key_end(text, ":");
    struct str name = str_trim(str_slice(text, 0, end));

    *value_r = str_trim(str_slice(text, end + 1, text.len));
    if (end >= text.len || name.len == 0 || value_r->len == 0 || key_end(name, " \t,") < name.len) {
        log_warn("%s, line %u: need name:value pair", t->path, line);
        return false;
    }
    if (key_end(name, "@") < name.len && name.len > 1) {
        log_warn("%s, line %u: name must be local", t->path, line);
        return false;
    }
    *key_r = plain_name(name);
    return true;
}

static bool line_is_alias(struct str line)
{
    size_t end = key_end(line, " \t\r\n\v\f");
    struct str key = str_slice(line, 0, end), rest = str_trim(str_slice(line, end, line.len));

    if (str_ends(key, STR(":")) || str_starts(rest, STR(":")))
        return true;
    return rest.len == 0 && key_end(key, ":") < key.len; // "name:value"
}

bool table_text_looks_like_aliases(const struct table_watch *w)
{
    struct table_lines *lines;
    struct str line;
    unsigned number;
    bool is_alias;
    int fd = table_watch_open(w);

    if (fd < 0)
        return false;
    lines = table_lines_open_fd(fd, w->path);
    is_alias = table_lines_next(lines, &line, &number, NULL) > 0 && line_is_alias(line);
    table_lines_close(lines);
    return is_alias;
}

int table_text_next(struct table_text *t, struct str *key_r, struct str *value_r, unsigned *line_r, struct err *err)
{
    for (;;) {
        struct str text;
        bool is_entry;
        int more = table_lines_next(t->lines, &text, line_r, err);
        if (more <= 0)
            return more;
        if (memchr(text.ptr, 0, text.len) != NULL) {
            log_warn("%s, line %u: NUL byte in line -- ignoring this line", t->path, *line_r);
            continue;
        }
        is_entry = (t->flags & TABLE_ALIAS_SOURCE) ? parse_alias_line(t, text, *line_r, key_r, value_r)
                                                   : parse_map_line(t, text, *line_r, key_r, value_r);
        if (!is_entry || key_r->len > TABLE_KEY_MAX)
            continue;
        bool is_text = (t->flags & TABLE_ANY_BYTES) || (str_is_utf8(*key_r) && str_is_utf8(*value_r));
        if (!is_text) {
            log_warn("%s, line %u: non-UTF-8 key or value -- ignoring this line", t->path, *line_r);
            continue;
        }
        if ((t->flags & TABLE_KEEP_CASE) == 0) {
            buf_clear(&t->key);
            buf_add_lower(&t->key, *key_r);
            *key_r = buf_str(&t->key);
        }
        return 1;
    }
}
