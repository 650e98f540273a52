// SPDX-License-Identifier: ISC
// queue_envelope.c: reading the envelope and the recipients of a queue file, without its content.
// Trust: the file may be garbage: whatever does not fit is corrupt. Limits: RECORD_MAX a record.
#include <errno.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"

enum segment { IN_ENVELOPE, IN_CONTENT, IN_EXTRACTED, AT_END };

struct envelope_reading {
    struct record_walk *walk;
    struct arena *arena;
    struct queue_envelope *out;
    enum segment segment;
    size_t recipient_limit;
    size_t recipient_room, attr_room;
    struct queue_recipient pending; // what stands before an R record
    int64_t pending_at;             // offset of the first record of this recipient, or -1
    bool has_size, has_sender, is_full;
};

static int corrupt(struct err *err, const char *what, int64_t offset)
{
    return err_set(err, ERR_PERMANENT, "%s at offset %lld of the queue file", what, (long long)offset);
}

static struct str keep(struct envelope_reading *r, struct str s)
{
    return arena_str(r->arena, s);
}

// ---- Growing arrays: doubled in the arena, so that what is lost is bounded by what is kept.

static void *grown(struct arena *arena, void *old, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return old;
    *room = *room ? *room * 2 : 8;
    void *fresh = arena_alloc(arena, *room * size);
    if (count > 0)
        memcpy(fresh, old, count * size);
    return fresh;
}

// ---- Single records

static int read_size(struct envelope_reading *r, const struct record *record, struct err *err)
{
    int64_t *fields[] = {&r->out->message_size, &r->out->data_offset,    &r->out->recipient_count,
                         &r->out->qmgr_flags,   &r->out->content_length, &r->out->sendopts};
    struct str rest = record->data, word;
    size_t n = 0;
    while (n < sizeof fields / sizeof fields[0] && str_token(&rest, " ", &word)) {
        if (str_to_i64(word, fields[n]) < 0 || *fields[n] < 0)
            return corrupt(err, "malformed size record", record->offset);
        n++;
    }
    if (n == 0)
        return corrupt(err, "malformed size record", record->offset);
    if (n < 5)
        r->out->content_length = r->out->message_size;
    r->has_size = n >= 2;
    return 0;
}

static int read_time(struct envelope_reading *r, const struct record *record, struct err *err)
{
    struct str rest = record->data, word;
    r->out->arrival_us = 0;
    if (!str_token(&rest, " ", &word) || str_to_i64(word, &r->out->arrival_s) < 0 ||
        (str_token(&rest, " ", &word) && str_to_i64(word, &r->out->arrival_us) < 0))
        return corrupt(err, "malformed time record", record->offset);
    return 0;
}

static int read_warn_time(struct envelope_reading *r, const struct record *record, struct err *err)
{
    if (str_to_i64(str_trim(record->data), &r->out->warn_time) < 0)
        return corrupt(err, "malformed warning time record", record->offset);
    r->out->warn_offset = record->offset + (int64_t)(record->size - record->data.len);
    return 0;
}

static int small_number(struct str value, int *number_r)
{
    int64_t number;
    if (str_to_i64(value, &number) < 0 || number < 0 || number > 65535)
        return -1;
    *number_r = (int)number;
    return 0;
}

static void add_attr(struct envelope_reading *r, struct str name, struct str value)
{
    struct queue_envelope *e = r->out;
    e->attrs = grown(r->arena, e->attrs, e->attr_count, &r->attr_room, sizeof *e->attrs);
    e->attrs[e->attr_count++] = (struct queue_attr){keep(r, name), keep(r, value)};
}

