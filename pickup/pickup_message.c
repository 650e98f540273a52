// SPDX-License-Identifier: ISC
// pickup_message.c: one maildrop file's records become a submission.
//
// Trust: the file was written by postdrop for any local user, or was requeued by postsuper; records are checked again
// here.
// Limits: PICKUP_RECIPIENTS_MAX, PICKUP_ATTRIBUTES_MAX.
#include <unistd.h>

#include "lib/mail/queue_file.h"
#include "pickup/pickup.h"

#define PICKUP_RECIPIENTS_MAX 1000000
#define PICKUP_ATTRIBUTES_MAX 1000

enum segment { SEGMENT_ENVELOPE, SEGMENT_CONTENT, SEGMENT_EXTRACTED, SEGMENT_END };

struct message_reader {
    struct arena *arena;
    struct pickup_message *message;
    enum segment segment;
    struct submit_recipient *recipients;
    struct submit_attr *attrs;
    size_t recipient_count, recipient_capacity, done_count, attr_count;
    struct str dsn_orcpt; // for the next recipient
    int notify;
    bool has_sender;
    long uid;
};

static int malformed(const struct message_reader *r, char type, struct err *err)
{
    return err_set(err, ERR_PERMANENT, "uid=%ld: unexpected or malformed record type %d", r->uid, type);
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\0' || s.ptr[i] == '\n' || s.ptr[i] == '\r')
            return true;
    return false;
}

static int add_recipient(struct message_reader *r, struct str address, struct err *err)
{
    if (r->recipient_count >= PICKUP_RECIPIENTS_MAX)
        return err_set(err, ERR_PERMANENT, "uid=%ld: more than %d recipients", r->uid, PICKUP_RECIPIENTS_MAX);
    if (r->recipient_count == r->recipient_capacity) {
        r->recipient_capacity = r->recipient_capacity ? r->recipient_capacity * 2 : 16;
        r->recipients = mem_realloc(r->recipients, r->recipient_capacity * sizeof(*r->recipients));
    }
    r->recipients[r->recipient_count++] =
        (struct submit_recipient){arena_str(r->arena, address), r->dsn_orcpt, r->notify};
    return 0;
}

// What belongs to the next recipient is over after it, done or not.
static int take_recipient(struct message_reader *r, const struct record *record, struct err *err)
{
    int status = 0;
    if (!r->has_sender)
        return malformed(r, record->type, err);
    if (record->type == REC_RCPT && record->data.len > 0)
        status = add_recipient(r, record->data, err);
    r->done_count += record->type != REC_RCPT;
    r->dsn_orcpt = STR("");
    r->notify = 0;
    return status;
}

static bool take_number(struct str value, int max, int *number_r)
{
    int64_t n;
    if (str_to_i64(value, &n) != 0 || n < 0 || n > max)
        return false;
    *number_r = (int)n;
    return true;
}

// Attributes with a place of their own in the submission. True when it was one.
static bool take_known_attribute(struct message_reader *r, struct str name, struct str value)
{
    struct submit_envelope *e = &r->message->envelope;
    if (str_is(name, STR("notify_flags")))
        return take_number(value, 15, &r->notify) || true;
    if (str_is(name, STR("ret_flags")))
        return take_number(value, 2, &e->ret_flags) || true;
    if (str_is(name, STR("trace_flags")))
        return take_number(value, 2047, &e->trace_flags) || true;
    if (str_is(name, STR("dsn_orig_rcpt"))) {
        r->dsn_orcpt = arena_str(r->arena, value);
        return true;
    }
    if (str_is(name, STR("envelope_id"))) {
        e->envelope_id = arena_str(r->arena, value);
        return true;
    }
    return str_is(name, STR("message_id")); // found again by cleanup
}

static int take_attribute(struct message_reader *r, const struct record *record, struct err *err)
{
    struct str name, value = record->data;
    if (!str_cut(&value, '=', &name) || name.len == 0)
        return malformed(r, record->type, err);
    if (take_known_attribute(r, name, value))
        return 0;
    bool is_sure =
        str_is(name, STR("rewrite_context")) || str_is(name, STR("encoding")) || str_is(name, STR("create_time"));
    // Client attributes count only in mail that has been through cleanup; those of the extracted segment are made
    // again.
    if (r->segment == SEGMENT_EXTRACTED || (!is_sure && !r->message->is_requeued))
        return 0;
    if (r->attr_count >= PICKUP_ATTRIBUTES_MAX)
        return err_set(err, ERR_PERMANENT, "uid=%ld: more than %d attributes", r->uid, PICKUP_ATTRIBUTES_MAX);
    if (r->attrs == NULL)
        r->attrs = ARENA_ARRAY(r->arena, struct submit_attr, PICKUP_ATTRIBUTES_MAX + 1);
    r->attrs[r->attr_count++] = (struct submit_attr){arena_cstr(r->arena, name), arena_str(r->arena, value)};
    return 0;
}

static void take_time(struct message_reader *r, struct str text)
{
    struct str rest = text, field;
    int64_t seconds = 0, micros = 0;
    if (!str_token(&rest, " ", &field) || str_to_i64(field, &seconds) != 0)
        return;
    if (str_token(&rest, " ", &field) && (str_to_i64(field, &micros) != 0 || micros < 0 || micros > 999999))
        micros = 0;
    if (seconds > 0 && seconds < INT64_MAX / 2000000)
        r->message->envelope.arrival_us = seconds * 1000000 + micros;
}

