// SPDX-License-Identifier: ISC
// postkick.c: sends a request of trigger letters to a service: postkick public qmgr D.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/log_setup.h"

static void usage(void)
{
    die("usage: postkick [-c config_dir] [-v] class service request");
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct arena arena = ARENA_INIT;
    struct settings *settings = ARENA_NEW(&arena, struct settings);
    log_setup_early("postkick");
    log_add_stderr("postkick");
    for (int letter; (letter = getopt(argc, argv, "c:v")) != -1;) {
        if (letter == 'c')
            setenv("MAIL_CONFIG", optarg, 1);
        else if (letter == '?')
            usage();
    }
    if (argc != optind + 3)
        usage();
    struct str class = str_from(argv[optind]), service = str_from(argv[optind + 1]),
               request = str_from(argv[optind + 2]);
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "postkick", &arena, settings, &err) < 0)
        die("%s", err.text);
    log_setup_command(settings, "postkick");
    if (chdir(settings->queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(settings->queue_directory), strerror(errno));
    if (!str_is(class, STR("public")) && !str_is(class, STR("private")))
        die("class must be public or private, not " STR_FMT, STR_ARG(class));
    if (service.len == 0 || str_find(service, '/') >= 0)
        die("bad service name: " STR_FMT, STR_ARG(service));
    struct str path = arena_strf(&arena, STR_FMT "/" STR_FMT, STR_ARG(class), STR_ARG(service));
    if (ipc_trigger(path.ptr, request, &err) < 0) {
        log_warn("unable to look up " STR_FMT ": %s", STR_ARG(path), err.errnum ? strerror(err.errnum) : err.text);
        log_warn("Cannot contact class " STR_FMT " service " STR_FMT " - perhaps the mail system is down",
                 STR_ARG(class), STR_ARG(service));
        return 1;
    }
    conf_free(conf);
    arena_release(&arena);
    return 0;
}
