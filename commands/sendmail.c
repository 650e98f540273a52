// SPDX-License-Identifier: ISC
// sendmail.c: the traditional way to hand in mail, and the traditional names of queue listing and alias rebuilding.
//
// Trust: arguments, environment and input are the caller's, who may be anybody on this host; runs with the caller's
// rights.
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/sendmail.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "lib/sys/sys.h"

enum { STATUS_TEMPORARY = 75 }; // of every fatal error, as callers expect

static struct settings settings;

static void find_user(struct sendmail_user *user_r)
{
    const struct passwd *pw = getpwuid(getuid());
    user_r->uid = (long)getuid();
    if (pw == NULL || pw->pw_name[0] == '\0')
        die("unable to find a login name for user id %ld: add an account or use -f", user_r->uid);
    snprintf(user_r->name, sizeof(user_r->name), "%s", pw->pw_name);
    const char *name = getenv("NAME");
    if (name != NULL) {
        snprintf(user_r->fullname, sizeof(user_r->fullname), "%s", name);
        return;
    }
    // GECOS up to the first comma; & stands for the capitalised login name.
    struct buf full = BUF_INIT;
    for (const char *p = pw->pw_gecos != NULL ? pw->pw_gecos : ""; *p != '\0' && *p != ',' && *p != '%'; p++) {
        if (*p != '&') {
            buf_add_char(&full, *p);
            continue;
        }
        size_t at = full.len;
        buf_add_cstr(&full, user_r->name);
        if (full.ptr[at] >= 'a' && full.ptr[at] <= 'z')
            full.ptr[at] = (char)(full.ptr[at] - 'a' + 'A');
    }
    snprintf(user_r->fullname, sizeof(user_r->fullname), "%s", buf_cstr(&full));
    buf_release(&full);
}

static void run_program(struct str directory, const char *name, const char *const *arguments)
{
    const char *argv[256];
    struct buf path = BUF_INIT;
    size_t count = 0;
    buf_addf(&path, STR_FMT "/%s", STR_ARG(directory), name);
    argv[count++] = name;
    while (*arguments != NULL && count < sizeof(argv) / sizeof(argv[0]) - 1)
        argv[count++] = *arguments++;
    argv[count] = NULL;
    execv(buf_cstr(&path), (char *const *)(uintptr_t)argv);
    die("cannot run %s: %s", buf_cstr(&path), strerror(errno));
}

static int rebuild_aliases(const struct sendmail_options *o, struct arena *arena)
{
    const char *argv[200] = {"--"};
    size_t count = 1;
    struct str rest = settings.alias_database, item;
    if (o->alias_file.len > 0)
        argv[count++] = arena_cstr(arena, o->alias_file);
    else
        while (count < sizeof(argv) / sizeof(argv[0]) - 1 && str_token_braced(&rest, ", \t\r\n", &item))
            argv[count++] = arena_cstr(arena, item);
    if (count > 1)
        run_program(settings.command_directory, "postalias", argv);
    return 0; // no alias database: nothing to rebuild
}

static int enqueue(const struct sendmail_options *o)
{
    struct sendmail_user user;
    struct err err = ERR_INIT;
    find_user(&user);
    if (sendmail_submit(&settings, o, &user, &err) != 0)
        die("%s", err.text);
    return 0;
}

static int run_mode(const struct sendmail_options *o, struct arena *arena)
{
    const char *list[] = {"-p", NULL}, *standalone[] = {"-S", NULL}, *start[] = {"start", NULL};
    const char *flush[] = {NULL, NULL, NULL};
    switch (o->mode) {
    case SENDMAIL_ENQUEUE:
        return enqueue(o);
    case SENDMAIL_LIST:
        run_program(settings.command_directory, "postqueue", list);
        break;
    case SENDMAIL_ALIASES:
        return rebuild_aliases(o, arena);
    case SENDMAIL_STANDALONE:
        run_program(settings.daemon_directory, "smtpd", standalone);
        break;
    case SENDMAIL_DAEMON:
        run_program(settings.command_directory, "postfix", start);
        break;
    case SENDMAIL_FLUSH:
        flush[0] = o->flush_what.ptr;
        flush[1] = o->flush_arg.len > 0 ? arena_cstr(arena, o->flush_arg) : NULL;
        run_program(settings.command_directory, "postqueue", flush);
        break;
    case SENDMAIL_NOTHING:
        break;
    }
    return 0;
}

static void print_warnings(const struct buf *warnings)
{
    struct str rest = buf_str(warnings), line;
    while (str_token(&rest, "\n", &line))
        log_warn(STR_FMT, STR_ARG(line));
}

// Read before main.cf can be: only for a clear message.
static void load_settings(const struct sendmail_options *o, struct arena *arena)
{
    struct err err = ERR_INIT;
    const char *dir = o->config_dir.len > 0 ? arena_cstr(arena, o->config_dir) : conf_default_dir();
    struct conf *conf = conf_open(dir, NULL, &err);
    if (conf == NULL || settings_load(conf, "sendmail", arena, &settings, &err) != 0)
        die("%s", err.text);
    if (setenv("MAIL_CONFIG", dir, 1) != 0) // for the programs that are run from here
        die("setenv: %s", strerror(errno));
    conf_free(conf);
}

int main(int argc, char **argv)
{
    struct arena arena = ARENA_INIT;
    struct sendmail_options options;
    struct err err = ERR_INIT;
    die_set_status(STATUS_TEMPORARY);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    log_setup_early("sendmail");
    log_add_stderr("sendmail");
    if (geteuid() == 0 && getuid() != 0) { // must not be set-uid
        log_warn("the sendmail command has set-uid root file permissions; run chmod u-s on it");
        if (setuid(getuid()) != 0)
            die("setuid: %s", strerror(errno));
    }
    if (sendmail_options_parse(argc, argv, &arena, &options, &err) != 0)
        die("%s", err.text);
    load_settings(&options, &arena);
    log_setup_command(&settings, "sendmail");
    log_add_stderr("sendmail");
    log_set_debug(options.verbose > 1);
    print_warnings(&options.warnings);
    int status = run_mode(&options, &arena);
    buf_release(&options.warnings);
    arena_release(&arena);
    return status;
}
