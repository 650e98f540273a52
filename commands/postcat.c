// SPDX-License-Identifier: ISC
// postcat.c: shows queue files in readable form.
// Trust: queue files may be garbage; message text is printed as it is, for that is the purpose.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands/postcat.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "lib/mail/queue_file.h"

static const char usage[] =
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] "
    "[-f (prefix file name)] [-h (header text)] [-o (offsets)] [-q (access queue)] [-r (raw)] [-s offset] [-v] "
    "[file(s)...]";

struct postcat {
    struct postcat_options options;
    struct settings *settings;
    struct arena arena;
    bool uses_queue; // -q
};

static void add_option(struct postcat *p, int letter, const char *argument)
{
    struct postcat_options *o = &p->options;
    switch (letter) {
    case 'b':
        o->parts |= POSTCAT_BODY;
        break;
    case 'c':
        setenv("MAIL_CONFIG", argument, 1);
        break;
    case 'd':
        o->shows_types = true;
        break;
    case 'e':
        o->parts |= POSTCAT_ENVELOPE;
        break;
    case 'f':
        o->prefixes_name = true;
        break;
    case 'h':
        o->parts |= POSTCAT_HEADER;
        break;
    case 'o':
        o->shows_offsets = true;
        break;
    case 'q':
        p->uses_queue = true;
        break;
    case 'r':
        o->is_raw = true;
        break;
    case 's':
        if (str_to_i64(str_from(argument), &o->skip) < 0 || o->skip < 0)
            die("bad offset: %s", argument);
        break;
    case 'v':
        o->is_verbose = true;
        break;
    default:
        die("%s", usage);
    }
}

static void read_options(struct postcat *p, int argc, char **argv)
{
    for (int letter; (letter = getopt(argc, argv, "bc:defhoqrs:v")) != -1;)
        add_option(p, letter, optarg);
    if (p->options.parts == 0)
        p->options.parts = POSTCAT_BODY | POSTCAT_ENVELOPE | POSTCAT_HEADER;
}

static void read_settings(struct postcat *p)
{
    struct err err = ERR_INIT;
    p->settings = ARENA_NEW(&p->arena, struct settings);
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "postcat", &p->arena, p->settings, &err) < 0)
        die("%s", err.text);
    conf_free(conf);
    log_setup_command(p->settings, "postcat");
}

// Finds the message in the queues; goes to the queue directory. The name shown is "deferred/8/…".
static int open_by_id(struct postcat *p, const char *id, struct buf *name_r)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_ACTIVE,
                                         QUEUE_DEFERRED, QUEUE_HOLD,     QUEUE_CORRUPT};
    const struct settings *s = p->settings;
    struct queue_layout layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    struct err err = ERR_INIT;
    if (!queue_id_is_valid(str_from(id)))
        die("bad mail queue ID: %s", id);
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        int fd = queue_file_open(AT_FDCWD, &layout, queues[i], str_from(id), O_RDONLY, &err);
        if (fd >= 0) {
            (void)queue_path(&layout, queues[i], str_from(id), name_r);
            return fd;
        }
        if (err.errnum != ENOENT)
            die("%s", err.text);
    }
    die("open queue file %s: %s", id, strerror(ENOENT));
}

static int show_named(struct postcat *p, const char *argument)
{
    struct buf name = BUF_INIT;
    int fd;
    if (p->uses_queue) {
        fd = open_by_id(p, argument, &name);
    } else {
        buf_add_cstr(&name, argument);
        fd = open(argument, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            die("open %s: %s", argument, strerror(errno));
    }
    int rc = postcat_show(fd, buf_cstr(&name), &p->options);
    close(fd);
    buf_release(&name);
    return rc;
}

// Standard input may be a pipe, and records are read by offset: a copy is made.
static int show_standard_input(struct postcat *p)
{
    char data[2048];
    FILE *copy = tmpfile();
    size_t n;
    if (copy == NULL)
        die("create a temporary file: %s", strerror(errno));
    while ((n = fread(data, 1, sizeof data, stdin)) > 0)
        if (fwrite(data, 1, n, copy) != n)
            die("write a temporary file: %s", strerror(errno));
    if (ferror(stdin) || fflush(copy) != 0)
        die("read standard input: %s", strerror(errno));
    int rc = postcat_show(fileno(copy), "stdin", &p->options);
    fclose(copy);
    return rc;
}

int main(int argc, char **argv)
{
    struct postcat p = {.arena = ARENA_INIT};
    int rc = 0;
    log_setup_early("postcat");
    log_add_stderr("postcat");
    read_options(&p, argc, argv);
    read_settings(&p);
    if (p.uses_queue && chdir(p.settings->queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(p.settings->queue_directory), strerror(errno));
    if (optind == argc && !p.uses_queue)
        rc = show_standard_input(&p);
    for (int i = optind; i < argc; i++)
        rc |= show_named(&p, argv[i]);
    if (fflush(stdout) != 0)
        die("write standard output: %s", strerror(errno));
    arena_release(&p.arena);
    return rc;
}
