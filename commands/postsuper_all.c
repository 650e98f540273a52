// SPDX-License-Identifier: ISC
// postsuper_all.c: actions on ALL messages: one system call a message where nothing else is needed.
//
// The work is shared between processes, one a processor: each takes the messages of its share of the hash directories,
// so they do not wait for each other's directory.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/postsuper.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

enum { SHARES_MAX = 4, LOOK_AT_PARENT = 64 };

struct work {
    struct postsuper *ps;
    const struct postsuper_action *action;
    unsigned share, shares;
    pid_t parent; // of a helper: ends when that one is killed; else 0
    unsigned seen;
    bool is_plain; // neither criteria nor a dry run: names are enough
    struct buf path, id;
    unsigned done;
};

// 1 done, 0 gone, -1.
static int move_entry(struct work *w, struct queue_scan *names, const char *queue, struct str id, struct err *err)
{
    const struct queue_layout *layout = &w->ps->layout;
    if (queue_path(layout, w->action->to, id, &w->path) == 0 &&
        renameat(queue_scan_dirfd(names), id.ptr, AT_FDCWD, buf_cstr(&w->path)) == 0)
        return 1;
    return queue_file_move(AT_FDCWD, layout, id, queue, w->action->to, err); // the directory may be missing
}

static int delete_entry(struct work *w, struct queue_scan *names, struct str id, struct err *err)
{
    postsuper_remove_logs(w->ps, id); // first: see postsuper_act_in
    if (unlinkat(queue_scan_dirfd(names), id.ptr, 0) < 0)
        return errno == ENOENT ? 0 : err_errno(err, "remove " STR_FMT, STR_ARG(id));
    return 1;
}

static void act_on_entry(struct work *w, struct queue_scan *names, const char *queue, struct str id)
{
    struct err err = ERR_INIT;
    bool is_move = w->action->letter == 'h' || w->action->letter == 'H';
    buf_clear(&w->id);
    buf_add_str(&w->id, id); // renaming may change what the name points to
    id = str_from(buf_cstr(&w->id));
    if (!w->is_plain || (!is_move && w->action->letter != 'd')) {
        (void)postsuper_act_in(w->ps, w->action, queue, id, !w->is_plain);
        return;
    }
    int rc = is_move ? move_entry(w, names, queue, id, &err) : delete_entry(w, names, id, &err);
    if (rc < 0)
        log_warn("%s", err.text);
    else
        w->done += (unsigned)rc;
}

static void end_with_parent(struct work *w)
{
    if (w->parent != 0 && ++w->seen % LOOK_AT_PARENT == 0 && getppid() != w->parent)
        _exit(1);
}

static void act_on_queue(struct work *w, const char *queue)
{
    struct err err = ERR_INIT;
    struct str id;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, queue, &err);
    int rc = names == NULL ? -1 : 0;
    while (names != NULL && (rc = queue_scan_next(names, &id, &err)) == 1)
        if (w->shares == 1 || queue_hash_char(id) % w->shares == w->share) {
            end_with_parent(w);
            act_on_entry(w, names, queue, id);
        }
    if (rc < 0)
        log_warn("%s", err.text);
    queue_scan_close(names);
}

static void act_on_queues(struct work *w)
{
    for (const char *const *queue = w->action->from; *queue != NULL; queue++)
        if (postsuper_queue_is_selected(w->ps, *queue) &&
            queue_filter_may_match_queue(&w->ps->filter, str_from(*queue)))
            act_on_queue(w, *queue);
    buf_release(&w->path);
    buf_release(&w->id);
}

// ---- Shares

struct helper {
    pid_t pid;
    int result; // the pipe that tells how many messages it did
};

static struct helper start_helper(const struct work *w, unsigned share)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    pid_t self = getpid(), pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid > 0) {
        close(ends[1]);
        return (struct helper){pid, ends[0]};
    }
    struct work mine = *w;
    mine.share = share;
    mine.parent = self;
    act_on_queues(&mine);
    _exit(write(ends[1], &mine.done, sizeof mine.done) == (ssize_t)sizeof mine.done ? 0 : 1);
}

static unsigned end_helper(const struct helper *h)
{
    unsigned done = 0;
    int status = 1;
    bool is_told = read(h->result, &done, sizeof done) == (ssize_t)sizeof done;
    close(h->result);
    while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!is_told || status != 0)
        log_warn("a part of the work failed: run the command again");
    return is_told ? done : 0;
}

void postsuper_act_on_all(struct postsuper *ps, char letter)
{
    struct work w = {.ps = ps, .action = postsuper_find_action(letter), .shares = 1};
    struct helper helpers[SHARES_MAX];
    w.is_plain = queue_filter_is_empty(&ps->filter) && !ps->is_dry_run;
    bool is_shared = w.is_plain && (letter == 'd' || letter == 'h' || letter == 'H');
    postsuper_look_for_logs(ps, is_shared && letter == 'd');
    if (is_shared)
        w.shares = sys_cpu_count() < SHARES_MAX ? sys_cpu_count() : SHARES_MAX;
    for (unsigned i = 1; i < w.shares; i++)
        helpers[i] = start_helper(&w, i);
    act_on_queues(&w);
    for (unsigned i = 1; i < w.shares; i++)
        w.done += end_helper(&helpers[i]);
    ps->done[(unsigned char)letter] += w.done;
    postsuper_look_for_logs(ps, false);
    if (letter == 'f' && !ps->is_dry_run)
        postsuper_act_on_all(ps, 'H');
}
