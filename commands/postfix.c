// SPDX-License-Identifier: ISC
// postfix.c: the administrator's control command: command line and dispatch.
// Trust: started by root, or in a rootless instance by mail_owner.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands/postfix.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"

enum { WRAPPER_WORDS_MAX = 100 };

static const struct {
    const char *name;
    int (*run)(struct control *c);
} commands[] = {
    {"start", control_start},
    {"start-fg", control_start_fg},
    {"stop", control_stop},
    {"quick-stop", control_quick_stop},
    {"drain", control_drain},
    {"abort", control_abort},
    {"reload", control_reload},
    {"flush", control_flush},
    {"check", control_check},
    {"status", control_status},
    {"set-permissions", control_set_permissions},
    {"upgrade-configuration", control_upgrade_configuration},
    {"logrotate", control_logrotate},
};

static void usage(void)
{
    die("usage: postfix [-c config_dir] [-Dv] command");
}

static void parse_options(int argc, char **argv)
{
    for (int letter; (letter = getopt(argc, argv, "+c:Dv")) != -1;) {
        if (letter == 'c' && optarg[0] != '/')
            die("-c requires absolute pathname");
        if (letter == 'c')
            setenv("MAIL_CONFIG", optarg, 1);
        else if (letter == '?')
            usage();
    }
    if (optind >= argc)
        usage();
}

// Where there are several instances, the command goes to a program that runs it for each; which it does with
// MAIL_CONFIG set.
static void run_wrapper(struct control *c, char **words)
{
    const char *argv[WRAPPER_WORDS_MAX];
    struct str rest = c->settings.multi_instance_wrapper, word;
    size_t n = 0;
    if (rest.len == 0 || c->settings.multi_instance_directories.len == 0)
        return;
    if (strcmp(words[0], "start-fg") == 0)
        die("the start-fg command does not support multi-instance configurations");
    while (n + 1 < WRAPPER_WORDS_MAX && str_token(&rest, " \t\r\n", &word))
        argv[n++] = arena_cstr(&c->arena, word);
    for (; n + 1 < WRAPPER_WORDS_MAX && *words != NULL; words++)
        argv[n++] = *words;
    argv[n] = NULL;
    unsetenv("MAIL_CONFIG");
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    die("execute %s: %s", argv[0], strerror(errno));
}

static void read_settings(struct control *c)
{
    struct err err = ERR_INIT;
    c->conf = conf_open(conf_default_dir(), NULL, &err);
    if (c->conf == NULL || settings_load(c->conf, "postfix", &c->arena, &c->settings, &err) < 0)
        die("%s", err.text);
    setenv("MAIL_CONFIG", conf_dir(c->conf), 1);
}

void control_know_users(struct control *c)
{
    struct err err = ERR_INIT;
    c->is_rootless = sys_is_rootless();
    int rc = sys_user_by_name(c->settings.mail_owner, &c->owner, &err);
    if (c->is_rootless && (rc != 1 || c->owner.uid != geteuid()))
        die("the postfix command is reserved for the superuser");
    if (rc != 1)
        die("mail_owner: %s", err.text);
    if (c->owner.uid == 0)
        die("mail_owner must not be root");
    if (c->is_rootless)
        c->setgid_group = getegid();
    else if (sys_group_by_name(c->settings.setgid_group, &c->setgid_group, &err) != 1)
        die("setgid_group: unknown group " STR_FMT, STR_ARG(c->settings.setgid_group));
}

int main(int argc, char **argv)
{
    struct control *c = MEM_NEW(struct control);
    umask(022);
    log_setup_early("postfix");
    log_add_stderr("postfix");
    parse_options(argc, argv);
    bool is_one_instance = getenv("MAIL_CONFIG") != NULL;
    read_settings(c);
    if (!is_one_instance)
        run_wrapper(c, argv + optind);
    control_know_users(c);
    log_setup_command(&c->settings, "postfix-script");
    log_add_stderr("postfix/postfix-script");
    c->arguments = argv + optind + 1;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, argv[optind]) != 0)
            continue;
        int status = commands[i].run(c);
        conf_free(c->conf);
        arena_release(&c->arena);
        mem_free(c);
        return status;
    }
    die("unknown command: '%s'. Usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, "
        "upgrade-configuration, logrotate)",
        argv[optind]);
}
