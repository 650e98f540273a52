// SPDX-License-Identifier: ISC
// postconf.c: shows and changes the configuration.
#include "commands/postconf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table.h"

#define OVERRIDES_MAX 100

static const char *overrides[OVERRIDES_MAX + 1]; // of -o, ends with NULL

static const char usage[] = "usage: postconf [-c dir] [-C class,...] [-d] [-e] [-f] [-F] [-h] [-H] [-j] [-l] [-m] [-M] [-n] "
                            "[-o name=value] [-p] [-P] [-q] [-v] [-x] [-X] [-#] [name ...]";

static unsigned parse_classes(const char *text)
{
    static const struct {
        struct str word;
        unsigned class;
    } words[] = {{STR("builtin"), POSTCONF_BUILTIN},
                 {STR("service"), POSTCONF_SERVICE},
                 {STR("user"), POSTCONF_USER},
                 {STR("all"), POSTCONF_ALL}};
    struct str rest = str_from(text), word;
    unsigned classes = 0;
    while (str_token(&rest, ", ", &word)) {
        unsigned class = 0;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (str_is_nocase(word, words[i].word))
                class = words[i].class;
        if (class == 0)
            die("bad parameter class \"" STR_FMT "\": use builtin, service, user or all", STR_ARG(word));
        classes |= class;
    }
    return classes;
}

static void set_edit(struct postconf_options *o, enum postconf_edit edit)
{
    if (o->edit != POSTCONF_EDIT_NONE && o->edit != edit)
        die("specify one of -e, -X and -#");
    o->edit = edit;
}

static bool take_mode(struct postconf_options *o, int letter)
{
    static const struct {
        char letter;
        enum postconf_mode mode;
    } modes[] = {{'p', POSTCONF_MAIN},   {'M', POSTCONF_MASTER}, {'F', POSTCONF_FIELDS},
                 {'P', POSTCONF_PARAMS}, {'m', POSTCONF_TYPES},  {'l', POSTCONF_LOCKS}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (modes[i].letter == letter) {
            o->mode = modes[i].mode;
            return true;
        }
    return false;
}

static bool take_flag(struct postconf_options *o, int letter)
{
    const struct {
        char letter;
        bool *flag;
    } flags[] = {{'n', &o->only_set}, {'d', &o->defaults}, {'x', &o->expands},   {'f', &o->folds},
                 {'j', &o->json},     {'h', &o->no_names}, {'H', &o->no_values}, {'q', &o->is_quiet}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].letter == letter) {
            *flags[i].flag = true;
            return true;
        }
    return false;
}

static void take_option(struct postconf_options *o, int letter, size_t *override_count)
{
    if (take_mode(o, letter) || take_flag(o, letter))
        return;
    switch (letter) {
    case 'c':
        o->dir = optarg;
        o->has_dir = true;
        break;
    case 'C':
        o->classes = parse_classes(optarg);
        break;
    case 'e':
        set_edit(o, POSTCONF_EDIT_SET);
        break;
    case 'X':
        set_edit(o, POSTCONF_EDIT_REMOVE);
        break;
    case '#':
        set_edit(o, POSTCONF_EDIT_COMMENT);
        break;
    case 'o':
        if (*override_count >= OVERRIDES_MAX)
            die("more than %d -o options", OVERRIDES_MAX);
        o->overrides[(*override_count)++] = optarg;
        break;
    case 'v':
        log_set_debug(true);
        break;
    case 'a':
    case 'A':
    case 'b':
    case 't':
    case 'T':
        die("option -%c is not supported yet", letter);
    default:
        die("%s", usage);
    }
}

static void parse(struct postconf_options *o, int argc, char **argv)
{
    int letter;
    size_t override_count = 0;
    opterr = 0;
    while ((letter = getopt(argc, argv, "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#")) > 0)
        take_option(o, letter, &override_count);
    o->names = argv + optind;
    if (o->dir == NULL)
        o->dir = conf_default_dir();
    // "name=value" alone means -e.
    if (o->edit == POSTCONF_EDIT_NONE && o->mode == POSTCONF_MAIN && o->names[0] != NULL && strchr(o->names[0], '=') != NULL)
        o->edit = POSTCONF_EDIT_SET;
    if (o->edit != POSTCONF_EDIT_NONE && (o->defaults || o->only_set || o->expands || o->overrides[0] != NULL))
        die("-e, -X and -# cannot be used with -d, -n, -o or -x");
    if (o->edit != POSTCONF_EDIT_NONE && o->mode != POSTCONF_MAIN)
        die("editing master.cf is not supported yet: edit the file and run postfix reload");
    if (o->edit != POSTCONF_EDIT_NONE && o->names[0] == NULL)
        die("-e, -X and -# need at least one name");
    if (o->defaults && o->only_set)
        die("specify one of -d and -n");
    if (o->no_names && o->no_values)
        die("specify one of -h and -H");
}

static int print_list(const char *const *items)
{
    for (; *items != NULL; items++)
        puts(*items);
    return 0;
}

static int show(struct postconf *p)
{
    const struct postconf_options *o = p->options;
    struct err err = ERR_INIT;
    p->conf = conf_open(o->dir, o->overrides, &err);
    if (p->conf == NULL)
        die("%s", err.text);
    p->defaults = conf_open_defaults(o->dir);
    postconf_learn(p);
    int status = o->mode == POSTCONF_MAIN ? postconf_print_main(p) : postconf_print_master(p);
    if (fflush(stdout) != 0)
        die("cannot write to standard output");
    if (!o->is_quiet && !o->defaults)
        postconf_warn(p);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const locks[] = {"flock", "fcntl", "dotlock", NULL};
    struct postconf_options options = {.classes = POSTCONF_ALL, .overrides = overrides};
    struct postconf p = {.options = &options};
    struct err err = ERR_INIT;
    int status = 0;
    log_open(LOG_TO_STDERR, -1, "postconf", "");
    log_add_stderr("postconf");
    parse(&options, argc, argv);
    if (options.edit != POSTCONF_EDIT_NONE) {
        if (postconf_edit_main(&options, &err) != 0)
            die("%s", err.text);
    } else if (options.mode == POSTCONF_TYPES) {
        status = print_list(table_types());
    } else if (options.mode == POSTCONF_LOCKS) {
        status = print_list(locks);
    } else {
        status = show(&p);
    }
    postconf_release(&p);
    return status;
}
