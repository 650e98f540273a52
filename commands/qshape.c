// SPDX-License-Identifier: ISC
// qshape.c: where queued mail is going (or comes from), and how long it has been waiting.
// Trust: queue files may be garbage: what cannot be read is passed over. Reads only.
#include "commands/qshape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/agent/queue_list.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/conf/settings.h"
#include "lib/ipc/log_setup.h"

enum {
    BUCKETS = 10,
    FIRST_MINUTES = 5,
    SUBDOMAINS_MIN = 5,
    WIDTH_MIN = 80,
    WIDTH_MAX = 1000,
    BATCH = 1000,
    BATCH_ROWS = 20
};

struct qshape {
    struct arena arena;
    struct settings settings;
    struct qshape_table table;
    struct buf domain;
    int64_t now, arrival_s;
    bool by_sender;
    bool is_live;            // a terminal: the table is shown while it grows
    int64_t messages, batch; // messages between two showings
    int64_t batch_rows;
};

struct numbers {
    int64_t buckets, first, subdomains_min, width, batch, batch_rows;
    bool is_linear, shows_parents, by_sender;
};

static void usage(void)
{
    die("usage: qshape [-s (sender domains)] [-p (parent domains)] [-m min_subdomains] [-l (linear ages)] [-b buckets] "
        "[-t minutes of the first bucket] [-w width] [-N messages between showings] [-n domains then shown] "
        "[-c config_dir] [queue...]");
}

static int64_t number_or(const char *text, int64_t otherwise, int64_t most)
{
    int64_t number;
    if (str_to_i64(str_from(text), &number) < 0 || number <= 0)
        return otherwise;
    return number < most ? number : most;
}

static struct numbers parse_options(int argc, char **argv)
{
    struct numbers n = {BUCKETS, FIRST_MINUTES, SUBDOMAINS_MIN, WIDTH_MIN, BATCH, BATCH_ROWS, false, false, false};
    struct winsize size;
    if (ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > WIDTH_MIN)
        n.width = size.ws_col;
    for (int letter; (letter = getopt(argc, argv, "b:c:lm:n:N:pst:w:")) != -1;) {
        if (letter == 'b')
            n.buckets = number_or(optarg, BUCKETS, QSHAPE_BUCKETS_MAX);
        else if (letter == 'c')
            setenv("MAIL_CONFIG", optarg, 1);
        else if (letter == 'm')
            n.subdomains_min = number_or(optarg, SUBDOMAINS_MIN, INT32_MAX);
        else if (letter == 'n')
            n.batch_rows = number_or(optarg, BATCH_ROWS, INT32_MAX);
        else if (letter == 'N')
            n.batch = number_or(optarg, BATCH, INT32_MAX);
        else if (letter == 't')
            n.first = number_or(optarg, FIRST_MINUTES, INT32_MAX);
        else if (letter == 'w')
            n.width = number_or(optarg, WIDTH_MIN, WIDTH_MAX);
        else if (letter == '?')
            usage();
        n.is_linear |= letter == 'l';
        n.shows_parents |= letter == 'p';
        n.by_sender |= letter == 's';
    }
    return n;
}

static void init(struct qshape *q, const struct numbers *n)
{
    struct err err = ERR_INIT;
    struct conf *conf = conf_open(conf_default_dir(), NULL, &err);
    if (conf == NULL || settings_load(conf, "qshape", &q->arena, &q->settings, &err) < 0)
        die("%s", err.text);
    conf_free(conf);
    log_setup_command(&q->settings, "qshape");
    qshape_table_init(&q->table, (unsigned)n->buckets, n->first, n->is_linear);
    q->table.width = n->width > WIDTH_MIN ? (unsigned)n->width : WIDTH_MIN;
    q->table.shows_parents = n->shows_parents;
    q->table.subdomains_min = n->subdomains_min;
    q->by_sender = n->by_sender;
    q->batch = n->batch;
    q->batch_rows = n->batch_rows;
    q->is_live = isatty(1);
    q->table.draws_bars = q->is_live;
    q->now = clock_wall();
}

// ---- Counting

static void show(struct qshape *q, int64_t limit)
{
    struct buf out = BUF_INIT;
    if (q->is_live)
        fputs("\033[H\033[J", stdout);
    qshape_table_print(&q->table, limit, &out);
    fwrite(out.ptr, 1, out.len, stdout);
    if (fflush(stdout) != 0)
        die("write standard output: %s", strerror(errno));
    buf_release(&out);
}

static struct str domain_of(struct str address)
{
    long at = str_rfind(address, '@');
    return at < 0 ? address : str_slice(address, (size_t)at + 1, address.len);
}

static void count(struct qshape *q, struct str address)
{
    buf_clear(&q->domain);
    buf_add_lower(&q->domain, domain_of(address));
    struct str name = address.len ? buf_str(&q->domain) : STR("MAILER-DAEMON");
    qshape_table_count(&q->table, name, q->now - q->arrival_s);
}

static int take_message(void *arg, const struct queue_list_message *m)
{
    struct qshape *q = arg;
    q->arrival_s = m->arrival_s;
    if (q->by_sender)
        count(q, m->sender);
    if (++q->messages % q->batch == 0 && q->is_live)
        show(q, q->batch_rows);
    return 0;
}

static int take_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct qshape *q = arg;
    if (!q->by_sender)
        count(q, r->address);
    return 0;
}

// A queue of the queue directory, or with an absolute path one of another.
static void count_queue(struct qshape *q, const char *name)
{
    const struct settings *s = &q->settings;
    struct queue_layout layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    struct queue_list_sink sink = {q, take_message, take_recipient};
    struct err err = ERR_INIT;
    const char *dir = s->queue_directory.ptr, *slash = strrchr(name, '/');
    if (name[0] == '/' && slash != NULL) {
        dir = slash == name ? "/" : arena_cstr(&q->arena, str_of(name, (size_t)(slash - name)));
        name = slash + 1;
    }
    if (chdir(dir) < 0)
        die("chdir %s: %s", dir, strerror(errno));
    if (!queue_id_is_valid(str_from(name)))
        log_warn("bad queue name: %s", name);
    else if (queue_list_envelopes(&layout, &sink, name, &err) < 0)
        log_warn("%s", err.text);
}

int main(int argc, char **argv)
{
    struct qshape *q = MEM_NEW(struct qshape);
    q->arena = ARENA_INIT;
    log_setup_early("qshape");
    log_add_stderr("qshape");
    argv[0] = arena_cstr(&q->arena, STR("qshape")); // getopt says it
    struct numbers n = parse_options(argc, argv);
    init(q, &n);
    if (optind == argc) {
        count_queue(q, QUEUE_INCOMING);
        count_queue(q, QUEUE_ACTIVE);
    }
    for (int i = optind; i < argc; i++)
        count_queue(q, argv[i]);
    show(q, 0);
    qshape_table_release(&q->table);
    buf_release(&q->domain);
    arena_release(&q->arena);
    mem_free(q);
    return 0;
}
