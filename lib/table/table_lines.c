// SPDX-License-Identifier: ISC
// table_lines.c: logical lines of a table source: continuation joined, comments and empty lines left out.
//
// Limits: TABLE_LINE_MAX bytes in a logical line.
#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

#define READ_SIZE (64 * 1024)

struct table_lines {
    int fd;
    char *path;
    struct buf input;
    size_t at;        // in input
    bool is_at_end;   // of the file
    unsigned number;  // of the last physical line
    struct buf line;  // the physical line read last
    bool has_pending; // `line` starts the next logical line
    struct buf logical;
};

struct table_lines *table_lines_open_fd(int fd, const char *path)
{
    struct table_lines *l = MEM_NEW(struct table_lines);
    l->fd = fd;
    l->path = mem_strdup(path);
    return l;
}

void table_lines_close(struct table_lines *l)
{
    close(l->fd);
    mem_free(l->path);
    buf_release(&l->input);
    buf_release(&l->line);
    buf_release(&l->logical);
    mem_free(l);
}

static int fill(struct table_lines *l, struct err *err)
{
    ssize_t n;

    buf_clear(&l->input);
    l->at = 0;
    buf_reserve(&l->input, READ_SIZE);
    do
        n = read(l->fd, l->input.ptr, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, "read %s", l->path);
    l->input.len = (size_t)n;
    l->is_at_end = n == 0;
    return 0;
}

// The next physical line without its line end. 1, 0 end, -1.
static int physical(struct table_lines *l, struct err *err)
{
    buf_clear(&l->line);
    for (;;) {
        const char *from, *end;
        size_t left, take;
        if (l->at == l->input.len && !l->is_at_end && fill(l, err) < 0)
            return -1;
        if (l->is_at_end)
            break;
        from = l->input.ptr + l->at;
        left = l->input.len - l->at;
        end = memchr(from, '\n', left);
        take = end ? (size_t)(end - from) : left;
        if (l->line.len + take > TABLE_LINE_MAX)
            return err_set(err, ERR_PERMANENT, "%s, line %u: line is too long", l->path, l->number + 1);
        buf_add(&l->line, from, take);
        l->at += take + (end != NULL);
        if (end != NULL) {
            l->number++;
            return 1;
        }
    }
    if (l->line.len == 0)
        return 0;
    l->number++;
    return 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_comment(struct str line)
{
    size_t i = 0;
    while (i < line.len && is_blank(line.ptr[i]))
        i++;
    return i == line.len || line.ptr[i] == '#';
}

// The first line of the next logical line stands in l->line. 1, 0, -1.
static int start(struct table_lines *l, struct err *err)
{
    for (;;) {
        int more = l->has_pending ? 1 : physical(l, err);
        l->has_pending = false;
        if (more <= 0)
            return more;
        if (is_comment(buf_str(&l->line)))
            continue;
        if (!is_blank(l->line.ptr[0]))
            return 1;
        log_warn("%s: logical line must not start with whitespace: \"%.30s%s\"", l->path, buf_cstr(&l->line),
                 l->line.len > 30 ? "..." : "");
    }
}

int table_lines_next(struct table_lines *l, struct str *text_r, unsigned *line_r, struct err *err)
{
    int more = start(l, err);

    if (more <= 0)
        return more;
    *line_r = l->number;
    buf_clear(&l->logical);
    do {
        if (l->logical.len + l->line.len > TABLE_LINE_MAX)
            return err_set(err, ERR_PERMANENT, "%s, line %u: line is too long", l->path, l->number);
        buf_add_str(&l->logical, buf_str(&l->line));
        do
            more = physical(l, err);
        while (more > 0 && is_comment(buf_str(&l->line)));
        if (more < 0)
            return -1;
    } while (more > 0 && is_blank(l->line.ptr[0]));
    l->has_pending = more > 0;
    *text_r = str_trim(buf_str(&l->logical));
    return 1;
}
