// SPDX-License-Identifier: ISC
// service_options.c: the command line that master gives to every daemon.
#include <unistd.h>

#include "lib/ipc/service_internal.h"

int service_option_override(struct arena *arena, const char *text, char **override_r)
{
    struct str value = str_trim(str_from(text)), name;
    if (value.len >= 2 && value.ptr[0] == '{' && value.ptr[value.len - 1] == '}')
        value = str_trim(str_slice(value, 1, value.len - 1));
    if (!str_cut(&value, '=', &name))
        return -1;
    name = str_trim(name);
    if (name.len == 0)
        return -1;
    struct str v = str_trim(value);
    *override_r = arena_cstr(arena, arena_strf(arena, STR_FMT "=" STR_FMT, STR_ARG(name), STR_ARG(v)));
    return 0;
}

static int number(const char *text, int64_t max, int64_t *value_r, struct err *err)
{
    int64_t value;
    if (str_to_i64(str_from(text), &value) < 0 || value < 0 || value > max)
        return err_set(err, ERR_PERMANENT, "bad number in the command line: \"%s\"", text);
    *value_r = value;
    return 0;
}

static int take_number(struct service_options *o, int letter, struct err *err)
{
    int64_t value = 0;
    if (number(optarg, letter == 's' ? SERVICE_LISTENERS_MAX : INT32_MAX, &value, err) < 0)
        return -1;
    if (letter == 's')
        o->listeners = (unsigned)value;
    else if (letter == 'i')
        o->max_idle = value;
    else if (letter == 'm')
        o->max_use = value;
    return 0; // 'r' (retire after) is accepted and has no effect
}

static void take_flag(struct service_options *o, int letter)
{
    switch (letter) {
    case 'c':
        o->is_chroot = true;
        break;
    case 'l':
        o->is_one = true;
        break;
    case 'S':
        o->is_standalone = true;
        break;
    case 'u':
        o->is_unpriv = true;
        break;
    case 'v':
        o->verbosity++;
        break;
    case 'V':
        o->logs_to_stderr = true;
        break;
    case 'z':
        o->is_unlimited = true;
        break;
    default: // 'd' stay with the terminal, 'D' debugger: nothing to do here
        break;
    }
}

int service_options_parse(struct service_options *options_r, struct arena *arena, int argc, char **argv,
                          struct err *err)
{
    struct service_options *o = options_r;
    *o = (struct service_options){.listeners = 1, .max_idle = -1, .max_use = -1};
    o->overrides = ARENA_ARRAY(arena, char *, (size_t)argc + 1);
    size_t count = 0;
    opterr = 0;
    optind = 1;
    for (int letter; (letter = getopt(argc, argv, "+cdDi:lm:n:o:r:s:St:uvVz")) != -1;) {
        if (letter == '?')
            return err_set(err, ERR_PERMANENT, "invalid option: -%c", optopt);
        if (letter == 'n')
            o->name = optarg;
        else if (letter == 't')
            o->type = optarg;
        else if (letter == 'o' && service_option_override(arena, optarg, &o->overrides[count++]) < 0)
            return err_set(err, ERR_PERMANENT, "-o needs NAME=VALUE: \"%s\"", optarg);
        else if (strchr("imrs", letter) != NULL && take_number(o, letter, err) < 0)
            return -1;
        else
            take_flag(o, letter);
    }
    o->rest = argv + optind;
    return 0;
}
