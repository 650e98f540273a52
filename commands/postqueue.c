// SPDX-License-Identifier: ISC
// postqueue.c: shows the mail queues and asks for delivery attempts.
//
// Trust: installed set-gid setgid_group, so that it reaches the services in public/: the caller's arguments and
// environment are hostile. Every failure ends with status 69 (the service is unavailable), but for usage and refused
// users.
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands/postqueue.h"
#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/log_setup.h"
#include "lib/mail/address.h"
#include "lib/sys/sys.h"
#include "lib/table/table.h"

enum { CONNECT_SECONDS = 10, ANSWER_SECONDS = 3600, RELEASE_SECONDS = 60 };

struct postqueue {
    struct arena arena;
    struct settings settings;
    char action; // f i j p s
    const char *argument;
    struct postqueue_printer printer;
    struct err err;
    bool is_connected; // showq was reached
    int result;
    const char *service;
};

static void usage(void)
{
    die("usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site");
}

// ---- Work on a loop of its own

static int on_loop(void (*fn)(void *arg), struct postqueue *pq)
{
    co_loop_init();
    co_jobs_inline();
    co_spawn("postqueue", fn, pq);
    co_loop_run(0);
    co_loop_free();
    return pq->result;
}

static int receive_listing(struct postqueue *pq, struct ipc_conn *conn) CO
{
    struct queue_list_sink sink = postqueue_printer_sink(&pq->printer);
    struct ipc_view view;
    int rc = 1;
    while (rc == 1) {
        rc = ipc_recv(conn, &view, clock_deadline(ANSWER_SECONDS), &pq->err);
        if (rc == 0)
            return err_set(&pq->err, ERR_PROTOCOL, "the listing is incomplete: connection closed");
        if (rc == 1)
            rc = queue_list_read(&view, &sink, &pq->err);
    }
    return rc;
}

static void ask_showq(void *arg)
{
    co_assert_running();
    struct postqueue *pq = arg;
    struct ipc_conn *conn = ipc_connect(pq->service, clock_deadline(CONNECT_SECONDS), &pq->err);
    pq->is_connected = conn != NULL;
    pq->result = conn == NULL ? -1 : receive_listing(pq, conn);
    ipc_conn_free(conn);
    co_loop_stop();
}

static void ask_release(void *arg)
{
    co_assert_running();
    struct postqueue *pq = arg;
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view answer;
    int64_t deadline = clock_deadline(RELEASE_SECONDS);
    struct ipc_conn *conn = ipc_connect(pq->service, deadline, &pq->err);
    pq->result = -1;
    if (conn != NULL) {
        ipc_begin(&m, 1, "release");
        ipc_add_str(&m, "id", str_from(pq->argument));
        if (ipc_end(&m) == 0)
            pq->result = ipc_call(conn, &m, &answer, deadline, &pq->err);
    }
    ipc_msg_release(&m);
    ipc_conn_free(conn);
    co_loop_stop();
}

static void look_up_user(void *arg)
{
    co_assert_running();
    struct postqueue *pq = arg;
    const struct passwd *pw = getpwuid(getuid());
    bool is_view = pq->action == 'p' || pq->action == 'j';
    struct str users = is_view ? pq->settings.authorized_mailq_users : pq->settings.authorized_flush_users;
    struct match_list *list = match_list_open(users, 0, &pq->err);
    pq->result = list == NULL ? -1 : match_list_has(list, pw ? str_from(pw->pw_name) : STR("unknown"), &pq->err);
    if (list != NULL)
        match_list_close(list);
    co_loop_stop();
}

// ---- Who may

static void check_user(struct postqueue *pq)
{
    const struct settings *s = &pq->settings;
    bool is_view = pq->action == 'p' || pq->action == 'j';
    struct str users = is_view ? s->authorized_mailq_users : s->authorized_flush_users;
    const struct passwd *pw = getpwuid(getuid());
    struct str login = arena_str(&pq->arena, pw ? str_from(pw->pw_name) : STR("unknown"));
    if (str_is(users, STR("static:anyone")) || getuid() == 0 || str_is(login, s->mail_owner))
        return;
    if (on_loop(look_up_user, pq) == 1)
        return;
    die_set_status(EX_NOPERM);
    die("User " STR_FMT "(%ld) is not allowed to %s the mail queue", STR_ARG(login), (long)getuid(),
        is_view ? "view" : "flush");
}

// ---- Actions