static int read_attr(struct envelope_reading *r, const struct record *record, struct err *err)
{
    struct queue_envelope *e = r->out;
    struct str value = record->data, name;
    int rc = 0;
    if (!str_cut(&value, '=', &name))
        return corrupt(err, "malformed attribute", record->offset);
    if (str_is(name, STR("dsn_orig_rcpt")))
        r->pending.dsn_orcpt = keep(r, value);
    else if (str_is(name, STR("notify_flags")))
        rc = small_number(value, &r->pending.notify);
    else if (str_is(name, STR("ret_flags")))
        rc = small_number(value, &e->ret_flags);
    else if (str_is(name, STR("create_time")))
        rc = str_to_i64(value, &e->create_time);
    else if (str_is(name, STR("encoding")))
        e->encoding = keep(r, value);
    else if (str_is(name, STR("envelope_id")))
        e->envelope_id = keep(r, value);
    else if (str_is(name, STR("trace_flags"))) {
        rc = small_number(value, &e->trace_flags);
        e->trace_flags_offset = record->offset;
    } else
        add_attr(r, name, value);
    return rc < 0 ? corrupt(err, "malformed attribute value", record->offset) : 0;
}

static void end_recipient(struct envelope_reading *r)
{
    r->pending = (struct queue_recipient){.original = STR(""), .dsn_orcpt = STR("")};
    r->pending_at = -1;
}

static void read_recipient(struct envelope_reading *r, const struct record *record)
{
    struct queue_envelope *e = r->out;
    if (r->recipient_limit > 0 && e->recipient_count_read == r->recipient_limit) {
        e->next_recipient_offset = r->pending_at >= 0 ? r->pending_at : record->offset;
        r->is_full = true;
        return;
    }
    e->recipients = grown(r->arena, e->recipients, e->recipient_count_read, &r->recipient_room, sizeof *e->recipients);
    r->pending.address = keep(r, record->data);
    r->pending.offset = record->offset;
    e->recipients[e->recipient_count_read++] = r->pending;
    end_recipient(r);
}

