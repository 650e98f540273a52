// SPDX-License-Identifier: ISC
// postsuper.c: removes, holds, releases, requeues and expires queued messages, and repairs the queue directories.
// Trust: run by root (it becomes mail_owner at once), or by the owner of a rootless queue.
#include "commands/postsuper.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "lib/sys/sys.h"

enum { REQUESTS_MAX = 1000 };

struct request {
    char action;
    const char *id; // "ALL", "-" or a queue id
};
struct arguments {
    struct request requests[REQUESTS_MAX];
    unsigned count;
    const char *dir;
    bool fixes, purges, checks_long_ids;
};

static void usage(void)
{
    die("usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (force-expire)] [-f queue_id "
        "(force-expire "
        "and release)] [-h queue_id (put on hold)] [-H queue_id (release from hold)] [-p (purge temporary files)] [-r "
        "queue_id (requeue)] [-s (structure fix)] [-S (redo structure fix)] [-v] [--from pattern] [--to pattern] "
        "[--to-domain pattern] [--age comparison] [--size comparison] [--status pattern] [--reason pattern] "
        "[--queue names] [--dry-run] [--count] [queue...]");
}

// ---- Command line

enum long_option { OPTION_COUNT = 256, OPTION_DRY_RUN, OPTION_CRITERION };

static const struct option long_options[] = {
    {"count", no_argument, NULL, OPTION_COUNT},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    QUEUE_FILTER_LONG_OPTIONS(OPTION_CRITERION),
    {NULL, 0, NULL, 0},
};

static void take_long_option(struct postsuper *ps, struct arguments *a, int option, int index)
{
    struct err err = ERR_INIT;
    ps->is_dry_run |= option == OPTION_COUNT || option == OPTION_DRY_RUN;
    ps->is_counting |= option == OPTION_COUNT;
    if (option == OPTION_CRITERION && queue_filter_add(&ps->filter, long_options[index].name, optarg, &err) < 0)
        die("%s", err.text);
}

static void parse_arguments(struct postsuper *ps, struct arguments *a, int argc, char **argv)
{
    int index = 0;
    for (int letter; (letter = getopt_long(argc, argv, "+c:d:e:f:h:H:pr:sSv", long_options, &index)) > 0;) {
        if (letter >= OPTION_COUNT)
            take_long_option(ps, a, letter, index);
        else if (letter == 'c')
            a->dir = optarg;
        else if (letter == 'p')
            a->purges = true;
        else if (letter == 's' || letter == 'S')
            a->fixes = true, a->checks_long_ids |= letter == 'S';
        else if (letter == 'v')
            log_set_debug(true);
        else if (letter == '?')
            usage();
        else if (a->count == REQUESTS_MAX)
            die("too many queue IDs: give them on standard input with \"-\"");
        else
            a->requests[a->count++] = (struct request){(char)letter, optarg};
    }
    bool is_choosing = ps->is_dry_run || !queue_filter_is_empty(&ps->filter);
    if (is_choosing && (a->count == 0 || a->fixes || a->purges))
        usage(); // they are about actions on messages
    if (a->count == 0 && !a->fixes && !a->purges)
        a->fixes = a->purges = true;
}

static void take_queues(struct postsuper *ps, char **names)
{
    static const char *const known[] = {QUEUE_DEFER,    QUEUE_BOUNCE, QUEUE_MAILDROP, QUEUE_INCOMING, QUEUE_ACTIVE,
                                        QUEUE_DEFERRED, QUEUE_HOLD,   QUEUE_TRACE,    "flush",        NULL};
    for (; *names != NULL; names++) {
        unsigned i = 0;
        while (known[i] != NULL && strcmp(known[i], *names) != 0)
            i++;
        if (known[i] == NULL)
            die("invalid directory name: %s", *names);
        if (ps->queue_count + 1 >= POSTSUPER_QUEUES_MAX)
            usage();
        ps->queues[ps->queue_count++] = known[i];
    }
}

static void load(struct postsuper *ps, const char *dir)
{
    struct err err = ERR_INIT;
    const struct settings *s = &ps->settings;
    struct conf *conf = conf_open(dir ? dir : conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "postsuper", &ps->arena, &ps->settings, &err) < 0)
        die("%s", err.text);
    conf_free(conf);
    log_setup_command(s, "postsuper");
    ps->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
}

static void become_owner(struct postsuper *ps)
{
    struct err err = ERR_INIT;
    struct sys_user owner;
    if (chdir(ps->settings.queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(ps->settings.queue_directory), strerror(errno));
    if (getuid() != 0) { // the owner of a rootless queue
        if (access(QUEUE_DEFERRED, R_OK | W_OK | X_OK) < 0)
            die("use of this command is reserved for the superuser");
        return;
    }
    if (sys_user_by_name(ps->settings.mail_owner, &owner, &err) != 1)
        die("mail_owner: unknown user " STR_FMT, STR_ARG(ps->settings.mail_owner));
    if (sys_become(&owner, &err) < 0)
        die("%s", err.text);
}

static void act_on_input(struct postsuper *ps, char action)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) >= 0) {
        struct str id = str_of(line, (size_t)len);
        if (str_ends(id, STR("\n")))
            id.len--;
        postsuper_act(ps, action, id);
    }
    free(line);
}

static void perform(struct postsuper *ps, const struct request *r)
{
    struct str id = str_from(r->id);
    postsuper_expect(ps, r->action);
    if (str_is(id, STR("ALL")))
        postsuper_act_on_all(ps, r->action);
    else if (str_is(id, STR("-")))
        act_on_input(ps, r->action);
    else
        postsuper_act(ps, r->action, id);
}

static void print_count(const struct postsuper *ps)
{
    unsigned long total = 0;
    for (size_t i = 0; i < sizeof ps->done / sizeof ps->done[0]; i++)
        total += ps->done[i];
    printf("%lu\n", total);
}

int main(int argc, char **argv)
{
    struct postsuper *ps = MEM_NEW(struct postsuper);
    struct arguments *a = MEM_NEW(struct arguments);
    ps->arena = ARENA_INIT;
    ps->filter = QUEUE_FILTER_INIT;
    umask(077);
    log_setup_early("postsuper");
    log_add_stderr("postsuper");
    argv[0] = arena_cstr(&ps->arena, STR("postsuper")); // getopt says it
    parse_arguments(ps, a, argc, argv);
    take_queues(ps, argv + optind);
    load(ps, a->dir);
    become_owner(ps);
    if (a->fixes || a->purges)
        postsuper_repair(ps, a->fixes, a->purges, a->checks_long_ids);
    for (unsigned i = 0; i < a->count; i++)
        perform(ps, &a->requests[i]);
    if (ps->is_counting)
        print_count(ps);
    else if (!ps->is_dry_run)
        postsuper_summarize(ps);
    if (ps->renamed > 0)
        log_warn("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS");
    queue_filter_release(&ps->filter);
    arena_release(&ps->arena);
    mem_free(ps);
    mem_free(a);
    return 0;
}