static struct queue_layout layout_of(const struct settings *s)
{
    return (struct queue_layout){s->hash_queue_names, (unsigned)s->hash_queue_depth, s->enable_long_queue_ids};
}

// The owner of the queue may look without a service.
static bool may_read_directly(const struct postqueue *pq)
{
    return getuid() == 0 || access(QUEUE_DEFERRED, R_OK | X_OK) == 0;
}

static int read_directly(struct postqueue *pq)
{
    struct queue_layout layout = layout_of(&pq->settings);
    struct queue_list_sink sink = postqueue_printer_sink(&pq->printer);
    struct sys_user owner;
    log_warn("Mail system is down -- accessing queue directly (%s)", pq->err.text);
    if (getuid() == 0 &&
        (sys_user_by_name(pq->settings.mail_owner, &owner, &pq->err) != 1 || sys_become(&owner, &pq->err) < 0))
        return -1;
    return queue_list_walk(&layout, &sink, &pq->err);
}

static void show(struct postqueue *pq)
{
    const struct settings *s = &pq->settings;
    postqueue_printer_init(&pq->printer, pq->action == 'j', s->enable_long_queue_ids, s->empty_address_recipient);
    pq->service = arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(s->showq_service_name)).ptr;
    int rc = on_loop(ask_showq, pq);
    if (rc < 0 && !pq->is_connected) {
        if (!may_read_directly(pq))
            die("Queue report unavailable - mail system is down");
        err_prefix(&pq->err, "Connect to the %s %s service", pq->settings.mail_name.ptr, s->showq_service_name.ptr);
        rc = read_directly(pq);
    }
    if (rc < 0)
        die("Queue report unavailable: %s", pq->err.text);
    if (postqueue_printer_end(&pq->printer) < 0)
        die("write error: %s", strerror(errno));
    postqueue_printer_release(&pq->printer);
}

static void flush_queue(struct postqueue *pq)
{
    const struct settings *s = &pq->settings;
    struct str qmgr = arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(s->queue_service_name));
    struct str pickup = arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(s->pickup_service_name));
    if (ipc_trigger(qmgr.ptr, STR("FAID"), &pq->err) < 0)
        die("Cannot flush mail queue - mail system is down");
    (void)!ipc_trigger(pickup.ptr, STR("W"), &pq->err); // it looks by itself, only later
}

static void flush_id(struct postqueue *pq)
{
    if (!queue_id_is_valid(str_from(pq->argument)))
        die("Cannot flush queue ID - invalid name: \"%s\"", pq->argument);
    pq->service = arena_strf(&pq->arena, "public/" STR_FMT, STR_ARG(pq->settings.queue_service_name)).ptr;
    if (on_loop(ask_release, pq) < 0)
        die("Cannot flush mail queue - mail system is down");
}

static void flush_site(struct postqueue *pq)
{
    struct str site = str_from(pq->argument);
    if (!address_domain_is_valid(site) && !address_domain_is_literal(site))
        die("Cannot flush mail queue - invalid destination: \"%.100s%s\"", site.ptr, site.len > 100 ? "..." : "");
    die("Flush service is not configured for destination \"%s\"", pq->argument);
}

// ---- Start

static const char *parse_arguments(struct postqueue *pq, int argc, char **argv)
{
    const char *dir = NULL;
    for (int letter; (letter = getopt(argc, argv, "c:fi:jps:v")) > 0;) {
        if (letter == 'c') {
            dir = optarg;
        } else if (letter == 'v') {
            log_set_debug(getuid() == 0);
        } else if (letter == '?' || pq->action) {
            usage();
        } else {
            pq->action = (char)letter;
            pq->argument = optarg;
        }
    }
    if (pq->action == 0 || argc > optind)
        usage();
    if (dir != NULL && !conf_dir_is_allowed(dir))
        die("configuration directory %s is not allowed here: list it in alternate_config_directories of the default "
            "main.cf",
            dir);
    return dir ? dir : conf_default_dir();
}

static void load(struct postqueue *pq, const char *dir)
{
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
    log_setup_early("postqueue");
    log_add_stderr("postqueue");
    die_set_status(EX_UNAVAILABLE);
    load(pq, parse_arguments(pq, argc, argv));
    check_user(pq);
    if (pq->action == 'f')
        flush_queue(pq);
    else if (pq->action == 'i')
        flush_id(pq);
    else if (pq->action == 's')
        flush_site(pq);
    else
        show(pq);
    arena_release(&pq->arena);
    mem_free(pq);
    return 0;
}
