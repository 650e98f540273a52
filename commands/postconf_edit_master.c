// SPDX-License-Identifier: ISC
// postconf_edit_master.c: changes rows, columns and -o options in the text of master.cf; what is not named stays byte
// for byte.
#include "commands/postconf.h"
#include "lib/base/log.h"
#include "lib/conf/master_cf.h"

#define EDITS_MAX 1000

// A piece of the file: one row with its continuation lines, or one line that belongs to no row.
struct piece {
    struct str text; // with the newline
    bool is_row;
    const struct master_row *row; // NULL: none, or malformed
    bool is_target;
    bool is_gone;
};
struct request {
    enum postconf_mode mode;
    enum postconf_edit edit;
    const char *argument;
    struct str part[3], value;
    const struct master_row *new_row; // of -Me
};
struct editor {
    struct arena arena;
    struct piece *pieces;
    size_t count;
};

static bool is_plain(struct str line)
{
    struct str content = str_trim(line);
    return content.len == 0 || content.ptr[0] == '#';
}

static const struct master_row *parse_row(struct arena *arena, struct str text, struct err *err)
{
    static const struct master_cf_defaults defaults = {100, false};
    struct master_cf_rows rows = {0};
    if (master_cf_parse(text, "master.cf", &defaults, arena, &rows, err) != 0)
        return NULL;
    if (rows.count != 1) {
        err_set(err, ERR_PERMANENT, "a row is needed: \"" STR_FMT "\"", STR_ARG(text));
        return NULL;
    }
    return &rows.rows[0];
}

// Comment lines inside a row belong to it; those behind its last line do not.
static void split(struct editor *e, struct str text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    e->pieces = ARENA_ARRAY(&e->arena, struct piece, lines + 2); // and one that is added
    struct str rest = text, line;
    struct piece *row = NULL;
    while (rest.len > 0) {
        const char *start = rest.ptr;
        (void)str_cut(&rest, '\n', &line);
        struct str whole = str_of(start, (size_t)(rest.ptr - start));
        bool is_continuation = !is_plain(line) && conf_is_blank(line.ptr[0]);
        if (is_continuation && row != NULL) {
            row->text.len = (size_t)(whole.ptr + whole.len - row->text.ptr);
            e->count = (size_t)(row - e->pieces) + 1; // comments between become part of the row
            continue;
        }
        struct piece *p = &e->pieces[e->count++];
        *p = (struct piece){.text = whole};
        p->is_row = !is_plain(line);
        if (p->is_row)
            row = p;
    }
    for (size_t i = 0; i < e->count; i++)
        if (e->pieces[i].is_row)
            e->pieces[i].row = parse_row(&e->arena, e->pieces[i].text, NULL); // a malformed one matches nothing
}

static int parse_name(struct request *r, struct err *err)
{
    static const unsigned wanted[] = {[POSTCONF_MASTER] = 2, [POSTCONF_FIELDS] = 3, [POSTCONF_PARAMS] = 3};
    struct str name = str_from(r->argument);
    if (strpbrk(r->argument, "\r\n") != NULL)
        return err_set(err, ERR_PERMANENT, "-e, -X, or -# accepts no multi-line input");
    if (r->edit == POSTCONF_EDIT_SET) {
        struct str rest = name;
        if (!str_cut(&rest, '=', &name))
            return err_set(err, ERR_PERMANENT, "missing '=' after attribute name: \"%s\"", r->argument);
        r->value = str_trim(rest);
        name = str_trim(name);
    }
    if (postconf_split_request(name, r->part) == wanted[r->mode])
        return 0;
    if (r->mode == POSTCONF_MASTER)
        return err_set(err, ERR_PERMANENT, "-Me, -MX or -M# requires service_name/type");
    return err_set(err, ERR_PERMANENT, "%s requires service_name/type/%s",
                   r->mode == POSTCONF_FIELDS ? "-Fe or -FX" : "-Pe or -PX",
                   r->mode == POSTCONF_FIELDS ? "field_name" : "parameter");
}

