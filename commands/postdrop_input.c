// SPDX-License-Identifier: ISC
// postdrop_input.c: decides for each record of a submission whether and how it is stored.
//
// Trust: the input comes from any local user, this program has the rights of setgid_group: only known records and
// attributes with valid values pass; numbers are written anew.
#include "commands/postdrop.h"

void postdrop_input_init(struct postdrop_input *in, int64_t content_limit)
{
    *in = (struct postdrop_input){.content_limit = content_limit};
}

void postdrop_input_release(struct postdrop_input *in)
{
    buf_release(&in->sender);
}

static int bad(struct err *err, const char *what, char type)
{
    err_set(err, ERR_PERMANENT, "%s (record type %d)", what, type);
    return POSTDROP_BAD;
}

static int store_text(struct buf *out, const struct record *r, struct err *err)
{
    if (queue_record_add_text(out, (enum record_type)r->type, r->data) == 0)
        return 0;
    return bad(err, "line break or NUL in an envelope record", r->type);
}

static bool is_number_up_to(struct str text, int64_t max)
{
    int64_t value;
    return str_to_i64(text, &value) == 0 && value >= 0 && value <= max;
}

static bool is_kept_attribute(struct str name, struct str value)
{
    if (str_is(name, STR("encoding")))
        return value.len == 0 || str_is(value, STR("7bit")) || str_is(value, STR("8bit"));
    if (str_is(name, STR("rewrite_context")))
        return str_is(value, STR("local")) || str_is(value, STR("remote"));
    if (str_is(name, STR("trace_flags")))
        return str_is(value, STR("512")) || str_is(value, STR("1024"));
    if (str_is(name, STR("notify_flags")))
        return is_number_up_to(value, 15);
    if (str_is(name, STR("ret_flags")))
        return is_number_up_to(value, 2);
    if (str_is(name, STR("create_time")))
        return is_number_up_to(value, INT64_MAX);
    return str_is(name, STR("envelope_id")) || str_is(name, STR("dsn_orig_rcpt"));
}

static int take_attribute(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    struct str name, value = r->data;
    if (!str_cut(&value, '=', &name) || !is_kept_attribute(name, value)) {
        in->ignored_attributes++;
        return 0;
    }
    return store_text(out, r, err);
}

// Only the options field counts, and only what a sender may ask for.
static int take_options(const struct record *r, struct buf *out, struct err *err)
{
    struct str rest = r->data, field;
    int64_t options = 0;
    for (int i = 0; i < 6; i++)
        if (!str_token(&rest, " ", &field) || str_to_i64(field, &options) != 0)
            return bad(err, "malformed size record", r->type);
    long kept = (long)(options & (1 | 32));
    queue_record_addf(out, REC_SIZE, "%15ld %15ld %15ld %15ld %15ld %15ld", -1L, -1L, -1L, -1L, -1L, kept);
    return 0;
}

static int take_pseudo_attribute(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    const char *name = r->type == REC_DSN_ENVID ? "envelope_id" : "notify_flags";
    if (!is_kept_attribute(str_from(name), r->data)) {
        in->ignored_attributes++;
        return 0;
    }
    if (queue_record_add_attr(out, name, r->data) == 0)
        return 0;
    return bad(err, "line break or NUL in an envelope record", r->type);
}

static int take_sender(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    if (in->has_sender)
        return bad(err, "second sender", r->type);
    int status = store_text(out, r, err);
    buf_clear(&in->sender);
    buf_add_str(&in->sender, r->data);
    in->has_sender = in->is_new_sender = true;
    return status;
}

static int take_recipient(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    if (!in->has_sender)
        return bad(err, "recipient before sender", r->type);
    in->has_recipient = in->has_recipient || r->data.len > 0;
    return store_text(out, r, err);
}

static int take_envelope(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    switch (r->type) {
    case REC_TIME: // the arrival time is written by postdrop itself
        return 0;
    case REC_SIZE:
        return take_options(r, out, err);
    case REC_FULLNAME:
    case REC_VERP:
        return store_text(out, r, err);
    case REC_FROM:
        return take_sender(in, r, out, err);
    case REC_RCPT:
        return take_recipient(in, r, out, err);
    case REC_ATTR:
        return take_attribute(in, r, out, err);
    case REC_DSN_ENVID:
    case REC_DSN_NOTIFY:
        return take_pseudo_attribute(in, r, out, err);
    case REC_MESSAGE:
        in->segment = POSTDROP_CONTENT;
        queue_record_add(out, REC_MESSAGE, STR(""));
        return 0;
    default:
        return bad(err, "unexpected record in the envelope", r->type);
    }
}

static int take_content(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    if (r->type == REC_EXTRACTED) {
        in->segment = POSTDROP_EXTRACTED;
        queue_record_add(out, REC_EXTRACTED, STR(""));
        return 0;
    }
    if (r->type != REC_NORM && r->type != REC_CONT)
        return bad(err, "unexpected record in the message", r->type);
    in->content_size += (int64_t)r->data.len + (r->type == REC_NORM);
    if (in->content_limit > 0 && in->content_size > in->content_limit) {
        err_set(err, ERR_PERMANENT, "message file too big");
        return POSTDROP_SIZE;
    }
    queue_record_add(out, (enum record_type)r->type, r->data);
    return 0;
}

static int take_extracted(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    switch (r->type) {
    case REC_ATTR:
        return take_attribute(in, r, out, err);
    case REC_RCPT:
        return take_recipient(in, r, out, err);
    case REC_END:
        if (!in->has_sender || !in->has_recipient)
            return bad(err, "no sender or no recipient", r->type);
        in->segment = POSTDROP_DONE;
        queue_record_add(out, REC_END, STR(""));
        return 0;
    default:
        return bad(err, "unexpected record after the message", r->type);
    }
}

int postdrop_input_take(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err)
{
    switch (in->segment) {
    case POSTDROP_ENVELOPE:
        return take_envelope(in, r, out, err);
    case POSTDROP_CONTENT:
        return take_content(in, r, out, err);
    case POSTDROP_EXTRACTED:
        return take_extracted(in, r, out, err);
    case POSTDROP_DONE:
        break;
    }
    return bad(err, "text after the end", r->type);
}