static void take_options(struct message_reader *r, struct str text)
{
    struct str rest = text, field;
    int64_t value = 0;
    int i;
    for (i = 0; i < 6; i++)
        if (!str_token(&rest, " ", &field) || str_to_i64(field, &value) != 0)
            return;
    r->message->envelope.sendopts = (int)(value & 0xff);
}

static int take_envelope(struct message_reader *r, const struct record *record, struct err *err)
{
    struct submit_envelope *e = &r->message->envelope;
    switch (record->type) {
    case REC_TIME:
        take_time(r, record->data);
        return 0;
    case REC_SIZE:
        take_options(r, record->data);
        return 0;
    case REC_FULLNAME:
        e->fullname = arena_str(r->arena, record->data);
        return 0;
    case REC_VERP:
        e->verp = arena_str(r->arena, record->data);
        return 0;
    case REC_FROM:
        if (r->has_sender)
            return malformed(r, record->type, err);
        e->sender = arena_str(r->arena, record->data);
        r->has_sender = true;
        return 0;
    case REC_MESSAGE:
        r->segment = SEGMENT_CONTENT;
        r->message->data_offset = record->offset + (int64_t)record->size;
        return 0;
    default:
        return malformed(r, record->type, err);
    }
}

// Records that count in both segments, or are dropped: filters and redirections are decided anew, pointers were
// followed.
static int take_common(struct message_reader *r, const struct record *record, struct err *err)
{
    switch (record->type) {
    case REC_ATTR:
        return take_attribute(r, record, err);
    case REC_RCPT:
    case REC_DONE:
    case REC_DROPPED:
        return take_recipient(r, record, err);
    default:
        return 0;
    }
}

static bool is_common(char type)
{
    static const char types[] = {REC_ATTR,   REC_RCPT,     REC_DONE,      REC_DROPPED, REC_ORCPT,   REC_WARN,
                                 REC_KILLED, REC_FILTER,   REC_REDIRECT,  REC_POINTER, REC_INSPECT, REC_RETURN,
                                 REC_PAD,    REC_PRIORITY, REC_ERRORS_TO, '\0'};
    return type != '\0' && strchr(types, type) != NULL;
}

static int take_record(struct message_reader *r, const struct record *record, struct err *err)
{
    if (r->segment == SEGMENT_CONTENT) {
        if (record->type == REC_EXTRACTED)
            r->segment = SEGMENT_EXTRACTED;
        else if (record->type != REC_NORM && record->type != REC_CONT && record->type != REC_PAD &&
                 record->type != REC_POINTER)
            return malformed(r, record->type, err);
        return 0;
    }
    if (has_control(record->data))
        return malformed(r, record->type, err);
    if (is_common(record->type))
        return take_common(r, record, err);
    if (r->segment == SEGMENT_ENVELOPE)
        return take_envelope(r, record, err);
    if (record->type != REC_END)
        return malformed(r, record->type, err);
    r->segment = SEGMENT_END;
    return 0;
}

static int walk(struct message_reader *r, int fd, struct err *err)
{
    struct record record;
    struct record_walk *w = record_walk_open(fd, 0, true, err);
    int status = w == NULL ? -1 : 0;
    while (status == 0 && r->segment != SEGMENT_END) {
        int got = record_walk_next(w, &record, err);
        if (got < 0)
            status = -1;
        else if (got == 0)
            status = err_set(err, ERR_PERMANENT, "uid=%ld: file ends without an end record", r->uid);
        else
            status = take_record(r, &record, err);
    }
    if (w != NULL)
        record_walk_close(w);
    return status;
}

bool pickup_is_requeued(const struct stat *st)
{
    return (st->st_mode & S_IROTH) == 0 && st->st_uid == geteuid();
}

int pickup_message_read(int fd, const struct stat *st, struct arena *arena, struct pickup_message *m_r, struct err *err)
{
    struct message_reader r = {.arena = arena, .message = m_r, .dsn_orcpt = STR(""), .uid = (long)st->st_uid};
    *m_r = (struct pickup_message){.is_requeued = pickup_is_requeued(st)};
    struct submit_envelope *e = &m_r->envelope;
    e->sender = e->fullname = e->envelope_id = e->verp = e->filter = e->redirect = STR("");
    int status = walk(&r, fd, err);
    bool is_done = m_r->is_requeued && r.done_count > 0; // while it was taken from a delivery
    if (status == 0 && r.recipient_count == 0 && !is_done)
        status = err_set(err, ERR_PERMANENT, "uid=%ld: no recipients", r.uid);
    if (status == 0 && r.recipient_count > 0) {
        struct submit_recipient *copy = ARENA_ARRAY(arena, struct submit_recipient, r.recipient_count);
        memcpy(copy, r.recipients, r.recipient_count * sizeof(*copy));
        e->recipients = copy;
        e->recipient_count = r.recipient_count;
    }
    e->attrs = r.attrs;
    e->attr_count = r.attr_count;
    mem_free(r.recipients);
    return status;
}