static int parse_request(struct editor *e, struct request *r, struct err *err)
{
    if (parse_name(r, err) != 0)
        return -1;
    if (r->mode == POSTCONF_FIELDS && postconf_find_column(r->part[2]) < 0)
        return err_set(err, ERR_PERMANENT, "invalid service attribute name: \"" STR_FMT "\"", STR_ARG(r->part[2]));
    bool has_gap = str_find(r->value, ' ') >= 0 || str_find(r->value, '\t') >= 0;
    if (r->mode == POSTCONF_PARAMS && has_gap && (str_find(r->value, '{') >= 0 || str_find(r->value, '}') >= 0))
        return err_set(err, ERR_PERMANENT, "-Pe does not accept braces and whitespace in one parameter value");
    if (r->mode != POSTCONF_MASTER || r->edit != POSTCONF_EDIT_SET)
        return 0;
    r->new_row = parse_row(&e->arena, r->value, err);
    if (r->new_row == NULL)
        return err_set(err, ERR_PERMANENT, "bad field count or column: \"%s\"", r->argument);
    return 0;
}

static size_t mark_targets(struct editor *e, const struct request *r)
{
    size_t count = 0;
    for (size_t i = 0; i < e->count; i++) {
        struct piece *p = &e->pieces[i];
        p->is_target =
            p->row != NULL && postconf_matches(r->part[0], p->row->name) && postconf_matches(r->part[1], p->row->type);
        count += p->is_target;
    }
    return count;
}

// The new row takes the place of the row of its name, else of the first that was asked for, else it stands at the end.
static void replace_row(struct editor *e, const struct request *r)
{
    struct piece *place = NULL;
    for (size_t i = 0; i < e->count; i++) {
        struct piece *p = &e->pieces[i];
        bool is_same =
            p->row != NULL && str_is(p->row->name, r->new_row->name) && str_is(p->row->type, r->new_row->type);
        if (is_same || (p->is_target && place == NULL))
            place = p;
    }
    for (size_t i = 0; i < e->count; i++)
        e->pieces[i].is_gone = e->pieces[i].is_target;
    if (place == NULL) {
        struct piece *last = e->count > 0 ? &e->pieces[e->count - 1] : NULL;
        if (last != NULL && last->text.ptr[last->text.len - 1] != '\n')
            last->text = arena_strf(&e->arena, STR_FMT "\n", STR_ARG(last->text));
        place = &e->pieces[e->count++];
        *place = (struct piece){.text = STR("\n")};
    }
    place->is_gone = false;
    place->is_target = true;
    place->row = r->new_row;
}

// The options of `row` without those that set `name` ("*": any), and with "name=value" behind them unless value is
// NULL.
static struct master_row change_option(struct editor *e, const struct master_row *row, struct str name,
                                       struct str value)
{
    struct master_row changed = *row;
    struct postconf_option option;
    size_t at = 0;
    bool is_placed = value.ptr == NULL;
    changed.argv = ARENA_ARRAY(&e->arena, struct str, row->argc * 2 + 3);
    changed.argc = 0;
    for (size_t start = 0; postconf_next_option(row, &at, &option); start = at) {
        bool is_named = option.is_override && postconf_matches(name, option.name);
        if (is_named && is_placed)
            continue;
        if (is_named) { // in its old place
            changed.argv[changed.argc++] = STR("-o");
            changed.argv[changed.argc++] = arena_strf(&e->arena, STR_FMT "=" STR_FMT, STR_ARG(name), STR_ARG(value));
            is_placed = true;
            continue;
        }
        for (size_t i = start; i < at; i++)
            changed.argv[changed.argc++] = row->argv[i];
    }
    if (!is_placed) {
        changed.argv[changed.argc++] = STR("-o");
        changed.argv[changed.argc++] = arena_strf(&e->arena, STR_FMT "=" STR_FMT, STR_ARG(name), STR_ARG(value));
    }
    while (at < row->argc)
        changed.argv[changed.argc++] = row->argv[at++];
    return changed;
}

