// SPDX-License-Identifier: ISC
// postsuper_actions.c: what postsuper does to a message, in which queues, and how it says so.
//
// A running queue manager may have the message in hand: it finds the file gone, and forgets about it.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postsuper.h"
#include "lib/base/log.h"

enum { MODE_EXPIRED = 0010 };

struct action {
    char letter;
    const char *to;   // NULL: not moved
    const char *done; // "QID: ..."
    const char *summary;
    const char *from[6];
};
static const struct action actions[] = {
    {'d', NULL, "removed", "Deleted", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'e', NULL, "expired", "Force-expired", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'f', NULL, "expired", "Force-expired", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'h', QUEUE_HOLD, "placed on hold", "Placed on hold", {QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'H', QUEUE_DEFERRED, "released from hold", "Released from hold", {QUEUE_HOLD, NULL}},
    {'r', QUEUE_MAILDROP, "requeued", "Requeued", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
};

static const struct action *find_action(char letter)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (actions[i].letter == letter)
            return &actions[i];
    bug("unknown action %c", letter);
}

bool postsuper_queue_is_selected(const struct postsuper *ps, const char *queue)
{
    for (unsigned i = 0; i < ps->queue_count; i++)
        if (strcmp(ps->queues[i], queue) == 0)
            return true;
    return ps->queue_count == 0;
}

static void remove_logs(struct postsuper *ps, struct str id)
{
    static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        if (queue_file_remove(AT_FDCWD, &ps->layout, logs[i], id, &err) < 0)
            log_warn("%s", err.text);
}

static int stat_file(const struct postsuper *ps, const char *queue, struct str id, struct buf *path, struct stat *st_r)
{
    return queue_path(&ps->layout, queue, id, path) == 0 && lstat(buf_cstr(path), st_r) == 0 && S_ISREG(st_r->st_mode)
               ? 0
               : -1;
}

// Sets the bit that makes the queue manager return the message at its next attempt.
static int expire(const struct postsuper *ps, const char *queue, struct str id)
{
    struct buf path = BUF_INIT;
    struct stat st;
    int rc = 0;
    if (stat_file(ps, queue, id, &path, &st) == 0 && (st.st_mode & S_IRWXU) == QUEUE_MODE_READY)
        rc = chmod(buf_cstr(&path), (st.st_mode & 07777) | MODE_EXPIRED) == 0 ? 1 : -1;
    buf_release(&path);
    return rc;
}

static int expire_and_release(struct postsuper *ps, const char *queue, struct str id, struct err *err)
{
    int rc = expire(ps, queue, id);
    if (rc == 1 && strcmp(queue, QUEUE_HOLD) == 0)
        rc = queue_file_move(AT_FDCWD, &ps->layout, id, queue, QUEUE_DEFERRED, err);
    return rc;
}

// Pickup takes it as new mail: not before its time would be wrong.
static int requeue(struct postsuper *ps, const char *queue, struct str id, struct err *err)
{
    struct buf path = BUF_INIT;
    struct stat st;
    int rc = 0;
    if (stat_file(ps, queue, id, &path, &st) == 0 && (st.st_mode & S_IRWXU) == QUEUE_MODE_READY) {
        (void)!utimensat(AT_FDCWD, buf_cstr(&path), NULL, 0);
        rc = queue_file_move(AT_FDCWD, &ps->layout, id, queue, QUEUE_MAILDROP, err);
    }
    if (rc == 1)
        remove_logs(ps, id);
    buf_release(&path);
    return rc;
}

// 1 done, 0 not there, -1 failed.
static int act_in_queue(struct postsuper *ps, const struct action *action, const char *queue, struct str id,
                        struct err *err)
{
    switch (action->letter) {
    case 'd':
        return queue_file_remove(AT_FDCWD, &ps->layout, queue, id, err);
    case 'e':
        return expire(ps, queue, id);
    case 'f':
        return expire_and_release(ps, queue, id, err);
    case 'r':
        return requeue(ps, queue, id, err);
    default:
        return queue_file_move(AT_FDCWD, &ps->layout, id, queue, action->to, err);
    }
}

static void say_done(struct postsuper *ps, const struct action *action, struct str id)
{
    log_info(STR_FMT ": %s", STR_ARG(id), action->done);
    ps->done[(unsigned char)action->letter]++;
}

static bool act(struct postsuper *ps, const struct action *action, const char *queue, struct str id)
{
    struct err err = ERR_INIT;
    int rc = act_in_queue(ps, action, queue, id, &err);
    if (rc < 0)
        log_warn(STR_FMT ": %s", STR_ARG(id), err.kind ? err.text : strerror(errno));
    if (rc != 1)
        return false;
    if (action->letter == 'd')
        remove_logs(ps, id);
    say_done(ps, action, id);
    return true;
}

void postsuper_act(struct postsuper *ps, char letter, struct str id)
{
    const struct action *action = find_action(letter);
    if (!queue_id_is_valid(id)) {
        log_warn("invalid mail queue id: " STR_FMT, STR_ARG(id));
        return;
    }
    for (const char *const *queue = action->from; *queue != NULL; queue++)
        if (postsuper_queue_is_selected(ps, *queue) && act(ps, action, *queue, id))
            return; // an id is in one queue
}

void postsuper_act_on_all(struct postsuper *ps, char letter)
{
    const struct action *action = find_action(letter);
    struct err err = ERR_INIT;
    struct buf copy = BUF_INIT;
    struct str id;
    for (const char *const *queue = action->from; *queue != NULL; queue++) {
        if (!postsuper_queue_is_selected(ps, *queue))
            continue;
        struct queue_scan *names = queue_scan_open(AT_FDCWD, *queue, &err);
        int rc = names == NULL ? -1 : 0;
        while (names != NULL && (rc = queue_scan_next(names, &id, &err)) == 1) {
            buf_clear(&copy);
            buf_add_str(&copy, id); // renaming may change what the name points to
            (void)act(ps, action, *queue, buf_str(&copy));
        }
        if (rc < 0)
            log_warn("%s", err.text);
        queue_scan_close(names);
    }
    buf_release(&copy);
}

void postsuper_summarize(const struct postsuper *ps, char letter)
{
    unsigned count = ps->done[(unsigned char)letter];
    log_info("%s: %u message%s", find_action(letter)->summary, count, count == 1 ? "" : "s");
}
