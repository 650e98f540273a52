// SPDX-License-Identifier: ISC
// postconf_row.c: one row of master.cf as text: its columns, its -o options, and how it is printed and written.
#include "commands/postconf.h"

enum { FIRST_WRITTEN = 2, LINE_WIDTH = 79 };

const char *const postconf_column_names[POSTCONF_COLUMNS] = {"service", "type",   "private",       "unprivileged",
                                                             "chroot",  "wakeup", "process_limit", "command"};

static void add_argument(struct buf *out, struct str argument)
{
    bool needs_group = argument.len == 0 || str_find(argument, ' ') >= 0 || str_find(argument, '\t') >= 0;
    buf_addf(out, needs_group ? "{" STR_FMT "}" : STR_FMT, STR_ARG(argument));
}

// Options stand before the first argument that does not begin with "-": "-o name=value", "-oname=value", "-v".
bool postconf_next_option(const struct master_row *row, size_t *at, struct postconf_option *option_r)
{
    if (*at >= row->argc || row->argv[*at].len < 2 || row->argv[*at].ptr[0] != '-')
        return false;
    struct str word = row->argv[(*at)++], value = STR_NULL;
    *option_r = (struct postconf_option){.word = word};
    if (word.ptr[1] != 'o')
        return true;
    if (word.len > 2)
        value = str_slice(word, 2, word.len);
    else if (*at < row->argc)
        value = row->argv[(*at)++];
    option_r->is_override = true;
    if (!str_cut(&value, '=', &option_r->name))
        value = STR("");
    option_r->name = str_trim(option_r->name);
    option_r->value = str_trim(value);
    return true;
}

static void add_override(struct buf *out, const struct postconf_option *option)
{
    struct buf text = BUF_INIT;
    buf_addf(&text, STR_FMT "=" STR_FMT, STR_ARG(option->name), STR_ARG(option->value));
    buf_add_cstr(out, "-o ");
    add_argument(out, buf_str(&text));
    buf_release(&text);
}

void postconf_add_column(struct buf *out, const struct master_row *row, unsigned column)
{
    struct postconf_option option;
    size_t at = 0;
    if (column == 0 || column == 1)
        buf_add_str(out, column == 0 ? row->name : row->type);
    else if (column < POSTCONF_COLUMNS - 1)
        buf_add_str(out, row->written[column - FIRST_WRITTEN]);
    else
        buf_add_str(out, row->command);
    if (column < POSTCONF_COLUMNS - 1)
        return;
    while (postconf_next_option(row, &at, &option)) {
        buf_add_char(out, ' ');
        if (option.is_override)
            add_override(out, &option);
        else
            add_argument(out, option.word);
    }
    for (; at < row->argc; at++) {
        buf_add_char(out, ' ');
        add_argument(out, row->argv[at]);
    }
}

struct folder {
    struct buf *out;
    size_t start; // of the current line in out
    bool breaks_next;
};

static void add_folded(struct folder *f, struct str text, bool is_alone)
{
    bool is_full = f->out->len - f->start + 1 + text.len > LINE_WIDTH;
    if (is_alone || f->breaks_next || is_full) {
        buf_add_char(f->out, '\n');
        f->start = f->out->len;
        buf_add_cstr(f->out, "    ");
    } else {
        buf_add_char(f->out, ' ');
    }
    buf_add_str(f->out, text);
    f->breaks_next = is_alone;
}

static void add_arguments_folded(struct folder *f, const struct master_row *row)
{
    struct postconf_option option;
    struct buf text = BUF_INIT;
    size_t at = 0;
    while (postconf_next_option(row, &at, &option)) {
        buf_clear(&text);
        if (option.is_override)
            add_override(&text, &option);
        else
            add_argument(&text, option.word);
        add_folded(f, buf_str(&text), option.is_override);
    }
    for (; at < row->argc; at++) {
        buf_clear(&text);
        add_argument(&text, row->argv[at]);
        add_folded(f, buf_str(&text), false);
    }
    buf_release(&text);
}

void postconf_add_row(struct buf *out, const struct master_row *row, bool folds)
{
    static const unsigned stops[POSTCONF_COLUMNS] = {0, 11, 17, 25, 33, 41, 49, 57};
    struct folder f = {.out = out, .start = out->len};
    for (unsigned column = 0; column < POSTCONF_COLUMNS; column++) {
        if (column > 0)
            buf_add_char(out, ' ');
        while (out->len - f.start < stops[column])
            buf_add_char(out, ' ');
        if (column == POSTCONF_COLUMNS - 1 && folds)
            buf_add_str(out, row->command);
        else
            postconf_add_column(out, row, column);
    }
    if (folds)
        add_arguments_folded(&f, row);
}

bool postconf_matches(struct str pattern, struct str text)
{
    return str_is(pattern, STR("*")) || str_is(pattern, text);
}

unsigned postconf_split_request(struct str request, struct str part_r[3])
{
    struct str rest = request, part;
    unsigned count = 0;
    for (unsigned i = 0; i < 3; i++)
        part_r[i] = STR("*");
    for (bool has_more = rest.len > 0; has_more; count++) {
        has_more = str_cut(&rest, '/', &part);
        if (count < 3 && part.len > 0)
            part_r[count] = part;
    }
    return count;
}

int postconf_find_column(struct str name)
{
    for (int i = 0; i < POSTCONF_COLUMNS; i++)
        if (str_is(name, str_from(postconf_column_names[i])))
            return i;
    return -1;
}
