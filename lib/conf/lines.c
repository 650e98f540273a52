// SPDX-License-Identifier: ISC
// lines.c: logical lines of main.cf and master.cf, and the split of "name = value".
#include "lib/conf/conf_private.h"

void conf_lines_init(struct conf_lines *l, struct str text)
{
    *l = (struct conf_lines){.text = text, .logical = BUF_INIT};
}

void conf_lines_release(struct conf_lines *l)
{
    buf_release(&l->logical);
}

bool conf_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

struct str conf_trim(struct str s)
{
    while (s.len > 0 && conf_is_blank(s.ptr[0]))
        s = str_slice(s, 1, s.len);
    while (s.len > 0 && conf_is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool next_physical(struct conf_lines *l, struct str *line_r)
{
    if (l->at >= l->text.len)
        return false;
    struct str rest = str_slice(l->text, l->at, l->text.len);
    long end = str_find(rest, '\n');
    size_t len = end < 0 ? rest.len : (size_t)end;
    *line_r = str_of(rest.ptr, len);
    l->at += len + (end < 0 ? 0 : 1);
    l->line++;
    return true;
}

static bool is_comment_or_empty(struct str line)
{
    struct str content = conf_trim(line);
    return content.len == 0 || content.ptr[0] == '#';
}

bool conf_lines_next(struct conf_lines *l, struct str *line_r, unsigned *number_r)
{
    struct str line;
    bool has_line = false;
    buf_clear(&l->logical);
    for (;;) {
        size_t at = l->at;
        unsigned number = l->line;
        if (!next_physical(l, &line))
            break;
        if (is_comment_or_empty(line))
            continue;
        if (has_line && !conf_is_blank(line.ptr[0])) { // the next logical line: leave it for the next call
            l->at = at;
            l->line = number;
            break;
        }
        if (!has_line)
            *number_r = l->line;
        has_line = true;
        buf_add_str(&l->logical, line);
    }
    while (l->logical.len > 0 && conf_is_blank(l->logical.ptr[l->logical.len - 1]))
        buf_truncate(&l->logical, l->logical.len - 1);
    *line_r = buf_str(&l->logical);
    return has_line;
}

int conf_split_assignment(struct str line, struct str *name_r, struct str *value_r, struct err *err)
{
    struct str text = conf_trim(line), rest = text, name;
    bool has_sign = str_cut(&rest, '=', &name);
    name = conf_trim(name);
    bool has_gap = str_find(name, ' ') >= 0 || str_find(name, '\t') >= 0;
    if (!has_sign || has_gap)
        return err_set(err, ERR_PERMANENT, "missing '=' after attribute name: \"" STR_FMT "\"", STR_ARG(text));
    if (name.len == 0)
        return err_set(err, ERR_PERMANENT, "missing attribute name: \"" STR_FMT "\"", STR_ARG(text));
    *name_r = name;
    *value_r = conf_trim(rest);
    return 0;
}
