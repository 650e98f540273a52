// SPDX-License-Identifier: ISC
// postdrop.c: stores one submission in the maildrop directory, durable before it says so, and wakes the pickup service.
//
// Trust: installed set-gid setgid_group: the caller's environment, descriptors, limits and input are hostile. Works
// while the mail system is down. Removes its file unless everything, the end record included, was stored.
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postdrop.h"
#include "lib/base/log.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/log_setup.h"
#include "lib/mail/queue_file.h"
#include "lib/sys/sys.h"

#define CHUNK_SIZE (64 * 1024)

enum { MODE_WRITING = 0644, MODE_COMPLETE = 0744 };

static struct settings settings;
static volatile sig_atomic_t was_interrupted;

struct drop {
    struct queue_layout layout;
    int queue_dirfd, fd;
    struct buf id;
    struct buf input, output;
    struct postdrop_input records;
    struct str login; // "" without an account
    long uid;
    bool is_complete;
};

static void on_signal(int signo)
{
    was_interrupted = signo;
}

static void set_signals(void)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: a read ends with EINTR
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaction(ends[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGALRM, SIG_DFL);
}

// Keeps only what cannot mislead a privileged program.
static void clean_environment(const char *dir)
{
    char *zone = getenv("TZ") != NULL && getuid() == geteuid() && getgid() == getegid() ? strdup(getenv("TZ")) : NULL;
    char *copy = strdup(dir);
    if (copy == NULL || clearenv() != 0 || setenv("MAIL_CONFIG", copy, 1) != 0 ||
        (zone != NULL && setenv("TZ", zone, 1) != 0) || setenv("PATH", "/usr/bin:/bin", 1) != 0)
        die("cannot clean the environment: %s", strerror(errno));
    free(zone);
    free(copy);
}

static void clean_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFL) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(POSTDROP_WRITE);
    close_range(3, ~0U, 0);
}

static void add_answer(struct buf *out, const char *name, struct str value)
{
    buf_add(out, name, strlen(name) + 1);
    buf_add_str(out, value);
    buf_add_char(out, '\0');
}

// An attribute list: name NUL value NUL ... NUL. Nobody may be listening: the file counts, not the answer.
static void send_answer(const char *name_1, struct str value_1, const char *name_2, struct str value_2)
{
    struct buf out = BUF_INIT;
    add_answer(&out, name_1, value_1);
    add_answer(&out, name_2, value_2);
    buf_add_char(&out, '\0');
    (void)sys_write_all(1, out.ptr, out.len);
    buf_release(&out);
}

static void give_up(struct drop *d)
{
    struct err err = ERR_INIT;
    if (d->fd >= 0 && !d->is_complete &&
        queue_file_remove(d->queue_dirfd, &d->layout, QUEUE_MAILDROP, buf_str(&d->id), &err) < 0)
        log_warn("uid=%ld: %s", d->uid, err.text);
}

static int create_file(struct drop *d, struct err *err)
{
    struct queue_new made = {.queue = QUEUE_MAILDROP, .mode = MODE_WRITING, .id = &d->id};
    d->queue_dirfd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (d->queue_dirfd < 0) {
        err_errno(err, "open queue directory");
        return POSTDROP_WRITE;
    }
    d->layout = queue_layout_of(settings.hash_queue_names, settings.hash_queue_depth, settings.enable_long_queue_ids);
    umask(0);
    d->fd = queue_file_create(d->queue_dirfd, &d->layout, &made, err);
    umask(077);
    if (d->fd < 0)
        return POSTDROP_WRITE;
    queue_record_addf(&d->output, REC_TIME, "%lld %lld", (long long)(made.created_us / 1000000),
                      (long long)(made.created_us % 1000000));
    return 0;
}

static int write_output(struct drop *d, struct err *err)
{
    if (sys_write_all(d->fd, d->output.ptr, d->output.len) != 0) {
        err_errno(err, "queue file write error");
        return errno == EFBIG ? POSTDROP_SIZE : POSTDROP_WRITE;
    }
    buf_clear(&d->output);
    return 0;
}

static int take_records(struct drop *d, struct err *err)
{
    struct record r;
    size_t used = 0;
    int status = 0, got = 0;
    while (status == 0 && d->records.segment != POSTDROP_DONE) {
        struct raw rest = {(const unsigned char *)d->input.ptr + used, d->input.len - used};
        got = queue_record_decode(rest, &r);
        if (got <= 0)
            break;
        used += r.size;
        status = postdrop_input_take(&d->records, &r, &d->output, err);
        if (status == 0 && d->records.is_new_sender) {
            d->records.is_new_sender = false;
            status = postdrop_may_send_as(&settings, d->login, d->uid, buf_str(&d->records.sender), err);
        }
    }
    buf_consume(&d->input, used);
    if (status == 0 && got < 0) {
        err_set(err, ERR_PERMANENT, "malformed input");
        status = POSTDROP_BAD;
    }
    return status;
}

