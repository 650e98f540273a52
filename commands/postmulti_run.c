// SPDX-License-Identifier: ISC
// postmulti_run.c: lists instances, and runs a command for each that is selected.
#include <stdio.h>
#include <stdlib.h>

#include "commands/postmulti.h"
#include "lib/sys/sys.h"

enum { WORDS_MAX = 256 };

// ---- List

static void print_instance(const struct instance *i)
{
    struct str name = i->settings->multi_instance_name, group = i->settings->multi_instance_group;
    printf("%-15s %-15s %-9s " STR_FMT "\n", name.len ? name.ptr : "-", group.len ? group.ptr : "-",
           instance_is_enabled(i) ? "y" : "n", STR_ARG(i->dir));
}

static void print_json(const struct instance *i)
{
    const struct settings *s = i->settings;
    struct buf line = BUF_INIT;
    buf_add_json_pair(&line, "name", s->multi_instance_name);
    buf_add_cstr(&line, ", ");
    buf_add_json_pair(&line, "group", s->multi_instance_group);
    buf_addf(&line, ", \"enabled\": %s, ", instance_is_enabled(i) ? "true" : "false");
    buf_add_json_pair(&line, "config_directory", i->dir);
    printf("{%s}\n", buf_cstr(&line));
    buf_release(&line);
}

// In order, or in reverse. NULL at the end.
static const struct instance *next_selected(const struct postmulti *pm, bool is_reversed, size_t *at)
{
    while (*at < pm->count) {
        const struct instance *i = &pm->instances[is_reversed ? pm->count - 1 - *at : *at];
        ++*at;
        if (instance_is_selected(pm, i))
            return i;
    }
    return NULL;
}

int postmulti_list(struct postmulti *pm)
{
    const struct instance *i;
    for (size_t at = 0; (i = next_selected(pm, pm->options.is_reversed, &at)) != NULL;) {
        if (pm->options.is_json)
            print_json(i);
        else
            print_instance(i);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

// ---- Commands

static void set_environment(const struct instance *i)
{
    const struct settings *s = i->settings;
    const struct {
        const char *name;
        struct str value;
    } variables[] = {
        {"MAIL_CONFIG", i->dir},
        {"config_directory", i->dir},
        {"command_directory", s->command_directory},
        {"daemon_directory", s->daemon_directory},
        {"queue_directory", s->queue_directory},
        {"data_directory", s->data_directory},
        {"multi_instance_name", s->multi_instance_name},
        {"multi_instance_group", s->multi_instance_group},
        {"multi_instance_enable", instance_is_enabled(i) ? STR("yes") : STR("no")},
    };
    for (size_t v = 0; v < sizeof variables / sizeof variables[0]; v++)
        setenv(variables[v].name, variables[v].value.ptr, 1);
}

int postmulti_command(struct postmulti *pm)
{
    const struct instance *i;
    int status = 0;
    for (size_t at = 0; (i = next_selected(pm, pm->options.is_reversed, &at)) != NULL;) {
        set_environment(i);
        if (sys_run(pm->options.words[0], (const char *const *)pm->options.words) != 0)
            status = 1;
    }
    return status;
}

static bool is_listed(struct str commands, const char *word)
{
    struct str item;
    while (str_token(&commands, ", \t\r\n", &item))
        if (str_is(item, str_from(word)))
            return true;
    return false;
}

static int run_postfix(const struct instance *i, const char *command, char **rest)
{
    struct arena arena = ARENA_INIT;
    const char *path = arena_strf(&arena, STR_FMT "/postfix", STR_ARG(i->settings->command_directory)).ptr;
    const char *argv[WORDS_MAX] = {path, command};
    size_t n = 2;
    for (; *rest != NULL && n + 1 < WORDS_MAX; rest++)
        argv[n++] = *rest;
    set_environment(i);
    int status = sys_run(path, argv);
    arena_release(&arena);
    return status;
}

// What starts the system only checks an instance that is not enabled; what controls a running one passes it over; what
// stops it goes the other way round, to all.
int postmulti_postfix(struct postmulti *pm)
{
    const struct settings *s = pm->instances[0].settings;
    const char *command = pm->options.words[0];
    bool is_start = is_listed(s->postmulti_start_commands, command);
    bool is_control = is_listed(s->postmulti_control_commands, command);
    bool is_stop = is_listed(s->postmulti_stop_commands, command);
    const struct instance *i;
    int status = 0;
    for (size_t at = 0; (i = next_selected(pm, is_stop != pm->options.is_reversed, &at)) != NULL;) {
        bool is_checked_only = is_start && !instance_is_enabled(i);
        if (is_control && !instance_is_enabled(i))
            continue;
        if (run_postfix(i, is_checked_only ? "check" : command, pm->options.words + 1) == 0)
            continue;
        status = 1;
        if (is_start && pm->options.group != NULL)
            break; // the members of a group need each other
    }
    return status;
}
