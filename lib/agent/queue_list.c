// SPDX-License-Identifier: ISC
// queue_list.c: walking all queues for people, and the frames that carry the result.
// Trust: queue files may be garbage; control characters are made visible before anything leaves here.
#include "lib/agent/queue_list.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/map.h"
#include "lib/mail/address.h"
#include "lib/mail/bounce_log.h"

enum { LOG_MAX = 4 * 1024 * 1024, LOG_PIECE = 16 * 1024, MODE_EXPIRED = 0010, MODE_OWNER = 0700 };

struct list_walk {
    const struct queue_layout *layout;
    const struct queue_list_sink *sink;
    struct arena arena; // reset for each message
    struct buf clean, log;
    // Addresses that a log spoke of: the first, and the others. Most messages have one.
    struct str told_first;
    struct map told;
    bool skips_logs, has_bounce_logs;
};

static struct str printable(struct list_walk *w, struct str text)
{
    buf_clear(&w->clean);
    buf_add_printable(&w->clean, text, 4096);
    return arena_str(&w->arena, buf_str(&w->clean));
}

// Quoted as in mail.
static struct str shown_address(struct list_walk *w, struct str address)
{
    buf_clear(&w->clean);
    if (address.len)
        address_add_log(&w->clean, address);
    return arena_str(&w->arena, buf_str(&w->clean));
}

static int tell_recipient(struct list_walk *w, const struct bounce_entry *e, const char *kind)
{
    struct queue_list_recipient r = {
        .original = shown_address(w, e->original_recipient),
        .address = shown_address(w, e->recipient),
        .reason = str_trim(printable(w, e->reason)),
        .reason_kind = str_from(kind),
        .status = printable(w, e->status),
    };
    return w->sink->recipient(w->sink->arg, &r);
}

// ---- Reasons: recipients in the logs come first, then those of the file that no log speaks of

static int read_log(struct list_walk *w, const char *which, struct str id, struct buf *text)
{
    struct err err = ERR_INIT;
    buf_clear(text);
    int fd = queue_file_open(AT_FDCWD, w->layout, which, id, O_RDONLY, &err);
    if (fd < 0)
        return -1;
    ssize_t n = LOG_PIECE;
    while (n == LOG_PIECE && text->len < LOG_MAX) { // a short read is the end of a file
        buf_reserve(text, LOG_PIECE + 1);
        n = read(fd, text->ptr + text->len, LOG_PIECE);
        if (n > 0)
            text->len += (size_t)n;
    }
    text->ptr[text->len] = '\0';
    close(fd);
    return n < 0 ? -1 : 0;
}

static void note_told(struct list_walk *w, struct str address)
{
    if (w->told_first.ptr == NULL)
        w->told_first = address;
    else
        map_set(&w->told, address, w);
}

static bool is_told(const struct list_walk *w, struct str address)
{
    return (w->told_first.ptr != NULL && str_is(w->told_first, address)) || map_get(&w->told, address) != NULL;
}

static int tell_log(struct list_walk *w, const char *which, struct str id)
{
    bool is_defer = strcmp(which, QUEUE_DEFER) == 0;
    struct bounce_entry e;
    int rc = 0;
    if (read_log(w, which, id, &w->log) == 0) {
        struct str rest = buf_str(&w->log);
        for (size_t n = 0; rc == 0 && n < LIST_RECIPIENTS_MAX && bounce_log_next(&rest, is_defer, &w->arena, &e) == 1;
             n++) {
            note_told(w, e.recipient);
            if (str_is(e.original_recipient, e.recipient))
                e.original_recipient = STR("");
            rc = tell_recipient(w, &e, is_defer ? "delay_reason" : "bounce_reason");
        }
    }
    return rc;
}

static int tell_recipients(struct list_walk *w, struct str queue, struct str id, struct queue_recipient *items,
                           size_t count)
{
    bool has_logs = !w->skips_logs && !str_is(queue, STR(QUEUE_MAILDROP));
    int rc = has_logs ? tell_log(w, QUEUE_DEFER, id) : 0;
    if (rc == 0 && has_logs && w->has_bounce_logs)
        rc = tell_log(w, QUEUE_BOUNCE, id);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct bounce_entry e = {.original_recipient = items[i].original, .recipient = items[i].address};
        if (!is_told(w, items[i].address))
            rc = tell_recipient(w, &e, "");
    }
    w->told_first = STR_NULL;
    map_release(&w->told);
    w->told = MAP_INIT;
    return rc;
}