// The row as text with one column replaced; read again, so that a bad value is refused.
static const struct master_row *change_column(struct editor *e, const struct master_row *row, const struct request *r,
                                              struct err *err)
{
    struct buf text = BUF_INIT;
    int wanted = postconf_find_column(r->part[2]);
    for (int i = 0; i < POSTCONF_COLUMNS; i++) {
        if (i > 0)
            buf_add_char(&text, ' ');
        if (i == wanted)
            buf_add_str(&text, r->value);
        else
            postconf_add_column(&text, row, (unsigned)i);
    }
    const struct master_row *changed = parse_row(&e->arena, arena_str(&e->arena, buf_str(&text)), err);
    buf_release(&text);
    if (changed == NULL && err != NULL)
        err_prefix(err, "%s", r->argument);
    return changed;
}

static int change_piece(struct editor *e, struct piece *p, const struct request *r, struct err *err)
{
    if (!p->is_target)
        return 0;
    if (r->mode == POSTCONF_FIELDS) {
        p->row = change_column(e, p->row, r, err);
        return p->row == NULL ? -1 : 0;
    }
    struct master_row *row = ARENA_NEW(&e->arena, struct master_row);
    *row = change_option(e, p->row, r->part[2], r->edit == POSTCONF_EDIT_SET ? r->value : STR_NULL);
    p->row = row;
    return 0;
}

static void write_comments(const struct piece *p, struct buf *out)
{
    struct str rest = p->text, line;
    while (rest.len > 0) {
        (void)str_cut(&rest, '\n', &line);
        if (is_plain(line) && str_trim(line).len > 0)
            buf_addf(out, STR_FMT "\n", STR_ARG(line));
    }
}

static void write_commented_out(const struct piece *p, struct buf *out)
{
    struct str rest = p->text, line;
    while (rest.len > 0) {
        (void)str_cut(&rest, '\n', &line);
        buf_addf(out, "%s" STR_FMT "\n", is_plain(line) ? "" : "#", STR_ARG(line));
    }
}

static void write_piece(const struct piece *p, const struct request *r, struct buf *out)
{
    if (!p->is_target && !p->is_gone) {
        buf_add_str(out, p->text);
    } else if (p->is_gone || (r->mode == POSTCONF_MASTER && r->edit == POSTCONF_EDIT_REMOVE)) {
        write_comments(p, out);
    } else if (r->edit == POSTCONF_EDIT_COMMENT) {
        write_commented_out(p, out);
    } else {
        postconf_add_row(out, p->row, true);
        buf_add_char(out, '\n');
        write_comments(p, out);
    }
}

static int apply(struct str text, struct request *r, struct buf *out, struct err *err)
{
    struct editor e = {.arena = ARENA_INIT};
    int status = parse_request(&e, r, err);
    if (status == 0) {
        split(&e, text);
        size_t found = mark_targets(&e, r);
        if (r->new_row != NULL)
            replace_row(&e, r);
        else if (found == 0 && r->mode != POSTCONF_MASTER)
            log_warn("unmatched service_name/type: \"%s\"", r->argument);
        for (size_t i = 0; status == 0 && r->mode != POSTCONF_MASTER && i < e.count; i++)
            status = change_piece(&e, &e.pieces[i], r, err);
        for (size_t i = 0; status == 0 && i < e.count; i++)
            write_piece(&e.pieces[i], r, out);
    }
    arena_release(&e.arena);
    return status;
}

int postconf_edit_master_text(struct str text, const struct postconf_options *o, struct buf *out, struct err *err)
{
    struct buf current = BUF_INIT;
    int status = 0;
    buf_add_str(&current, text);
    for (size_t i = 0; status == 0 && o->names[i] != NULL; i++) {
        struct request r = {.mode = o->mode, .edit = o->edit, .argument = o->names[i]};
        if (i >= EDITS_MAX)
            status = err_set(err, ERR_PERMANENT, "more than %d changes at once", EDITS_MAX);
        buf_clear(out);
        if (status == 0)
            status = apply(buf_str(&current), &r, out, err);
        buf_clear(&current);
        buf_add_str(&current, buf_str(out));
    }
    buf_release(&current);
    return status;
}
