// SPDX-License-Identifier: ISC
// postlog.c: puts lines of text into the mail log, for scripts.
// Trust: anyone may run it, set-gid; text is cleaned by the logger.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/log_setup.h"
#include "lib/sys/sys.h"

enum { LINE_MAX_BYTES = 2048, INPUT_LINES_MAX = 1000000 };

static void usage(void)
{
    die("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text...]");
}

static enum log_level level_of(const char *name)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"info", LOG_LEVEL_INFO},   {"warn", LOG_LEVEL_WARN},   {"warning", LOG_LEVEL_WARN},
                  {"error", LOG_LEVEL_ERROR}, {"fatal", LOG_LEVEL_FATAL}, {"panic", LOG_LEVEL_PANIC}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (str_is_nocase(str_from(name), str_from(levels[i].name)))
            return levels[i].level;
    die("unknown priority: %s", name);
}

static void log_input(enum log_level level)
{
    char line[LINE_MAX_BYTES];
    for (unsigned i = 0; i < INPUT_LINES_MAX && fgets(line, sizeof line, stdin) != NULL; i++) {
        struct str text = str_trim(str_from(line));
        log_line(level, STR_FMT, STR_ARG(text));
    }
}

static void log_words(enum log_level level, char **words)
{
    struct buf text = BUF_INIT;
    for (char **w = words; *w != NULL; w++) {
        if (w != words)
            buf_add_char(&text, ' ');
        buf_add_cstr(&text, *w);
    }
    log_line(level, "%s", buf_cstr(&text));
    buf_release(&text);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct arena arena = ARENA_INIT;
    struct settings *settings = ARENA_NEW(&arena, struct settings);
    const char *tag = "postlog";
    enum log_level level = LOG_LEVEL_INFO;
    log_setup_early("postlog");
    log_add_stderr("postlog");
    for (int letter; (letter = getopt(argc, argv, "c:ip:t:v")) != -1;) {
        if (letter == 'c')
            setenv("MAIL_CONFIG", optarg, 1);
        else if (letter == 'p')
            level = level_of(optarg);
        else if (letter == 't')
            tag = optarg;
        else if (letter == '?')
            usage();
    }
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "postlog", &arena, settings, &err) < 0)
        die("%s", err.text);
    log_setup_command(settings, tag);
    if (optind < argc)
        log_words(level, argv + optind);
    else
        log_input(level);
    if (level == LOG_LEVEL_FATAL || level == LOG_LEVEL_PANIC)
        sleep(1);
    conf_free(conf);
    arena_release(&arena);
    return 0;
}
