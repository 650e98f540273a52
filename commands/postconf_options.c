// SPDX-License-Identifier: ISC
// postconf_options.c: the command line of postconf, and which options go together.
#include <getopt.h>
#include <unistd.h>

#include "commands/postconf.h"
#include "lib/base/log.h"

enum { ORIGIN_LETTER = 'O', LINT_LETTER = 'L' }; // --origin and --lint, which have no letter of their own

struct line {
    struct postconf_options *options;
    bool seen[128];
    size_t override_count;
    unsigned parameter_flags; // how often -P was given
};

// What an option asks for: at most one of these.
static const struct {
    char letter;
    enum postconf_mode mode;
    const char *refused; // options that mean nothing with it
} modes[] = {{'a', POSTCONF_SERVERS, "#HXdefhnox"},
             {'A', POSTCONF_CLIENTS, "#HXdefhnox"},
             {'b', POSTCONF_EXPANDED, "#HXdefhnox"},
             {'F', POSTCONF_FIELDS, "#Xdn"},
             {'l', POSTCONF_LOCKS, "#HXdefhnox"},
             {'m', POSTCONF_TYPES, "#HXdefhnox"},
             {'M', POSTCONF_MASTER, "Hdhn"},
             {'p', POSTCONF_MAIN, ""},
             {'P', POSTCONF_PARAMS, "#dn"},
             {'t', POSTCONF_TEMPLATES, "#HXdefhnox"},
             {'T', POSTCONF_TLS, "#HXdefhnox"},
             {ORIGIN_LETTER, POSTCONF_ORIGIN, "#HXdefhx"},
             {LINT_LETTER, POSTCONF_LINT, "#HXdefhnx"}};
enum { MODE_COUNT = sizeof(modes) / sizeof(modes[0]) };

// Pairs that contradict each other, in the order in which they are named.
static const char *const contradictions[] = {"de", "dn", "do", "dX", "d#", "ef", "eh", "eH", "en",
                                             "eo", "ex", "eX", "e#", "fX", "f#", "hH", "hX", "h#",
                                             "HX", "H#", "nX", "n#", "oX", "o#", "xX", "x#", "X#"};

static const char usage[] =
    "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates, expanded)] [-c "
    "config_dir] "
    "[-C param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] "
    "[-h (no names)] [-H (no values)] [-j (JSON)] [-l (lock types)] [-m (map types)] [-M (master.cf)] "
    "[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] "
    "[-P (master.cf parameters)] [-q (no warnings)] [-t (bounce templates)] "
    "[-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] [-X "
    "(exclude)] "
    "[-# (comment-out)] [--lint (find mistakes)] [--origin (where values come from)] [name...]";

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
            die("unknown -C option value \"" STR_FMT "\" in \"%s\"", STR_ARG(word), text);
        classes |= class;
    }
    return classes;
}

static void take_flag(struct postconf_options *o, int letter)
{
    const struct {
        char letter;
        bool *flag;
    } flags[] = {{'n', &o->only_set}, {'d', &o->defaults}, {'x', &o->expands},   {'f', &o->folds},
                 {'j', &o->json},     {'h', &o->no_names}, {'H', &o->no_values}, {'q', &o->is_quiet}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].letter == letter)
            *flags[i].flag = true;
    for (size_t i = 0; i < MODE_COUNT; i++)
        if (modes[i].letter == letter)
            o->mode = modes[i].mode;
    if (letter == 'e')
        o->edit = POSTCONF_EDIT_SET;
    else if (letter == 'X')
        o->edit = POSTCONF_EDIT_REMOVE;
    else if (letter == '#')
        o->edit = POSTCONF_EDIT_COMMENT;
}

static void take_option(struct line *l, int letter)
{
    struct postconf_options *o = l->options;
    if (letter == '?' || letter == 'E')
        die("%s", usage);
    l->seen[letter] = true;
    take_flag(o, letter);
    if (letter == 'c') {
        o->dir = optarg;
        o->has_dir = true;
    } else if (letter == 'C') {
        o->classes = parse_classes(optarg);
    } else if (letter == 'o') {
        if (l->override_count >= POSTCONF_OVERRIDES_MAX)
            die("more than %d -o options", POSTCONF_OVERRIDES_MAX);
        o->overrides[l->override_count++] = optarg;
    } else if (letter == 'T') {
        o->tls_mode = optarg;
    } else if (letter == 'v') {
        log_set_debug(true);
    } else if (letter == 'P') {
        o->all_parameters = ++l->parameter_flags > 1;
    }
}

static struct buf shown(char letter)
{
    struct buf text = BUF_INIT;
    if (letter == ORIGIN_LETTER || letter == LINT_LETTER)
        buf_add_cstr(&text, letter == ORIGIN_LETTER ? "--origin" : "--lint");
    else
        buf_addf(&text, "-%c", letter);
    return text;
}

static void refuse_pair(char first, char second)
{
    struct buf left = shown(first), right = shown(second);
    die("specify one of %s %s", buf_cstr(&left), buf_cstr(&right));
}

static void check_pairs(const struct line *l)
{
    for (size_t i = 0; i < MODE_COUNT; i++)
        for (size_t j = i + 1; l->seen[(int)modes[i].letter] && j < MODE_COUNT; j++)
            if (l->seen[(int)modes[j].letter])
                refuse_pair(modes[i].letter, modes[j].letter);
    for (size_t i = 0; i < sizeof(contradictions) / sizeof(contradictions[0]); i++)
        if (l->seen[(int)contradictions[i][0]] && l->seen[(int)contradictions[i][1]])
            refuse_pair(contradictions[i][0], contradictions[i][1]);
    for (size_t i = 0; i < MODE_COUNT; i++)
        for (const char *letter = modes[i].refused; l->seen[(int)modes[i].letter] && *letter != '\0'; letter++)
            if (l->seen[(int)*letter]) {
                struct buf mode = shown(modes[i].letter);
                die("with option %s, do not specify -%c", buf_cstr(&mode), *letter);
            }
}

static bool may_edit(enum postconf_mode mode)
{
    return mode == POSTCONF_MAIN || mode == POSTCONF_MASTER || mode == POSTCONF_FIELDS || mode == POSTCONF_PARAMS;
}

void postconf_parse(struct postconf_options *o, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"origin", no_argument, NULL, ORIGIN_LETTER}, {"lint", no_argument, NULL, LINT_LETTER}, {NULL, 0, NULL, 0}};
    struct line l = {.options = o};
    int letter;
    *o = (struct postconf_options){.classes = POSTCONF_ALL};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#", long_options, NULL)) != -1)
        take_option(&l, letter);
    o->names = argv + optind;
    if (o->dir == NULL)
        o->dir = conf_default_dir();
    // "name=value" alone means -e.
    if (may_edit(o->mode) && o->names[0] != NULL && strchr(o->names[0], '=') != NULL) {
        l.seen['e'] = true;
        if (o->edit == POSTCONF_EDIT_NONE)
            o->edit = POSTCONF_EDIT_SET;
    }
    check_pairs(&l);
    if (o->names[0] == NULL && o->edit == POSTCONF_EDIT_SET)
        die("-e requires name=value argument");
    if (o->names[0] == NULL && o->edit != POSTCONF_EDIT_NONE)
        die("missing service argument");
}