// ---- One file

// Submissions have no size record: sender and recipients as they stand.
static int tell_maildrop(struct list_walk *w, int fd, struct queue_list_message *m)
{
    struct err err = ERR_INIT;
    struct record r;
    struct queue_recipient *items = ARENA_ARRAY(&w->arena, struct queue_recipient, LIST_RECIPIENTS_MAX / 50);
    size_t count = 0;
    struct record_walk *walk = record_walk_open(fd, 0, false, &err);
    struct str time;
    while (walk != NULL && record_walk_next(walk, &r, &err) == 1) {
        if (r.type == REC_FROM)
            m->sender = shown_address(w, r.data);
        else if (r.type == REC_TIME && str_token(&r.data, " ", &time))
            (void)!str_to_i64(time, &m->arrival_s);
        else if (r.type == REC_RCPT && count < LIST_RECIPIENTS_MAX / 50)
            items[count++] = (struct queue_recipient){
                .address = arena_str(&w->arena, r.data), .original = STR(""), .offset = r.offset};
    }
    record_walk_close(walk);
    if (w->sink->message(w->sink->arg, m) < 0)
        return -1;
    return tell_recipients(w, m->queue, m->id, items, count);
}

static int tell_message(struct list_walk *w, int fd, struct queue_list_message *m)
{
    struct queue_envelope envelope;
    struct err err = ERR_INIT;
    if (queue_envelope_read(fd, &w->arena, LIST_RECIPIENTS_MAX, 0, &envelope, &err) < 0)
        return 0; // damaged, or gone meanwhile
    m->sender = shown_address(w, envelope.sender);
    m->size = envelope.message_size;
    if (envelope.arrival_s > 0)
        m->arrival_s = envelope.arrival_s;
    if (w->sink->message(w->sink->arg, m) < 0)
        return -1;
    return tell_recipients(w, m->queue, m->id, envelope.recipients, envelope.recipient_count_read);
}

// Takes the descriptor.
static int tell_file(struct list_walk *w, const char *queue, struct str id, int fd)
{
    struct stat st;
    int rc = 0;
    if (fd < 0)
        return 0; // gone meanwhile
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & MODE_OWNER) == QUEUE_MODE_READY) {
        struct queue_list_message m = {
            .queue = str_from(queue),
            .id = arena_str(&w->arena, id),
            .sender = STR(""),
            .arrival_s = st.st_mtime,
            .size = st.st_size,
            .is_forced_to_expire = (st.st_mode & MODE_EXPIRED) != 0,
        };
        rc = strcmp(queue, QUEUE_MAILDROP) == 0 ? tell_maildrop(w, fd, &m) : tell_message(w, fd, &m);
    }
    close(fd);
    arena_reset(&w->arena);
    return rc;
}

static int walk_queue(struct list_walk *w, const char *queue, struct err *err)
{
    struct str id;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, queue, err);
    if (names == NULL)
        return -1;
    int rc;
    w->has_bounce_logs = !queue_is_empty(AT_FDCWD, QUEUE_BOUNCE); // mostly nobody needs to look for one
    while ((rc = queue_scan_next(names, &id, err)) == 1) {
        int fd = openat(queue_scan_dirfd(names), id.ptr, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (tell_file(w, queue, id, fd) < 0) {
            rc = err_set(err, ERR_CANCELLED, "the listing was given up");
            break;
        }
    }
    queue_scan_close(names);
    return rc;
}

static void walk_init(struct list_walk *w, const struct queue_layout *layout, const struct queue_list_sink *sink)
{
    *w = (struct list_walk){.layout = layout, .sink = sink, .arena = ARENA_INIT, .clean = BUF_INIT, .log = BUF_INIT, .told = MAP_INIT};
}

