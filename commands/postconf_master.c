// SPDX-License-Identifier: ISC
// postconf_master.c: prints master.cf as rows (-M), columns (-F) and overridden parameters (-P).
#include <stdio.h>

#include "commands/postconf.h"
#include "lib/base/log.h"

// main.cf as the service of `row` sees it: with its -o options over it.
static struct conf *open_service_conf(const struct postconf *p, const struct master_row *row)
{
    struct conf *c = conf_open_layer(p->conf);
    struct postconf_option option;
    size_t at = 0;
    (void)conf_override(c, STR("service_name"), row->name);
    while (postconf_next_option(row, &at, &option))
        if (option.is_override)
            (void)conf_override(c, option.name, option.value);
    return c;
}

static struct str expanded(const struct postconf *p, const struct conf *c, struct str text, struct arena *arena)
{
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (conf_expand(c, text, &out, &err) != 0)
        die("%s/master.cf: %s", p->options->dir, err.text);
    struct str result = arena_str(arena, buf_str(&out));
    buf_release(&out);
    return result;
}

// The row with $name in its -o options replaced (-x). Other arguments may hold macros of their own, and stay.
static struct master_row expanded_row(struct postconf *p, const struct master_row *row)
{
    struct master_row copy = *row;
    struct postconf_option option;
    struct conf *c = open_service_conf(p, row);
    size_t at = 0;
    copy.argc = 0;
    copy.argv = ARENA_ARRAY(&p->arena, struct str, row->argc * 2 + 1);
    while (postconf_next_option(row, &at, &option)) {
        if (!option.is_override) {
            copy.argv[copy.argc++] = option.word;
            continue;
        }
        struct str value = expanded(p, c, option.value, &p->arena);
        copy.argv[copy.argc++] = STR("-o");
        copy.argv[copy.argc++] = arena_strf(&p->arena, STR_FMT "=" STR_FMT, STR_ARG(option.name), STR_ARG(value));
    }
    while (at < row->argc)
        copy.argv[copy.argc++] = row->argv[at++];
    conf_free(c);
    return copy;
}

static void print_full_name(const struct postconf_options *o, const struct master_row *row, struct str last,
                            struct str value)
{
    struct buf name = BUF_INIT;
    buf_addf(&name, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(row->name), STR_ARG(row->type), STR_ARG(last));
    postconf_print_line(o, buf_str(&name), value);
    buf_release(&name);
}

static unsigned print_fields(const struct postconf_options *o, const struct master_row *row, struct str field)
{
    unsigned count = 0;
    for (unsigned i = 0; i < POSTCONF_COLUMNS; i++) {
        struct buf text = BUF_INIT;
        struct str column = str_from(postconf_column_names[i]);
        if (postconf_matches(field, column)) {
            postconf_add_column(&text, row, i);
            print_full_name(o, row, column, buf_str(&text));
            count++;
        }
        buf_release(&text);
    }
    return count;
}

static unsigned print_row(const struct postconf_options *o, const struct master_row *row)
{
    struct buf line = BUF_INIT, name = BUF_INIT;
    postconf_add_row(&line, row, o->folds && !o->json);
    buf_addf(&name, STR_FMT "/" STR_FMT, STR_ARG(row->name), STR_ARG(row->type));
    if (o->json)
        postconf_print_line(o, buf_str(&name), buf_str(&line));
    else
        puts(buf_cstr(&line));
    buf_release(&line);
    buf_release(&name);
    return 1;
}

static unsigned print_overrides(const struct postconf_options *o, const struct master_row *row, struct str wanted)
{
    struct postconf_option option;
    unsigned count = 0;
    size_t at = 0;
    while (postconf_next_option(row, &at, &option))
        if (option.is_override && postconf_matches(wanted, option.name)) {
            print_full_name(o, row, option.name, option.value);
            count++;
        }
    return count;
}

// -PP: every parameter that the row's program reads, as this service sees it.
static unsigned print_parameters(struct postconf *p, const struct master_row *row, struct str wanted)
{
    struct conf *c = open_service_conf(p, row);
    unsigned count = 0;
    for (size_t i = 0; i < param_count; i++) {
        const struct param *param = &param_table[i];
        struct str rest = str_from(param->used_by), program, value;
        bool is_read = false;
        while (!is_read && str_token(&rest, ", ", &program))
            is_read = str_is(program, row->command) || str_is(program, STR("all"));
        if (!is_read || param->class != PARAM_BUILTIN || !postconf_matches(wanted, str_from(param->name)) ||
            !conf_raw(c, str_from(param->name), &value))
            continue;
        print_full_name(p->options, row, str_from(param->name),
                        p->options->expands ? expanded(p, c, value, &p->arena) : value);
        count++;
    }
    conf_free(c);
    return count;
}

static unsigned print_one(struct postconf *p, const struct master_row *row, struct str last)
{
    const struct postconf_options *o = p->options;
    struct master_row copy = o->expands ? expanded_row(p, row) : *row;
    if (o->mode == POSTCONF_MASTER)
        return print_row(o, &copy);
    if (o->mode == POSTCONF_FIELDS)
        return print_fields(o, &copy, last);
    return o->all_parameters ? print_parameters(p, row, last) : print_overrides(o, &copy, last);
}

struct wanted {
    const char *text;
    struct str part[3];
    unsigned found;
};

static void parse_wanted(const struct postconf_options *o, const char *text, struct wanted *w)
{
    static const struct {
        unsigned parts;
        const char *complaint;
    } limits[] = {[POSTCONF_MASTER] = {2, "-M option requires service_name[/type]"},
                  [POSTCONF_FIELDS] = {3, "-F option requires service_name[/type[/field]]"},
                  [POSTCONF_PARAMS] = {3, "-P option requires service_name[/type[/parameter]]"}};
    *w = (struct wanted){.text = text};
    if (postconf_split_request(str_from(text), w->part) > limits[o->mode].parts)
        die("%s", limits[o->mode].complaint);
    if (o->mode == POSTCONF_FIELDS && !str_is(w->part[2], STR("*")) && postconf_find_column(w->part[2]) < 0)
        die("invalid service attribute name: \"" STR_FMT "\"", STR_ARG(w->part[2]));
}

// In the order of the file, whatever the order of the requests.
static void print_wanted(struct postconf *p, struct wanted *wanted, size_t count)
{
    for (size_t row = 0; row < p->row_count; row++)
        for (size_t i = 0; i < count; i++) {
            const struct master_row *r = &p->rows[row];
            if (postconf_matches(wanted[i].part[0], r->name) && postconf_matches(wanted[i].part[1], r->type))
                wanted[i].found += print_one(p, r, wanted[i].part[2]);
        }
}

int postconf_print_master(struct postconf *p)
{
    char **request = p->options->names;
    size_t count = 0;
    while (request[count] != NULL)
        count++;
    struct wanted *wanted = ARENA_ARRAY(&p->arena, struct wanted, count + 1);
    for (size_t i = 0; i < count; i++)
        parse_wanted(p->options, request[i], &wanted[i]);
    if (count == 0)
        parse_wanted(p->options, "", &wanted[0]);
    print_wanted(p, wanted, count == 0 ? 1 : count);
    for (size_t i = 0; i < count; i++)
        if (wanted[i].found == 0)
            log_warn("unmatched request: \"%s\"", wanted[i].text);
    return 0;
}