// After M: the size record says where the content ends; when it lies, the content is walked through.
static int skip_content(struct envelope_reading *r, struct err *err)
{
    struct record record;
    int64_t after = 0;
    if (r->has_size && r->out->data_offset > 0 &&
        !__builtin_add_overflow(r->out->data_offset, r->out->message_size, &after)) {
        struct err ignored;
        struct record_walk *trial = r->walk;
        int64_t back = record_walk_tell(trial);
        record_walk_seek(trial, after);
        if (after >= back && record_walk_next(trial, &record, &ignored) > 0 && record.type == REC_EXTRACTED)
            return 0;
        record_walk_seek(trial, back);
    }
    for (;;) {
        int rc = record_walk_next(r->walk, &record, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return corrupt(err, "no end of the message content", record_walk_tell(r->walk));
        if (record.type == REC_EXTRACTED)
            return 0;
        if (record.type != REC_NORM && record.type != REC_CONT && record.type != REC_PAD)
            return corrupt(err, "unexpected record in the message content", record.offset);
    }
}

// ---- Dispatch

static int take_other(struct envelope_reading *r, const struct record *record, struct err *err)
{
    struct queue_envelope *e = r->out;
    switch (record->type) {
    case REC_FILTER:
        e->filter = keep(r, record->data);
        return 0;
    case REC_REDIRECT:
        e->redirect = keep(r, record->data);
        return 0;
    case REC_VERP:
        e->verp = keep(r, record->data);
        return 0;
    case REC_FULLNAME:
        e->fullname = keep(r, record->data);
        return 0;
    case REC_TIME:
        return read_time(r, record, err);
    case REC_WARN:
        return read_warn_time(r, record, err);
    case REC_SIZE:
        return record->offset == 0 ? 0 : read_size(r, record, err); // the one at the start was read before
    case REC_KILLED:
    case REC_RETURN:
    case REC_ERRORS_TO:
    case REC_PRIORITY:
    case REC_INSPECT:
    case REC_CREATE:
    case REC_POINTER:
    case REC_FLAGS:
    case REC_DELAY:
    case REC_MILTER_COUNT:
    case REC_DSN_RET:
    case REC_DSN_ENVID:
    case REC_PAD:
        return 0;
    default:
        return corrupt(err, "unknown record type", record->offset);
    }
}

static int take_record(struct envelope_reading *r, const struct record *record, struct err *err)
{
    switch (record->type) {
    case REC_FROM:
        r->out->sender = keep(r, record->data);
        r->has_sender = true;
        return 0;
    case REC_ATTR:
        if (r->pending_at < 0 &&
            (str_starts(record->data, STR("dsn_orig_rcpt=")) || str_starts(record->data, STR("notify_flags="))))
            r->pending_at = record->offset;
        return read_attr(r, record, err);
    case REC_ORCPT:
        if (r->pending_at < 0)
            r->pending_at = record->offset;
        r->pending.original = keep(r, record->data);
        return 0;
    case REC_RCPT:
        read_recipient(r, record);
        return 0;
    case REC_DONE:
    case REC_DROPPED:
        end_recipient(r);
        return 0;
    case REC_MESSAGE:
        r->segment = IN_EXTRACTED;
        if (r->out->data_offset <= 0) // a maildrop file: its size record, if any, tells no offset
            r->out->data_offset = record->offset + (int64_t)record->size;
        return skip_content(r, err);
    case REC_EXTRACTED: // when reading went on behind the content
        r->segment = IN_EXTRACTED;
        return 0;
    case REC_END:
        r->segment = AT_END;
        return 0;
    default:
        return take_other(r, record, err);
    }
}

static int read_all(struct envelope_reading *r, struct err *err)
{
    struct record record;
    while (r->segment != AT_END && !r->is_full) {
        int rc = record_walk_next(r->walk, &record, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return corrupt(err, "no end record", record_walk_tell(r->walk));
        if (take_record(r, &record, err) < 0)
            return -1;
    }
    return 0;
}

static int read_first_size(struct envelope_reading *r, struct err *err)
{
    struct record record;
    int rc = record_walk_next(r->walk, &record, err);
    if (rc == 0)
        return err_set(err, ERR_PERMANENT, "queue file is empty");
    if (rc < 0 || (record.type == REC_SIZE && read_size(r, &record, err) < 0))
        return -1;
    return 0;
}

int queue_envelope_read(int fd, struct arena *arena, size_t recipient_limit, int64_t from_offset,
                        struct queue_envelope *envelope_r, struct err *err)
{
    *envelope_r = (struct queue_envelope){.sender = STR(""),
                                          .filter = STR(""),
                                          .redirect = STR(""),
                                          .verp = STR(""),
                                          .fullname = STR(""),
                                          .encoding = STR(""),
                                          .envelope_id = STR("")};
    struct envelope_reading r = {.arena = arena, .out = envelope_r, .recipient_limit = recipient_limit};
    end_recipient(&r);
    r.walk = record_walk_open(fd, 0, true, err);
    if (r.walk == NULL)
        return -1;
    int rc = read_first_size(&r, err);
    if (rc == 0) {
        record_walk_seek(r.walk, from_offset > 0 ? from_offset : 0);
        rc = read_all(&r, err);
    }
    if (rc == 0 && from_offset <= 0 && !r.has_sender)
        rc = err_set(err, ERR_PERMANENT, "no sender in the queue file");
    record_walk_close(r.walk);
    return rc;
}

struct str queue_envelope_attr(const struct queue_envelope *e, const char *name)
{
    for (size_t i = 0; i < e->attr_count; i++)
        if (str_is(e->attrs[i].name, str_from(name)))
            return e->attrs[i].value;
    return STR("");
}

int queue_recipient_mark_done(int fd, int64_t offset, struct err *err)
{
    char type = REC_DONE;
    if (offset <= 0)
        return err_set(err, ERR_BUG, "no recipient at offset %lld", (long long)offset);
    ssize_t done;
    do
        done = pwrite(fd, &type, 1, (off_t)offset);
    while (done < 0 && errno == EINTR);
    return done == 1 ? 0 : err_errno(err, "mark a recipient done");
}
