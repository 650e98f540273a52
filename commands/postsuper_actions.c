// SPDX-License-Identifier: ISC
// postsuper_actions.c: what postsuper does to a message, in which queues, and how it says so.
//
// A running queue manager may have the message in hand: it finds the file gone, and forgets about it.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postsuper.h"
#include "lib/base/log.h"

enum { MODE_EXPIRED = 0010 };

static const struct postsuper_action actions[] = {
    {'d', NULL, "removed", "Deleted", {QUEUE_MAILDROP, QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'e', NULL, "expired", "Force-expired", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'f', NULL, "expired", "Force-expired", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'h', QUEUE_HOLD, "placed on hold", "Placed on hold", {QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
    {'H', QUEUE_DEFERRED, "released from hold", "Released from hold", {QUEUE_HOLD, NULL}},
    {'r', QUEUE_MAILDROP, "requeued", "Requeued", {QUEUE_HOLD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL}},
};

const struct postsuper_action *postsuper_find_action(char letter)
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

static const char *const logs[] = {QUEUE_BOUNCE, QUEUE_DEFER, QUEUE_TRACE};

void postsuper_look_for_logs(struct postsuper *ps, bool looks)
{
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        ps->has_no_logs[i] = looks && queue_is_empty(AT_FDCWD, logs[i]);
}

void postsuper_remove_logs(struct postsuper *ps, struct str id)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        if (!ps->has_no_logs[i] && queue_file_remove(AT_FDCWD, &ps->layout, logs[i], id, &err) < 0)
            log_warn("%s", err.text);
}

static int stat_file(const struct postsuper *ps, const char *queue, struct str id, struct buf *path, struct stat *st_r)
{
    return queue_path(&ps->layout, queue, id, path) == 0 && lstat(buf_cstr(path), st_r) == 0 && S_ISREG(st_r->st_mode)
               ? 0
               : -1;
}

// Sets the bit that makes the queue manager return the message at its next attempt. 0: it is not there, or has it
// already.
static int expire(const struct postsuper *ps, const char *queue, struct str id)
{
    struct buf path = BUF_INIT;
    struct stat st;
    int rc = 0;
    if (stat_file(ps, queue, id, &path, &st) == 0 && (st.st_mode & S_IRWXU) == QUEUE_MODE_READY &&
        (st.st_mode & MODE_EXPIRED) == 0)
        rc = chmod(buf_cstr(&path), (st.st_mode & 07777) | MODE_EXPIRED) == 0 ? 1 : -1;
    buf_release(&path);
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
    buf_release(&path);
    return rc;
}

// 1 done, 0 not there, -1 failed.
static int act_in_queue(struct postsuper *ps, const struct postsuper_action *action, const char *queue, struct str id,
                        struct err *err)
{
    switch (action->letter) {
    case 'd':
        return queue_file_remove(AT_FDCWD, &ps->layout, queue, id, err);
    case 'e':
    case 'f': // the release is an action of its own
        return expire(ps, queue, id);
    case 'r':
        return requeue(ps, queue, id, err);
    default:
        return queue_file_move(AT_FDCWD, &ps->layout, id, queue, action->to, err);
    }
}

// Whether the criteria, if any, choose the message.
static int note_match(void *arg, const struct queue_list_message *m)
{
    *(bool *)arg = true;
    return 0;
}

static int ignore_recipient(void *arg, const struct queue_list_recipient *r)
{
    return 0;
}

static bool is_chosen(const struct postsuper *ps, const char *queue, struct str id)
{
    struct queue_filter_pass pass;
    bool is_match = false;
    if (queue_filter_is_empty(&ps->filter))
        return true;
    if (!queue_filter_may_match_queue(&ps->filter, str_from(queue)))
        return false;
    queue_filter_pass_init(&pass, &ps->filter, (struct queue_list_sink){&is_match, note_match, ignore_recipient});
    struct queue_list_sink sink = queue_filter_pass_sink(&pass);
    (void)!queue_list_file(&ps->layout, &sink, queue, id);
    queue_filter_pass_release(&pass);
    return is_match;
}

static bool exists(const struct postsuper *ps, const char *queue, struct str id)
{
    struct buf path = BUF_INIT;
    struct stat st;
    bool is = stat_file(ps, queue, id, &path, &st) == 0;
    buf_release(&path);
    return is;
}

static bool would_act(struct postsuper *ps, const struct postsuper_action *action, const char *queue, struct str id)
{
    if (!exists(ps, queue, id))
        return false;
    ps->done[(unsigned char)action->letter]++;
    if (!ps->is_counting)
        printf(STR_FMT ": would be %s\n", STR_ARG(id), action->done);
    return true;
}

bool postsuper_act_in(struct postsuper *ps, const struct postsuper_action *action, const char *queue, struct str id,
                      bool is_said)
{
    struct err err = ERR_INIT;
    if (!is_chosen(ps, queue, id))
        return false;
    if (ps->is_dry_run)
        return would_act(ps, action, queue, id);
    // First the logs: were they left behind alone, a later message with the same id would be said to have bounced.
    // Those of requeued mail say who failed: pickup tells the sender.
    if (action->letter == 'd' && exists(ps, queue, id))
        postsuper_remove_logs(ps, id);
    int rc = act_in_queue(ps, action, queue, id, &err);
    if (rc < 0)
        log_warn(STR_FMT ": %s", STR_ARG(id), err.kind ? err.text : strerror(errno));
    if (rc != 1)
        return false;
    if (is_said)
        log_info(STR_FMT ": %s", STR_ARG(id), action->done);
    ps->done[(unsigned char)action->letter]++;
    return true;
}

static void act_on_id(struct postsuper *ps, const struct postsuper_action *action, struct str id)
{
    for (const char *const *queue = action->from; *queue != NULL; queue++)
        if (postsuper_queue_is_selected(ps, *queue) && postsuper_act_in(ps, action, *queue, id, true))
            return; // an id is in one queue
}

void postsuper_act(struct postsuper *ps, char letter, struct str id)
{
    if (!queue_id_is_valid(id)) {
        log_warn("invalid mail queue id: " STR_FMT, STR_ARG(id));
        return;
    }
    act_on_id(ps, postsuper_find_action(letter), id);
    if (letter == 'f' && !ps->is_dry_run)
        act_on_id(ps, postsuper_find_action('H'), id);
}

void postsuper_expect(struct postsuper *ps, char letter)
{
    ps->is_expected[(unsigned char)letter] = true;
    if (letter == 'f')
        ps->is_expected['H'] = true;
}

void postsuper_summarize(const struct postsuper *ps)
{
    static const char order[] = "rdefhH";
    for (const char *letter = order; *letter; letter++) {
        unsigned count = ps->done[(unsigned char)*letter];
        if (ps->is_expected[(unsigned char)*letter])
            log_info("%s: %u message%s", postsuper_find_action(*letter)->summary, count, count == 1 ? "" : "s");
    }
}
