// SPDX-License-Identifier: ISC
// postqueue.c: shows the mail queues and asks for delivery attempts.
//
// Trust: installed set-gid setgid_group, so that it reaches the services in public/: the caller's arguments and
// environment are hostile. Every failure ends with status 69 (the service is unavailable), but for usage and refused
// users.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands/postqueue.h"
#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/log_setup.h"
#include "lib/table/table.h"

enum { TOP_ROWS = 20 };

static const char usage_text[] =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

static void usage(void)
{
    die("%s", usage_text);
}

int postqueue_on_loop(void (*fn)(void *arg), struct postqueue *pq, void *arg)
{
    co_loop_init();
    co_jobs_inline();
    co_spawn("postqueue", fn, arg);
    co_loop_run(0);
    co_loop_free();
    return pq->result;
}

// ---- Who may

static bool is_choosing(const struct postqueue_options *o)
{
    return o->counts || o->is_dry_run || o->top != POSTQUEUE_TOP_NONE || !queue_filter_is_empty(&o->filter);
}

static bool is_view(const struct postqueue *pq)
{
    return pq->options.action == 'p' || pq->options.action == 'j';
}

struct who {
    struct postqueue *pq;
    struct str users;
};

static void look_up_user(void *arg)
{
    co_assert_running();
    const struct who *w = arg;
    const struct passwd *pw = getpwuid(getuid());
    struct match_list *list = match_list_open(w->users, 0, &w->pq->err);
    w->pq->result = list == NULL ? -1 : match_list_has(list, pw ? str_from(pw->pw_name) : STR("unknown"), &w->pq->err);
    if (list != NULL)
        match_list_close(list);
    co_loop_stop();
}

static void check_user(struct postqueue *pq, struct str users, const char *what)
{
    const struct passwd *pw = getpwuid(getuid());
    struct str login = arena_str(&pq->arena, pw ? str_from(pw->pw_name) : STR("unknown"));
    struct who who = {pq, users};
    if (str_is(users, STR("static:anyone")) || getuid() == 0 || str_is(login, pq->settings.mail_owner))
        return;
    if (postqueue_on_loop(look_up_user, pq, &who) == 1)
        return;
    die_set_status(EX_NOPERM);
    die("User " STR_FMT "(%ld) is not allowed to %s the mail queue", STR_ARG(login), (long)getuid(), what);
}

static void check_rights(struct postqueue *pq)
{
    if (!is_view(pq))
        check_user(pq, pq->settings.authorized_flush_users, "flush");
    if (is_view(pq) || is_choosing(&pq->options))
        check_user(pq, pq->settings.authorized_mailq_users, "view");
}

// ---- Start

enum long_option { OPTION_COUNT = 256, OPTION_DRY_RUN, OPTION_TOP, OPTION_LIMIT, OPTION_CRITERION };

static const struct option long_options[] = {
    {"count", no_argument, NULL, OPTION_COUNT},   {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"top", required_argument, NULL, OPTION_TOP}, {"limit", required_argument, NULL, OPTION_LIMIT},
    QUEUE_FILTER_LONG_OPTIONS(OPTION_CRITERION),  {NULL, 0, NULL, 0},
};

static enum postqueue_top top_of(const char *word)
{
    static const char *const words[] = {[POSTQUEUE_TOP_DESTINATIONS] = "destinations",
                                        [POSTQUEUE_TOP_SENDERS] = "senders",
                                        [POSTQUEUE_TOP_REASONS] = "reasons"};
    for (int i = POSTQUEUE_TOP_DESTINATIONS; i <= POSTQUEUE_TOP_REASONS; i++)
        if (strcmp(words[i], word) == 0)
            return (enum postqueue_top)i;
    die("--top takes destinations, senders or reasons, not \"%s\"", word);
}

static void take_long_option(struct postqueue *pq, int option, int index)
{
    struct postqueue_options *o = &pq->options;
    switch (option) {
    case OPTION_COUNT:
        o->counts = true;
        break;
    case OPTION_DRY_RUN:
        o->is_dry_run = true;
        break;
    case OPTION_TOP:
        o->top = top_of(optarg);
        break;
    case OPTION_LIMIT:
        if (str_to_i64(str_from(optarg), &o->limit) < 0 || o->limit < 1)
            die("--limit takes a number of rows");
        break;
    default:
        if (queue_filter_add(&o->filter, long_options[index].name, optarg, &pq->err) < 0)
            die("%s", pq->err.text);
    }
}

static void parse_arguments(struct postqueue *pq, int argc, char **argv)
{
    struct postqueue_options *o = &pq->options;
    int index = 0;
    for (int letter; (letter = getopt_long(argc, argv, "c:fi:jps:v", long_options, &index)) > 0;) {
        if (letter >= OPTION_COUNT) {
            take_long_option(pq, letter, index);
        } else if (letter == 'c') {
            o->dir = optarg;
        } else if (letter == 'v') {
            log_set_debug(getuid() == 0);
        } else if (letter == '?' || o->action) {
            usage();
        } else {
            o->action = (char)letter;
            o->argument = optarg;
        }
    }
    if (o->action == 0 && is_choosing(o))
        o->action = 'p';
    if (o->action == 0 || argc > optind || (strchr("is", o->action) && is_choosing(o)) ||
        (o->top != POSTQUEUE_TOP_NONE && (o->counts || !is_view(pq))))
        usage();
    if (o->dir != NULL && !conf_dir_is_allowed(o->dir))
        die("configuration directory %s is not allowed here: list it in alternate_config_directories of the default "
            "main.cf",
            o->dir);
}

static void perform(struct postqueue *pq)
{
    switch (pq->options.action) {
    case 'f':
        if (is_choosing(&pq->options))
            postqueue_flush_chosen(pq);
        else
            postqueue_flush_all(pq);
        break;
    case 'i':
        postqueue_flush_id(pq);
        break;
    case 's':
        postqueue_flush_site(pq);
        break;
    default:
        postqueue_show(pq);
    }
}

static void load(struct postqueue *pq)
{
    const char *dir = pq->options.dir ? pq->options.dir : conf_default_dir();
    struct conf *conf = conf_open(dir, NULL, &pq->err);
    if (conf == NULL || settings_load(conf, "postqueue", &pq->arena, &pq->settings, &pq->err) < 0)
        die("%s", pq->err.text);
    conf_free(conf);
    log_setup_command(&pq->settings, "postqueue");
    if (chdir(pq->settings.queue_directory.ptr) < 0)
        die("chdir " STR_FMT ": %s", STR_ARG(pq->settings.queue_directory), strerror(errno));
    pq->err = ERR_INIT;
}

// What the caller left closed must not become a socket that is printed to; what it left open is none of ours.
static void clean_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFL) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(EX_UNAVAILABLE);
    close_range(3, ~0U, 0);
}

int main(int argc, char **argv)
{
    clean_descriptors();
    struct postqueue *pq = MEM_NEW(struct postqueue);
    pq->arena = ARENA_INIT;
    pq->options = (struct postqueue_options){.filter = QUEUE_FILTER_INIT, .limit = TOP_ROWS};
    log_setup_early("postqueue");
    log_add_stderr("postqueue");
    die_set_status(EX_UNAVAILABLE);
    argv[0] = arena_cstr(&pq->arena, STR("postqueue")); // getopt says it
    parse_arguments(pq, argc, argv);
    load(pq);
    check_rights(pq);
    perform(pq);
    queue_filter_release(&pq->options.filter);
    arena_release(&pq->arena);
    mem_free(pq);
    return 0;
}
