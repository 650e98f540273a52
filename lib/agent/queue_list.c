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

static struct str printable(struct queue_list_teller *t, struct str text)
{
    buf_clear(&t->clean);
    buf_add_printable(&t->clean, text, 4096);
    return arena_str(&t->arena, buf_str(&t->clean));
}

// Quoted as in mail.
static struct str shown_address(struct queue_list_teller *t, struct str address)
{
    buf_clear(&t->clean);
    if (address.len)
        address_add_log(&t->clean, address);
    return arena_str(&t->arena, buf_str(&t->clean));
}

static int tell_recipient(struct queue_list_teller *t, const struct bounce_entry *e, const char *kind)
{
    struct queue_list_recipient r = {
        .original = shown_address(t, e->original_recipient),
        .address = shown_address(t, e->recipient),
        .reason = str_trim(printable(t, e->reason)),
        .reason_kind = str_from(kind),
        .status = printable(t, e->status),
    };
    return t->sink->recipient(t->sink->arg, &r);
}

// ---- Reasons: recipients in the logs come first, then those of the file that no log speaks of

static int read_log(struct queue_list_teller *t, const char *which, struct str id, struct buf *text)
{
    struct err err = ERR_INIT;
    buf_clear(text);
    int fd = queue_file_open(AT_FDCWD, t->layout, which, id, O_RDONLY, &err);
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

static void note_told(struct queue_list_teller *t, struct str address)
{
    if (t->told_first.ptr == NULL)
        t->told_first = address;
    else
        map_set(&t->told, address, t);
}

static bool is_told(const struct queue_list_teller *t, struct str address)
{
    return (t->told_first.ptr != NULL && str_is(t->told_first, address)) || map_get(&t->told, address) != NULL;
}

static int tell_log(struct queue_list_teller *t, const char *which, struct str id)
{
    bool is_defer = strcmp(which, QUEUE_DEFER) == 0;
    struct bounce_entry e;
    int rc = 0;
    if (read_log(t, which, id, &t->log) == 0) {
        struct str rest = buf_str(&t->log);
        for (size_t n = 0; rc == 0 && n < LIST_RECIPIENTS_MAX && bounce_log_next(&rest, is_defer, &t->arena, &e) == 1;
             n++) {
            note_told(t, e.recipient);
            if (str_is(e.original_recipient, e.recipient))
                e.original_recipient = STR("");
            rc = tell_recipient(t, &e, is_defer ? "delay_reason" : "bounce_reason");
        }
    }
    return rc;
}

static int tell_recipients(struct queue_list_teller *t, struct str queue, struct str id, struct queue_recipient *items,
                           size_t count)
{
    bool has_logs = !t->skips_logs && !str_is(queue, STR(QUEUE_MAILDROP));
    int rc = has_logs ? tell_log(t, QUEUE_DEFER, id) : 0;
    if (rc == 0 && has_logs && t->has_bounce_logs)
        rc = tell_log(t, QUEUE_BOUNCE, id);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct bounce_entry e = {.original_recipient = items[i].original, .recipient = items[i].address};
        if (!is_told(t, items[i].address))
            rc = tell_recipient(t, &e, "");
    }
    t->told_first = STR_NULL;
    map_release(&t->told);
    t->told = MAP_INIT;
    return rc;
}

// ---- One file

// Submissions have no size record: sender and recipients as they stand.
static int tell_maildrop(struct queue_list_teller *t, int fd, struct queue_list_message *m)
{
    struct err err = ERR_INIT;
    struct record r;
    struct queue_recipient *items = ARENA_ARRAY(&t->arena, struct queue_recipient, LIST_RECIPIENTS_MAX / 50);
    size_t count = 0;
    struct record_walk *walk = record_walk_open(fd, 0, false, &err);
    struct str time;
    while (walk != NULL && record_walk_next(walk, &r, &err) == 1) {
        if (r.type == REC_FROM)
            m->sender = shown_address(t, r.data);
        else if (r.type == REC_TIME && str_token(&r.data, " ", &time))
            (void)!str_to_i64(time, &m->arrival_s);
        else if (r.type == REC_RCPT && count < LIST_RECIPIENTS_MAX / 50)
            items[count++] = (struct queue_recipient){
                .address = arena_str(&t->arena, r.data), .original = STR(""), .offset = r.offset};
    }
    record_walk_close(walk);
    if (t->sink->message(t->sink->arg, m) < 0)
        return -1;
    return tell_recipients(t, m->queue, m->id, items, count);
}

static int tell_message(struct queue_list_teller *t, int fd, struct queue_list_message *m)
{
    struct queue_envelope envelope;
    struct err err = ERR_INIT;
    if (queue_envelope_read(fd, &t->arena, LIST_RECIPIENTS_MAX, 0, &envelope, &err) < 0)
        return 0; // damaged, or gone meanwhile
    m->sender = shown_address(t, envelope.sender);
    m->size = envelope.message_size;
    if (envelope.arrival_s > 0)
        m->arrival_s = envelope.arrival_s;
    if (t->sink->message(t->sink->arg, m) < 0)
        return -1;
    return tell_recipients(t, m->queue, m->id, envelope.recipients, envelope.recipient_count_read);
}

