// SPDX-License-Identifier: ISC
// master_cf.c: master.cf: one row per service, eight columns, arguments with { } groups.
#include "lib/conf/master_cf.h"
#include "lib/base/log.h"
#include "lib/conf/conf_private.h"
#include "lib/sys/sys.h"

#define ARGUMENTS_MAX 1000
#define ROWS_MAX      10000

struct reader {
    const struct master_cf_defaults *defaults;
    struct arena *arena;
    struct map seen; // "name/type" -> struct master_row
    struct master_row **rows;
    size_t count, capacity;
    unsigned compat_chroots; // rows whose chroot column took the old default
};

static int bad_column(struct err *err, const char *column, struct str text, const char *advice)
{
    return err_set(err, ERR_PERMANENT, "bad %s column \"" STR_FMT "\": %s", column, STR_ARG(text), advice);
}

static int take_column(struct str *rest, const char *column, struct str *text_r, struct err *err)
{
    if (str_token(rest, " \t\r\v\f", text_r))
        return 0;
    return err_set(err, ERR_PERMANENT,
                   "the %s column is missing: a row is service type private unpriv chroot wakeup maxproc command",
                   column);
}

static int take_flag(struct str *rest, const char *column, bool otherwise, bool *flag_r, struct err *err)
{
    struct str text;
    if (take_column(rest, column, &text, err) != 0)
        return -1;
    if (!str_is(text, STR("y")) && !str_is(text, STR("n")) && !str_is(text, STR("-")))
        return bad_column(err, column, text, "use y, n or -");
    *flag_r = str_is(text, STR("-")) ? otherwise : str_is(text, STR("y"));
    return 0;
}

static int take_wakeup(struct str *rest, struct master_row *row, struct err *err)
{
    struct str text, number;
    if (take_column(rest, "wakeup", &text, err) != 0)
        return -1;
    number = text;
    if (str_ends(text, STR("?"))) {
        row->wakeup_if_used = true;
        number.len--;
    }
    row->wakeup = 0;
    if (str_is(text, STR("-")))
        return 0;
    if (str_to_i64(number, &row->wakeup) != 0 || row->wakeup < 0 || row->wakeup > INT32_MAX)
        return bad_column(err, "wakeup", text, "use a number of seconds, with ? to wait for the first use, or -");
    return 0;
}

static int take_maxproc(struct reader *r, struct str *rest, struct master_row *row, struct err *err)
{
    struct str text;
    if (take_column(rest, "maxproc", &text, err) != 0)
        return -1;
    row->maxproc = r->defaults->process_limit;
    if (str_is(text, STR("-")))
        return 0;
    if (str_to_i64(text, &row->maxproc) != 0 || row->maxproc < 0 || row->maxproc > INT32_MAX)
        return bad_column(err, "maxproc", text, "use a number, 0 for no limit, or -");
    return 0;
}