static void walk_release(struct list_walk *w)
{
    arena_release(&w->arena);
    buf_release(&w->clean);
    buf_release(&w->log);
}

int queue_list_walk(const struct queue_layout *layout, const struct queue_list_sink *sink, struct err *err)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_ACTIVE, QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD};
    struct list_walk w;
    int rc = 0;
    walk_init(&w, layout, sink);
    for (size_t i = 0; rc == 0 && i < sizeof queues / sizeof queues[0]; i++)
        rc = walk_queue(&w, queues[i], err);
    walk_release(&w);
    return rc;
}

int queue_list_envelopes(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue,
                         struct err *err)
{
    struct list_walk w;
    walk_init(&w, layout, sink);
    w.skips_logs = true;
    int rc = walk_queue(&w, queue, err);
    walk_release(&w);
    return rc;
}

int queue_list_file(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue, struct str id)
{
    struct list_walk w;
    struct err err = ERR_INIT;
    walk_init(&w, layout, sink);
    w.has_bounce_logs = true;
    int rc = tell_file(&w, queue, id, queue_file_open(AT_FDCWD, layout, queue, id, O_RDONLY, &err));
    walk_release(&w);
    return rc;
}

// ---- Frames

void queue_list_add_message(struct ipc_msg *m, const struct queue_list_message *message)
{
    ipc_begin(m, 0, "message");
    ipc_add_str(m, "queue", message->queue);
    ipc_add_str(m, "id", message->id);
    ipc_add_str(m, "sender", message->sender);
    ipc_add_int(m, "time", message->arrival_s);
    ipc_add_int(m, "size", message->size);
    ipc_add_int(m, "expire", message->is_forced_to_expire);
}

void queue_list_add_more(struct ipc_msg *m)
{
    ipc_begin(m, 0, "more");
}

void queue_list_add_recipient(struct ipc_msg *m, const struct queue_list_recipient *r)
{
    if (r->original.len)
        ipc_add_str(m, "orig", r->original);
    if (r->reason.len) {
        ipc_add_str(m, "kind", r->reason_kind);
        ipc_add_str(m, "reason", r->reason);
    }
    if (r->status.len)
        ipc_add_str(m, "status", r->status);
    ipc_add_str(m, "to", r->address); // ends the recipient
}

static int read_message(const struct ipc_view *view, const struct queue_list_sink *sink, struct err *err)
{
    struct queue_list_message m = {
        .queue = ipc_str_or(view, "queue", STR("")),
        .id = ipc_str_or(view, "id", STR("")),
        .sender = ipc_str_or(view, "sender", STR("")),
        .arrival_s = ipc_int_or(view, "time", 0),
        .size = ipc_int_or(view, "size", 0),
        .is_forced_to_expire = ipc_int_or(view, "expire", 0) == 1,
    };
    if (!queue_id_is_valid(m.id) || !queue_id_is_valid(m.queue))
        return err_set(err, ERR_PROTOCOL, "malformed listing");
    return sink->message(sink->arg, &m);
}

int queue_list_read(const struct ipc_view *view, const struct queue_list_sink *sink, struct err *err)
{
    size_t at = 0;
    struct str name, value;
    const struct queue_list_recipient none = {STR(""), STR(""), STR(""), STR(""), STR("")};
    struct queue_list_recipient r = none;
    if (str_is(view->verb, STR("end")))
        return 0;
    if (str_is(view->verb, STR("message"))) {
        if (read_message(view, sink, err) < 0)
            return -1;
    } else if (!str_is(view->verb, STR("more"))) {
        return err_set(err, ERR_PROTOCOL, "malformed listing");
    }
    while (ipc_next(view, &at, &name, &value)) {
        if (str_is(name, STR("orig"))) {
            r.original = value;
        } else if (str_is(name, STR("kind"))) {
            r.reason_kind = value;
        } else if (str_is(name, STR("reason"))) {
            r.reason = value;
        } else if (str_is(name, STR("status"))) {
            r.status = value;
        } else if (str_is(name, STR("to"))) {
            r.address = value;
            if (sink->recipient(sink->arg, &r) < 0)
                return -1;
            r = none;
        }
    }
    return 1;
}
