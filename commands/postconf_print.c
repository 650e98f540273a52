// SPDX-License-Identifier: ISC
// postconf_print.c: main.cf parameters as lines "name = value".
#include <stdio.h>
#include <stdlib.h>

#include "commands/postconf.h"
#include "lib/base/log.h"

#define LINE_WIDTH 80

static void add_words(struct buf *out, struct str value, bool folds)
{
    struct str rest = value, word;
    size_t column = out->len;
    bool is_first = column == 0;
    while (str_token(&rest, " \t\r\n", &word)) {
        if (folds && !is_first && column + 1 + word.len > LINE_WIDTH) {
            buf_add_cstr(out, "\n    ");
            column = 4;
        } else if (!is_first) {
            buf_add_char(out, ' ');
            column++;
        }
        buf_add_str(out, word);
        column += word.len;
        is_first = false;
    }
}

void postconf_print_line(const struct postconf_options *o, struct str name, struct str value)
{
    struct buf line = BUF_INIT;
    if (o->json) {
        buf_add_char(&line, '{');
        buf_add_json(&line, name);
        buf_add_cstr(&line, ": ");
        buf_add_json(&line, value);
        buf_add_char(&line, '}');
    } else if (o->no_values) {
        buf_add_str(&line, name);
    } else {
        if (!o->no_names)
            buf_addf(&line, STR_FMT " =", STR_ARG(name));
        add_words(&line, value, o->folds);
    }
    buf_add_char(&line, '\n');
    fwrite(line.ptr, 1, line.len, stdout);
    buf_release(&line);
}

static void print_known(struct postconf *p, const struct postconf_known *k)
{
    const struct conf *c = p->options->defaults ? p->defaults : p->conf;
    struct str name = str_from(k->name), value;
    struct buf expanded = BUF_INIT;
    struct err err = ERR_INIT;
    bool is_service_default = k->class == POSTCONF_SERVICE && !conf_is_set(c, name);
    if (is_service_default || !conf_raw(c, name, &value))
        value = str_from(k->default_text != NULL ? k->default_text : "");
    if (p->options->defaults && str_is(name, STR("config_directory")))
        value = str_from(k->default_text);
    if (p->options->expands) {
        if (conf_expand(c, value, &expanded, &err) != 0)
            die("%s/main.cf: parameter %s: %s", p->options->dir, k->name, err.text);
        value = buf_str(&expanded);
    }
    postconf_print_line(p->options, name, value);
    buf_release(&expanded);
}

static bool is_listed(const struct postconf *p, const struct postconf_known *k)
{
    const struct postconf_options *o = p->options;
    struct str name = str_from(k->name);
    if (!(k->class & o->classes))
        return false;
    if (o->defaults)
        return !k->is_hidden;
    bool is_set = conf_is_set(p->conf, name) || (o->has_dir && str_is(name, STR("config_directory")));
    return is_set || (!o->only_set && !k->is_hidden);
}

static int compare_known(const void *a, const void *b)
{
    const struct postconf_known *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void print_all(struct postconf *p, void (*print)(struct postconf *, const struct postconf_known *))
{
    const struct postconf_known **list = ARENA_ARRAY(&p->arena, const struct postconf_known *, p->known.count + 1);
    struct map_iter it = MAP_ITER_INIT;
    const struct map_entry *e;
    size_t count = 0;
    while ((e = map_next(&p->known, &it)) != NULL)
        if (is_listed(p, e->value))
            list[count++] = e->value;
    qsort(list, count, sizeof(*list), compare_known);
    for (size_t i = 0; i < count; i++)
        print(p, list[i]);
}

// All, or those that the command line names.
static void print_each(struct postconf *p, void (*print)(struct postconf *, const struct postconf_known *))
{
    char **name = p->options->names;
    if (*name == NULL)
        print_all(p, print);
    for (; *name != NULL; name++) {
        const struct postconf_known *k = map_get(&p->known, str_from(*name));
        bool is_wanted = k != NULL && (!p->options->only_set || conf_is_set(p->conf, str_from(*name)));
        if (k == NULL || (p->options->defaults && k->default_text == NULL))
            log_warn("%s: unknown parameter", *name);
        else if (is_wanted)
            print(p, k);
    }
}

int postconf_print_main(struct postconf *p)
{
    print_each(p, print_known);
    return 0;
}

// "name = value" and behind a tab the file and line, "-o" or "default".
static void print_origin(struct postconf *p, const struct postconf_known *k)
{
    struct str name = str_from(k->name), value = str_from(k->default_text != NULL ? k->default_text : "");
    struct conf_entry e = {.file = NULL};
    struct buf origin = BUF_INIT, line = BUF_INIT;
    bool is_set = conf_origin(p->conf, name, &e);
    if (is_set || k->class != POSTCONF_SERVICE)
        (void)conf_raw(p->conf, name, &value);
    if (e.file != NULL)
        buf_addf(&origin, "%s:%u", e.file, e.line);
    else
        buf_add_cstr(&origin, is_set ? "-o" : "default");
    if (p->options->json) {
        buf_add_cstr(&line, "{\"name\": ");
        buf_add_json(&line, name);
        buf_add_cstr(&line, ", \"value\": ");
        buf_add_json(&line, value);
        buf_add_cstr(&line, ", \"origin\": ");
        buf_add_json(&line, buf_str(&origin));
        buf_add_char(&line, '}');
    } else {
        buf_addf(&line, STR_FMT " =", STR_ARG(name));
        add_words(&line, value, false);
        buf_addf(&line, "\t%s", buf_cstr(&origin));
    }
    puts(buf_cstr(&line));
    buf_release(&line);
    buf_release(&origin);
}

int postconf_print_origin(struct postconf *p)
{
    print_each(p, print_origin);
    return 0;
}
