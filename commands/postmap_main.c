// SPDX-License-Identifier: ISC
// postmap_main.c: the command line of postmap and postalias, and their start.
#include <stdio.h>
#include <unistd.h>

#include "commands/postmap.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"

#define GRACE_MS 1000

struct run {
    struct postmap *postmap;
    int status;
};

static struct settings settings;

static void usage(const struct postmap *p)
{
    die("usage: %s [-%sfijnNoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...", p->program,
        p->is_alias ? "" : "bFhmU");
}

static void one_option(struct postmap *p, int letter)
{
    switch (letter) {
    case 'c':
        p->config_dir = optarg;
        break;
    case 'd':
        p->delete = optarg;
        break;
    case 'q':
        p->query = optarg;
        break;
    case 'b':
        p->from_body = true;
        break;
    case 'h':
        p->from_headers = true;
        break;
    case 'm':
        p->follows_mime = true;
        break;
    case 'F':
        p->file_values = true;
        break;
    case 'f':
        p->flags |= TABLE_KEEP_CASE;
        break;
    case 'i':
        p->incremental = true;
        break;
    case 'j':
        p->as_json = true;
        break;
    case 'n':
        p->flags |= TABLE_NO_NUL;
        break;
    case 'N':
        p->flags &= ~(unsigned)TABLE_NO_NUL;
        break;
    case 'o':
        p->keeps_root = true;
        break;
    case 'p':
        p->default_mode = true;
        break;
    case 'r':
        p->replaces = true;
        break;
    case 's':
        p->lists = true;
        break;
    case 'u':
        p->flags |= TABLE_ANY_BYTES;
        break;
    case 'U':
        p->flags &= ~(unsigned)TABLE_ANY_BYTES;
        break;
    case 'v':
        log_set_debug(true);
        break;
    case 'w':
        p->silent_duplicates = true;
        break;
    default:
        usage(p);
    }
}

void postmap_options(struct postmap *p, int argc, char **argv)
{
    int letter;

    while ((letter = getopt(argc, argv, p->is_alias ? "c:d:fijnNopq:rsuvw" : "bc:d:fFhijmnNopq:rsuUvw")) > 0)
        one_option(p, letter);
    if ((p->query != NULL) + (p->delete != NULL) + p->lists + p->incremental > 1)
        die("specify only one of -s -q or -d, and none with -i");
    bool is_stream = p->query != NULL && strcmp(p->query, "-") == 0;
    if ((p->from_body || p->from_headers || p->follows_mime) && !is_stream)
        die("specify -b -h or -m only with \"-q -\"");
    if (p->follows_mime && !p->from_body && !p->from_headers)
        log_warn("ignoring -m option without -b or -h");
    if (p->as_json && !p->lists && p->query == NULL)
        die("specify -j only with -q or -s");
    p->tables = argv + optind;
}

struct buf postmap_table_name(const struct postmap *p, const char *argument)
{
    struct buf name = BUF_INIT;

    if (strchr(argument, ':') == NULL)
        buf_addf(&name, STR_FMT ":", STR_ARG(p->settings->default_database_type));
    buf_add_cstr(&name, argument);
    return name;
}

bool postmap_next_line(struct buf *line)
{
    int c;

    buf_clear(line);
    while ((c = getchar()) != EOF && c != '\n') {
        if (line->len >= TABLE_VALUE_MAX)
            die("a line of standard input is too long");
        buf_add_char(line, (char)c);
    }
    return c == '\n' || line->len > 0;
}

static int run_all(struct postmap *p) CO
{
    if (p->query != NULL)
        return postmap_query(p);
    if (p->lists)
        return postmap_list(p);
    if (p->delete != NULL)
        return postmap_delete(p);
    for (char **table = p->tables; *table != NULL; table++)
        if (postmap_build(p, *table) != 0)
            return 1;
    return 0;
}

static void run(void *arg)
{
    struct run *r = arg;

    co_assert_running();
    r->status = run_all(r->postmap);
    co_loop_stop();
}

int postmap_main(struct postmap *p, int argc, char **argv)
{
    struct arena arena = ARENA_INIT;
    struct run r = {p, 1};
    struct err err = ERR_INIT;
    struct conf *conf;

    log_setup_early(p->program);
    log_add_stderr(p->program);
    postmap_options(p, argc, argv);
    conf = conf_open(p->config_dir ? p->config_dir : conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, p->program, &arena, &settings, &err) < 0)
        die("%s", err.text);
    log_setup_command(&settings, p->program);
    log_add_stderr(p->program);
    p->settings = &settings;
    if (p->tables[0] == NULL)
        usage(p);
    table_use_backends();
    co_loop_init();
    co_spawn(p->program, run, &r);
    co_loop_run(GRACE_MS);
    co_loop_free();
    conf_free(conf);
    arena_release(&arena);
    return r.status;
}
