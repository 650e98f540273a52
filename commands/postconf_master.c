// SPDX-License-Identifier: ISC
// postconf_master.c: master.cf as rows (-M), columns (-F) and overridden parameters (-P).
#include <stdio.h>

#include "commands/postconf.h"
#include "lib/base/log.h"

enum { COLUMN_COUNT = 8, FIRST_FLAG = 2 };

static const char *const column_names[COLUMN_COUNT] = {"service", "type",   "private",       "unprivileged",
                                                       "chroot",  "wakeup", "process_limit", "command"};

struct columns {
    struct buf text[COLUMN_COUNT];
};

static void add_argument(struct buf *out, struct str argument)
{
    bool needs_group = argument.len == 0 || str_find(argument, ' ') >= 0 || str_find(argument, '\t') >= 0;
    buf_addf(out, needs_group ? " {" STR_FMT "}" : " " STR_FMT, STR_ARG(argument));
}

// The value of -o: "a = b" is shown as a=b, grouped when blanks remain.
static void add_override(struct buf *out, struct str argument)
{
    struct str value = argument, name;
    struct buf text = BUF_INIT;
    if (str_cut(&value, '=', &name)) {
        buf_addf(&text, STR_FMT "=" STR_FMT, STR_ARG(str_trim(name)), STR_ARG(str_trim(value)));
        argument = buf_str(&text);
    }
    add_argument(out, argument);
    buf_release(&text);
}

static bool is_override(const struct master_row *row, size_t i)
{
    return i > 0 && str_is(row->argv[i - 1], STR("-o"));
}

static void describe(const struct master_row *row, struct columns *c)
{
    *c = (struct columns){0};
    buf_add_str(&c->text[0], row->name);
    buf_add_str(&c->text[1], row->type);
    for (int i = 0; i < 5; i++)
        buf_add_str(&c->text[FIRST_FLAG + i], row->written[i]);
    buf_add_str(&c->text[7], row->command);
    for (size_t i = 0; i < row->argc; i++)
        (is_override(row, i) ? add_override : add_argument)(&c->text[7], row->argv[i]);
}

static void columns_release(struct columns *c)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        buf_release(&c->text[i]);
}

static void print_row(const struct postconf_options *o, const struct master_row *row)
{
    struct columns c;
    struct buf line = BUF_INIT;
    describe(row, &c);
    const char *t[COLUMN_COUNT];
    for (int i = 0; i < COLUMN_COUNT; i++)
        t[i] = buf_cstr(&c.text[i]);
    buf_addf(&line, "%-10s %-5s %-7s %-7s %-7s %-7s %-7s %s", t[0], t[1], t[2], t[3], t[4], t[5], t[6],
             o->folds ? row->command.ptr : t[7]);
    if (o->folds)
        for (size_t i = 0; i < row->argc; i++) {
            bool has_value = str_is(row->argv[i], STR("-o")) && i + 1 < row->argc;
            buf_add_cstr(&line, "\n   ");
            add_argument(&line, row->argv[i]);
            if (has_value)
                add_override(&line, row->argv[++i]);
        }
    puts(buf_cstr(&line));
    buf_release(&line);
    columns_release(&c);
}

static bool matches(struct str pattern, struct str text)
{
    return str_is(pattern, STR("*")) || str_is(pattern, text);
}

// Splits "service/type/last": absent parts are "*".
static void split_request(const char *request, struct str part[3])
{
    struct str rest = str_from(request != NULL ? request : "");
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            part[i] = rest;
        else if (!str_cut(&rest, '/', &part[i]))
            rest = STR("");
        if (part[i].len == 0)
            part[i] = STR("*");
    }
}

static unsigned print_fields(const struct postconf_options *o, const struct master_row *row, struct str field)
{
    struct columns c;
    unsigned count = 0;
    describe(row, &c);
    for (int i = 0; i < COLUMN_COUNT; i++) {
        struct buf name = BUF_INIT;
        buf_addf(&name, STR_FMT "/" STR_FMT "/%s", STR_ARG(row->name), STR_ARG(row->type), column_names[i]);
        if (matches(field, str_from(column_names[i]))) {
            postconf_print_line(o, buf_str(&name), buf_str(&c.text[i]));
            count++;
        }
        buf_release(&name);
    }
    columns_release(&c);
    return count;
}

static unsigned print_overrides(const struct postconf_options *o, const struct master_row *row, struct str wanted)
{
    unsigned count = 0;
    for (size_t i = 0; i + 1 < row->argc; i++) {
        struct str value = row->argv[i + 1], name;
        if (!str_is(row->argv[i], STR("-o")) || !str_cut(&value, '=', &name) || !matches(wanted, str_trim(name)))
            continue;
        struct buf full = BUF_INIT;
        buf_addf(&full, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(row->name), STR_ARG(row->type), STR_ARG(str_trim(name)));
        postconf_print_line(o, buf_str(&full), str_trim(value));
        buf_release(&full);
        count++;
    }
    return count;
}

static unsigned print_request(const struct postconf *p, const char *request)
{
    struct str part[3];
    unsigned count = 0;
    split_request(request, part);
    for (size_t i = 0; i < p->row_count; i++) {
        const struct master_row *row = &p->rows[i];
        if (!matches(part[0], row->name) || !matches(part[1], row->type))
            continue;
        if (p->options->mode == POSTCONF_MASTER) {
            print_row(p->options, row);
            count++;
        } else if (p->options->mode == POSTCONF_FIELDS) {
            count += print_fields(p->options, row, part[2]);
        } else {
            count += print_overrides(p->options, row, part[2]);
        }
    }
    return count;
}

int postconf_print_master(struct postconf *p)
{
    char **request = p->options->names;
    if (*request == NULL)
        (void)print_request(p, NULL);
    for (; *request != NULL; request++)
        if (print_request(p, *request) == 0)
            log_warn("unmatched request: \"%s\"", *request);
    return 0;
}