// Takes the descriptor.
static int tell_file(struct queue_list_teller *t, struct str queue, struct str id, int fd)
{
    struct stat st;
    int rc = 0;
    if (fd < 0)
        return 0; // gone meanwhile
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & MODE_OWNER) == QUEUE_MODE_READY) {
        struct queue_list_message m = {
            .queue = queue,
            .id = arena_str(&t->arena, id),
            .sender = STR(""),
            .arrival_s = st.st_mtime,
            .size = st.st_size,
            .is_forced_to_expire = (st.st_mode & MODE_EXPIRED) != 0,
        };
        rc = str_is(queue, STR(QUEUE_MAILDROP)) ? tell_maildrop(t, fd, &m) : tell_message(t, fd, &m);
    }
    close(fd);
    arena_reset(&t->arena);
    return rc;
}

void queue_list_teller_init(struct queue_list_teller *t, const struct queue_layout *layout,
                            const struct queue_list_sink *sink)
{
    *t = (struct queue_list_teller){
        .layout = layout, .sink = sink, .arena = ARENA_INIT, .clean = BUF_INIT, .log = BUF_INIT, .told = MAP_INIT};
    t->has_bounce_logs = !queue_is_empty(AT_FDCWD, QUEUE_BOUNCE); // mostly nobody needs to look for one
}

int queue_list_teller_tell(struct queue_list_teller *t, const char *path)
{
    const char *first = strchr(path, '/'), *last = strrchr(path, '/');
    if (first == NULL)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return tell_file(t, str_of(path, (size_t)(first - path)), str_from(last + 1), fd);
}

void queue_list_teller_release(struct queue_list_teller *t)
{
    arena_release(&t->arena);
    buf_release(&t->clean);
    buf_release(&t->log);
}

// ---- All files

struct queue_list_names {
    struct queue_scan *scan; // of the queue in hand, or NULL
    size_t next_queue;
};

struct queue_list_names *queue_list_names_open(void)
{
    return MEM_NEW(struct queue_list_names);
}

int queue_list_names_next(struct queue_list_names *n, struct buf *path, struct err *err)
{
    static const char *const queues[] = {QUEUE_MAILDROP, QUEUE_ACTIVE, QUEUE_INCOMING, QUEUE_DEFERRED, QUEUE_HOLD};
    struct str id;
    for (;;) {
        if (n->scan == NULL && n->next_queue == sizeof queues / sizeof queues[0])
            return 0;
        if (n->scan == NULL && (n->scan = queue_scan_open(AT_FDCWD, queues[n->next_queue++], err)) == NULL)
            return -1;
        int rc = queue_scan_next(n->scan, &id, err);
        if (rc == 1)
            queue_scan_add_path(n->scan, id, path);
        if (rc != 0)
            return rc;
        queue_scan_close(n->scan);
        n->scan = NULL;
    }
}

void queue_list_names_close(struct queue_list_names *n)
{
    queue_scan_close(n->scan);
    mem_free(n);
}

int queue_list_walk(const struct queue_layout *layout, const struct queue_list_sink *sink, struct err *err)
{
    struct queue_list_names *names = queue_list_names_open();
    struct queue_list_teller t;
    struct buf path = BUF_INIT;
    int rc;
    queue_list_teller_init(&t, layout, sink);
    while ((rc = queue_list_names_next(names, &path, err)) == 1) {
        if (queue_list_teller_tell(&t, buf_cstr(&path)) < 0) {
            rc = err_set(err, ERR_CANCELLED, "the listing was given up");
            break;
        }
        buf_clear(&path);
    }
    queue_list_teller_release(&t);
    queue_list_names_close(names);
    buf_release(&path);
    return rc;
}

int queue_list_envelopes(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue,
                         struct err *err)
{
    struct str id;
    struct queue_list_teller t;
    struct queue_scan *names = queue_scan_open(AT_FDCWD, queue, err);
    int rc;
    if (names == NULL)
        return -1;
    queue_list_teller_init(&t, layout, sink);
    t.skips_logs = true;
    while ((rc = queue_scan_next(names, &id, err)) == 1) {
        int fd = openat(queue_scan_dirfd(names), id.ptr, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (tell_file(&t, str_from(queue), id, fd) < 0) {
            rc = err_set(err, ERR_CANCELLED, "the listing was given up");
            break;
        }
    }
    queue_list_teller_release(&t);
    queue_scan_close(names);
    return rc;
}

int queue_list_file(const struct queue_layout *layout, const struct queue_list_sink *sink, const char *queue,
                    struct str id)
{
    struct queue_list_teller t;
    struct err err = ERR_INIT;
    queue_list_teller_init(&t, layout, sink);
    int rc = tell_file(&t, str_from(queue), id, queue_file_open(AT_FDCWD, layout, queue, id, O_RDONLY, &err));
    queue_list_teller_release(&t);
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
