// SPDX-License-Identifier: ISC
// postmulti.c: manages several instances of the mail system: command line and dispatch.
// Trust: the administrator's. What it runs has the rights that it has.
#include "commands/postmulti.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"

static void usage(void)
{
    die("Usage:postmulti -l [-v] [-a] [-g group] [-i instance] | postmulti -p [-v] [-a] [-g group] [-i instance] "
        "command... | "
        "postmulti -x [-v] [-a] [-i name] [-g group] command... | postmulti -e action [-v] [-a] [-i name] [-g group] "
        "[-I name] "
        "[-G group] [param=value ...]");
}

static void set_mode(struct postmulti_options *o, char letter)
{
    if (o->mode != 0)
        die("Specify exactly one of '-e', '-l', '-p', '-x'");
    o->mode = letter;
}

static void take_option(struct postmulti_options *o, int letter)
{
    switch (letter) {
    case 'e':
        o->action = optarg;
        // fall through
    case 'l':
    case 'p':
    case 'x':
        set_mode(o, (char)letter);
        break;
    case 'a':
        o->is_all = true;
        break;
    case 'g':
        o->group = optarg;
        break;
    case 'G':
        o->new_group = optarg;
        break;
    case 'i':
        o->instance = optarg;
        break;
    case 'I':
        o->new_name = optarg;
        break;
    case 'j':
        o->is_json = true;
        break;
    case 'R':
        o->is_reversed = true;
        break;
    case 'v':
        log_set_debug(true);
        break;
    default:
        usage();
    }
}

static void check_options(const struct postmulti_options *o)
{
    if (o->mode == 0)
        die("Specify exactly one of '-e', '-l', '-p', '-x'");
    if (o->is_all + (o->group != NULL) + (o->instance != NULL) > 1)
        die("Specify no more than one of '-a', '-g', '-i'");
    if (o->mode == 'l' && o->words[0] != NULL)
        die("Command not allowed with '-l'");
    if (strchr("px", o->mode) && o->words[0] == NULL)
        die("Command required with '-p' or '-x' option");
    if (o->mode != 'e' && (o->new_name != NULL || o->new_group != NULL))
        die("Options '-I' and '-G' require '-e'");
}

// An instance is not asked about the others: postfix(1) started this on behalf of one of them.
static void refuse_secondary(void)
{
    const char *dir = getenv("MAIL_CONFIG");
    struct err err = ERR_INIT;
    struct arena arena = ARENA_INIT;
    if (dir == NULL)
        return;
    unsetenv("MAIL_CONFIG");
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    struct settings *settings = ARENA_NEW(&arena, struct settings);
    struct str item, rest = STR("");
    if (conf != NULL && settings_load(conf, "postmulti", &arena, settings, &err) == 0)
        rest = settings->multi_instance_directories;
    while (str_token(&rest, ", \t\r\n", &item))
        if (str_is(item, str_from(dir)))
            die("Non-default configuration directory: MAIL_CONFIG=%s", dir);
    setenv("MAIL_CONFIG", dir, 1);
    if (conf != NULL)
        conf_free(conf);
    arena_release(&arena);
}

int main(int argc, char **argv)
{
    struct postmulti *pm = MEM_NEW(struct postmulti);
    int status = 0;
    pm->arena = ARENA_INIT;
    umask(022);
    log_setup_early("postmulti");
    log_add_stderr("postmulti");
    argv[0] = arena_cstr(&pm->arena, STR("postmulti")); // getopt says it
    for (int letter; (letter = getopt(argc, argv, "+ae:g:G:i:I:jlpRvx")) != -1;)
        take_option(&pm->options, letter);
    pm->options.words = argv + optind;
    check_options(&pm->options);
    refuse_secondary();
    instances_load(pm);
    log_setup_command(pm->instances[0].settings, "postmulti");
    if (pm->options.mode == 'l')
        status = postmulti_list(pm);
    else if (pm->options.mode == 'p')
        status = postmulti_postfix(pm);
    else if (pm->options.mode == 'x')
        status = postmulti_command(pm);
    else
        status = postmulti_edit(pm);
    arena_release(&pm->arena);
    mem_free(pm);
    return status;
}