static int take_type(struct str *rest, struct master_row *row, struct err *err)
{
    static const char *const types[] = {"inet", "unix", "unix-dgram", "fifo", "pass"};
    if (take_column(rest, "type", &row->type, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (str_is(row->type, str_from(types[i])))
            return 0;
    return bad_column(err, "type", row->type, "use inet, unix, unix-dgram, fifo or pass");
}

static int check_name(const struct master_row *row, struct err *err)
{
    if (str_is(row->type, STR("inet"))) {
        if (row->is_private)
            return err_set(err, ERR_PERMANENT, "an inet service cannot be private: put n into the private column");
        return 0;
    }
    if (str_find(row->name, '/') >= 0 || row->name.ptr[0] == '.')
        return bad_column(err, "service", row->name, "use a plain name, it becomes a file in public or private");
    if (row->name.len > 80)
        return bad_column(err, "service", row->name, "use at most 80 characters");
    return 0;
}

// "{ a b }" becomes "a b"; other arguments stay.
static int unwrap_argument(struct str token, struct str *argument_r, struct err *err)
{
    *argument_r = token;
    if (token.ptr[0] != '{')
        return 0;
    long depth = 0;
    for (size_t i = 0; i < token.len; i++) {
        depth += token.ptr[i] == '{' ? 1 : token.ptr[i] == '}' ? -1 : 0;
        if (depth == 0 && i + 1 < token.len)
            return err_set(err, ERR_PERMANENT, "text follows \"}\" in \"" STR_FMT "\": put a blank between",
                           STR_ARG(str_slice(token, 0, 100)));
    }
    if (depth != 0)
        return err_set(err, ERR_PERMANENT, "no closing \"}\" in \"" STR_FMT "\"", STR_ARG(str_slice(token, 0, 100)));
    *argument_r = str_trim(str_slice(token, 1, token.len - 1));
    return 0;
}

static int take_command(struct reader *r, struct str *rest, struct master_row *row, struct err *err)
{
    struct str token, count_rest;
    if (take_column(rest, "command", &row->command, err) != 0)
        return -1;
    if (str_find(row->command, '/') >= 0 || row->command.ptr[0] == '.')
        return bad_column(err, "command", row->command, "use the name of a program in daemon_directory");
    count_rest = *rest;
    size_t count = 0;
    while (str_token_braced(&count_rest, " \t\r\v\f", &token))
        count++;
    if (count > ARGUMENTS_MAX)
        return err_set(err, ERR_PERMANENT, "more than %d arguments", ARGUMENTS_MAX);
    row->argv = ARENA_ARRAY(r->arena, struct str, count + 1);
    while (str_token_braced(rest, " \t\r\v\f", &token)) {
        struct str argument;
        if (unwrap_argument(token, &argument, err) != 0)
            return -1;
        row->argv[row->argc++] = arena_str(r->arena, argument);
    }
    return 0;
}

// Columns 3 to 7 as they were written.
static void keep_written_columns(struct reader *r, struct str line, struct master_row *row)
{
    struct str rest = line, text;
    for (int i = 0; i < 7 && str_token(&rest, " \t\r\v\f", &text); i++)
        if (i >= 2)
            row->written[i - 2] = arena_str(r->arena, text);
}

static int parse_row(struct reader *r, struct str line, struct master_row *row, struct err *err)
{
    struct str rest = line, chroot;
    if (conf_is_blank(line.ptr[0]))
        return err_set(err, ERR_PERMANENT, "the first row must not start with a blank: remove it");
    if (memchr(line.ptr, '\0', line.len) != NULL)
        return err_set(err, ERR_PERMANENT, "NUL byte in the text: remove it");
    if (line.len > CONF_VALUE_MAX)
        return err_set(err, ERR_PERMANENT, "row is longer than %d bytes", CONF_VALUE_MAX);
    if (take_column(&rest, "service", &row->name, err) != 0 || take_type(&rest, row, err) != 0 ||
        take_flag(&rest, "private", true, &row->is_private, err) != 0 || check_name(row, err) != 0 ||
        take_flag(&rest, "unpriv", true, &row->is_unpriv, err) != 0)
        return -1;
    struct str ahead = rest;
    if (str_token(&ahead, " \t\r\v\f", &chroot) && str_is(chroot, STR("-")) && r->defaults->is_chroot)
        r->compat_chroots++;
    if (take_flag(&rest, "chroot", r->defaults->is_chroot, &row->is_chroot, err) != 0 ||
        take_wakeup(&rest, row, err) != 0 || take_maxproc(r, &rest, row, err) != 0 ||
        take_command(r, &rest, row, err) != 0)
        return -1;
    keep_written_columns(r, line, row);
    row->name = arena_str(r->arena, row->name);
    row->type = arena_str(r->arena, row->type);
    row->command = arena_str(r->arena, row->command);
    return 0;
}

static int add_row(struct reader *r, struct master_row *row, const char *path, struct err *err)
{
    struct buf key = BUF_INIT;
    if (r->count >= ROWS_MAX)
        return err_set(err, ERR_PERMANENT, "more than %d rows", ROWS_MAX);
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 64;
        r->rows = mem_realloc(r->rows, r->capacity * sizeof(struct master_row *));
    }
    r->rows[r->count++] = row;
    buf_addf(&key, STR_FMT "/" STR_FMT, STR_ARG(row->name), STR_ARG(row->type));
    struct master_row *old = map_set(&r->seen, buf_str(&key), row);
    if (old != NULL) {
        log_warn("%s, line %u: duplicate service \"%s\": the row in line %u is not used", path, row->line,
                 buf_cstr(&key), old->line);
        old->command = STR_NULL; // left out at the end
    }
    buf_release(&key);
    return 0;
}

static void deliver_rows(struct reader *r, struct master_row **rows_r, size_t *count_r)
{
    size_t kept = 0;
    *rows_r = ARENA_ARRAY(r->arena, struct master_row, r->count + 1);
    for (size_t i = 0; i < r->count; i++)
        if (r->rows[i]->command.ptr != NULL)
            (*rows_r)[kept++] = *r->rows[i];
    *count_r = kept;
}

int master_cf_parse(struct str text, const char *path, const struct master_cf_defaults *defaults, struct arena *arena,
                    struct master_cf_rows *rows_r, struct err *err)
{
    struct reader r = {.defaults = defaults, .arena = arena, .seen = MAP_INIT};
    struct conf_lines lines;
    struct str line;
    unsigned number = 0;
    int status = 0;
    conf_lines_init(&lines, text);
    while (status == 0 && conf_lines_next(&lines, &line, &number)) {
        struct master_row *row = ARENA_NEW(arena, struct master_row);
        row->line = number;
        status = parse_row(&r, line, row, err);
        if (status == 0)
            status = add_row(&r, row, path, err);
        if (status != 0 && err != NULL)
            err_prefix(err, "%s, line %u", path, number);
    }
    if (status == 0) {
        deliver_rows(&r, &rows_r->rows, &rows_r->count);
        rows_r->compat_chroots = r.compat_chroots;
    }
    mem_free(r.rows);
    map_release(&r.seen);
    conf_lines_release(&lines);
    return status;
}

static int read_defaults(const struct conf *c, struct master_cf_defaults *d_r, struct err *err)
{
    struct buf text = BUF_INIT;
    int64_t level = 0, level_1 = 0;
    if (conf_get_int(c, "default_process_limit", NULL, &d_r->process_limit, err) != 0)
        return -1;
    (void)conf_parse_level(STR("1"), &level_1);
    int status = conf_get_str(c, "compatibility_level", NULL, &text, err);
    if (status == 0 && conf_parse_level(buf_str(&text), &level) != 0)
        status = err_set(err, ERR_PERMANENT, "malformed compatibility_level \"%s\": use a number such as 3.6",
                         buf_cstr(&text));
    d_r->is_chroot = level < level_1;
    buf_release(&text);
    return status;
}

int master_cf_read(const struct conf *c, const char *path, struct arena *arena, struct master_row **rows_r,
                   size_t *count_r, struct err *err)
{
    struct master_cf_defaults defaults;
    struct master_cf_rows rows = {0};
    struct buf content = BUF_INIT;
    int status = read_defaults(c, &defaults, err);
    if (status == 0)
        status = sys_read_file(path, CONF_FILE_MAX, &content, err);
    if (status == 0)
        status = master_cf_parse(buf_str(&content), path, &defaults, arena, &rows, err);
    buf_release(&content);
    if (status != 0)
        return -1;
    if (rows.compat_chroots > 0)
        log_info("using backwards-compatible default setting chroot=y in %u rows of %s", rows.compat_chroots, path);
    *rows_r = rows.rows;
    *count_r = rows.count;
    return 0;
}