// 0 and is complete; 0 and is not: the sender went away; else a status bit.
static int copy_records(struct drop *d, struct err *err)
{
    int status = 0;
    while (status == 0 && d->records.segment != POSTDROP_DONE && !was_interrupted) {
        buf_reserve(&d->input, CHUNK_SIZE);
        ssize_t got = read(0, d->input.ptr + d->input.len, CHUNK_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        d->input.len += (size_t)got;
        status = take_records(d, err);
        if (status == 0 && (d->output.len >= CHUNK_SIZE || d->records.segment == POSTDROP_DONE))
            status = write_output(d, err);
    }
    return status;
}

// The directory entry was made by a rename; where the directory may be read, it is flushed too.
static void sync_directory(void)
{
    int fd = open(QUEUE_MAILDROP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static int commit(struct drop *d, struct err *err)
{
    if (fchmod(d->fd, MODE_COMPLETE) != 0 || fsync(d->fd) != 0) {
        err_errno(err, "queue file write error");
        return POSTDROP_WRITE;
    }
    sync_directory();
    d->is_complete = true;
    return 0;
}

static int store(struct drop *d, struct err *err)
{
    int status = create_file(d, err);
    if (status != 0)
        return status;
    send_answer("protocol", STR("postdrop_protocol"), "queue_id", buf_str(&d->id));
    status = copy_records(d, err);
    if (d->records.ignored_attributes > 0)
        log_warn("uid=%ld: %u attributes are not accepted from local users: ignored", d->uid,
                 d->records.ignored_attributes);
    if (status == 0 && d->records.segment == POSTDROP_DONE)
        status = commit(d, err);
    return status;
}

static void answer_verdict(const struct drop *d, int status, const struct err *err)
{
    struct buf number = BUF_INIT;
    if (status == 0 && !d->is_complete)
        return; // the sender went away: nobody waits
    buf_addf(&number, "%d", status);
    if (status != 0)
        log_warn("uid=%ld: %s", d->uid, err->text);
    send_answer("status", buf_str(&number), "reason", status == 0 ? STR("") : str_from(err->text));
    buf_release(&number);
}

static const char *parse_arguments(int argc, char **argv)
{
    const char *dir = getenv("MAIL_CONFIG");
    int letter;
    while ((letter = getopt(argc, argv, "c:rv")) > 0) {
        if (letter == 'c')
            dir = optarg;
        else if (letter == 'v')
            log_set_debug(getuid() == 0);
        else if (letter != 'r')
            die("usage: %s [-c config_dir] [-r] [-v]", argv[0]);
    }
    if (dir != NULL && !conf_dir_is_allowed(dir)) // never another queue than the one that was meant
        die("configuration directory %s is not allowed here: list it in alternate_config_directories of the default "
            "main.cf",
            dir);
    return dir != NULL ? dir : conf_default_dir();
}

static void load(const char *dir, struct arena *arena)
{
    struct err err = ERR_INIT;
    struct conf *conf = conf_open(dir, NULL, &err);
    if (conf == NULL || settings_load(conf, "postdrop", arena, &settings, &err) != 0)
        die("%s", err.text);
    conf_free(conf);
    log_setup_command(&settings, "postdrop");
    if (chdir(settings.queue_directory.ptr) != 0)
        die("chdir %s: %s", settings.queue_directory.ptr, strerror(errno));
}

static void find_login(struct drop *d, struct arena *arena)
{
    const struct passwd *pw = getpwuid(getuid());
    d->uid = (long)getuid();
    d->login = pw != NULL ? arena_str(arena, str_from(pw->pw_name)) : STR("");
}

static void release(struct drop *d)
{
    if (d->fd >= 0)
        close(d->fd);
    if (d->queue_dirfd >= 0)
        close(d->queue_dirfd);
    postdrop_input_release(&d->records);
    buf_release(&d->id);
    buf_release(&d->input);
    buf_release(&d->output);
}

int main(int argc, char **argv)
{
    struct arena arena = ARENA_INIT;
    struct drop d = {.queue_dirfd = -1, .fd = -1};
    struct err err = ERR_INIT;
    clean_descriptors();
    set_signals();
    log_setup_early("postdrop");
    log_add_stderr("postdrop");
    const char *dir = arena_cstr(&arena, str_from(parse_arguments(argc, argv)));
    clean_environment(dir);
    load(dir, &arena);
    find_login(&d, &arena);
    postdrop_input_init(&d.records, settings.message_size_limit);
    int status = postdrop_may_submit(&settings, d.login, d.uid, &err);
    if (status == 0)
        status = store(&d, &err);
    bool is_stored = d.is_complete;
    give_up(&d);
    answer_verdict(&d, status, &err);
    release(&d);
    struct buf pickup = BUF_INIT;
    buf_addf(&pickup, "public/" STR_FMT, STR_ARG(settings.pickup_service_name));
    if (is_stored && ipc_trigger(buf_cstr(&pickup), STR("W"), &err) != 0)
        log_debug("%s", err.text); // the mail system is down: pickup finds the file when it starts
    buf_release(&pickup);
    arena_release(&arena);
    return status == 0 ? 0 : status & 0x7f ? status & 0x7f : 1;
}
