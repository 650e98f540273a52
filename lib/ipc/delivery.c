// SPDX-License-Identifier: ISC
// delivery.c: frames between the queue manager and delivery agents: "deliver" and "done".
// Trust: both peers are hostile; text is bounded and free of control characters, numbers are checked.
#include "lib/ipc/delivery.h"

#include <limits.h>

#include "lib/ipc/delivery_fields.h"

enum { ID_MAX = 255 };

// Text and number fields of a request, by name; text fields that are empty and numbers that are zero are not sent.
struct text_field {
    const char *name;
    size_t offset;
};
#define TEXT(name, member)                                                                                             \
    {                                                                                                                  \
        name, offsetof(struct delivery_request, member)                                                                \
    }
static const struct text_field text_fields[] = {
    TEXT("queue", queue_name),        TEXT("id", queue_id),          TEXT("nexthop", nexthop),
    TEXT("encoding", encoding),       TEXT("sender", sender),        TEXT("envid", envelope_id),
    TEXT("cname", client_name),       TEXT("caddr", client_address), TEXT("cport", client_port),
    TEXT("proto", protocol_name),     TEXT("helo", helo_name),       TEXT("smeth", sasl_method),
    TEXT("suser", sasl_username),     TEXT("ssend", sasl_sender),    TEXT("ident", log_ident),
    TEXT("context", rewrite_context),
};
#define WIDE(name, member)                                                                                             \
    {                                                                                                                  \
        name, offsetof(struct delivery_request, member)                                                                \
    }
static const struct text_field wide_fields[] = {
    WIDE("data", data_offset), WIDE("size", message_size),  WIDE("arrival", arrival_us),
    WIDE("active", active_us), WIDE("request", request_us),
};
enum {
    TEXT_COUNT = sizeof text_fields / sizeof text_fields[0],
    WIDE_COUNT = sizeof wide_fields / sizeof wide_fields[0]
};

bool delivery_text_is_clean(struct str text)
{
    if (text.len > DELIVERY_FIELD_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < ' ' || c == 127)
            return false;
    }
    return true;
}

bool delivery_id_is_clean(struct str id)
{
    if (id.len == 0 || id.len > ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'))
            return false;
    }
    return true;
}

static void add_text(struct ipc_msg *m, const char *name, struct str value)
{
    if (value.len)
        ipc_add_str(m, name, value);
}

static void add_number(struct ipc_msg *m, const char *name, int64_t value)
{
    if (value)
        ipc_add_int(m, name, value);
}

static void add_recipient(struct ipc_msg *m, const struct delivery_recipient *rcpt)
{
    ipc_add_str(m, "to", rcpt->address);
    ipc_add_int(m, "at", rcpt->offset);
    if (!str_is(rcpt->original, rcpt->address))
        add_text(m, "orig", rcpt->original);
    add_text(m, "orcpt", rcpt->dsn_orcpt);
    add_number(m, "notify", rcpt->notify);
}

void delivery_fields_add(struct ipc_msg *m, const struct delivery_request *r)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        struct str value;
        memcpy(&value, (const char *)r + text_fields[i].offset, sizeof value);
        add_text(m, text_fields[i].name, value);
    }
    for (size_t i = 0; i < WIDE_COUNT; i++) {
        int64_t value;
        memcpy(&value, (const char *)r + wide_fields[i].offset, sizeof value);
        add_number(m, wide_fields[i].name, value);
    }
    add_number(m, "flags", r->flags);
    add_number(m, "ret", r->ret_flags);
    add_number(m, "sendopts", r->sendopts);
    for (size_t i = 0; i < r->recipient_count; i++)
        add_recipient(m, &r->recipients[i]);
}

void delivery_request_add(struct ipc_msg *m, uint32_t id, const struct delivery_request *r)
{
    ipc_begin(m, id, "deliver");
    delivery_fields_add(m, r);
    (void)ipc_end(m); // too large: the frame is taken back; the caller bounds its recipients
}

// ---- Reading

static size_t count_recipients(const struct ipc_view *v)
{
    size_t at = 0, count = 0;
    struct str name, value;
    while (ipc_next(v, &at, &name, &value))
        count += str_is(name, STR("to"));
    return count;
}

static int read_number(struct str name, struct str value, int64_t max, int64_t *number_r, struct err *err)
{
    int64_t number = 0;
    if (str_to_i64(value, &number) < 0 || number < 0 || number > max)
        return err_set(err, ERR_PROTOCOL, "bad number in field " STR_FMT, STR_ARG(name));
    *number_r = number;
    return 0;
}

// A field that belongs to the recipient begun last. 1 taken, 0 not such a field, -1.
static int read_recipient_field(struct str name, struct str value, struct arena *arena, struct delivery_recipient *rcpt,
                                struct err *err)
{
    int64_t notify = 0;
    if (str_is(name, STR("at")))
        return read_number(name, value, INT64_MAX, &rcpt->offset, err) < 0 ? -1 : 1;
    if (str_is(name, STR("notify"))) {
        if (read_number(name, value, 15, &notify, err) < 0)
            return -1;
        rcpt->notify = (int)notify;
        return 1;
    }
    if (str_is(name, STR("orig")))
        rcpt->original = arena_str(arena, value);
    else if (str_is(name, STR("orcpt")))
        rcpt->dsn_orcpt = arena_str(arena, value);
    else
        return 0;
    return 1;
}

// 1 taken, 0 unknown, -1.
static int read_message_field(struct str name, struct str value, struct arena *arena, struct delivery_request *r,
                              struct err *err)
{
    int64_t number = 0;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (str_is(name, str_from(text_fields[i].name))) {
            struct str copy = arena_str(arena, value);
            memcpy((char *)r + text_fields[i].offset, &copy, sizeof copy);
            return 1;
        }
    for (size_t i = 0; i < WIDE_COUNT; i++)
        if (str_is(name, str_from(wide_fields[i].name))) {
            if (read_number(name, value, INT64_MAX, &number, err) < 0)
                return -1;
            memcpy((char *)r + wide_fields[i].offset, &number, sizeof number);
            return 1;
        }
    if (str_is(name, STR("flags"))) {
        if (read_number(name, value, 0xffff, &number, err) < 0)
            return -1;
        r->flags = (unsigned)number;
        return 1;
    }
    bool is_ret = str_is(name, STR("ret"));
    if (!is_ret && !str_is(name, STR("sendopts")))
        return 0;
    if (read_number(name, value, INT_MAX, &number, err) < 0)
        return -1;
    *(is_ret ? &r->ret_flags : &r->sendopts) = (int)number;
    return 1;
}

static int read_fields(const struct ipc_view *v, struct arena *arena, struct delivery_recipient *recipients,
                       struct delivery_request *r, struct err *err)
{
    size_t at = 0, count = 0;
    struct str name, value;
    while (ipc_next(v, &at, &name, &value)) {
        if (!delivery_text_is_clean(value))
            return err_set(err, ERR_PROTOCOL, "bad text in field " STR_FMT, STR_ARG(name));
        if (str_is(name, STR("to"))) {
            struct str copy = arena_str(arena, value);
            recipients[count++] = (struct delivery_recipient){.address = copy, .original = copy};
            continue;
        }
        int taken = count ? read_recipient_field(name, value, arena, &recipients[count - 1], err) : 0;
        if (taken < 0 || (taken == 0 && read_message_field(name, value, arena, r, err) < 0))
            return -1;
    }
    return 0;
}

int delivery_fields_read(const struct ipc_view *v, struct arena *arena, struct delivery_request *r_r, struct err *err)
{
    size_t count = count_recipients(v);
    if (count > DELIVERY_RECIPIENTS_MAX)
        return err_set(err, ERR_PROTOCOL, "too many recipients in one frame");
    *r_r = (struct delivery_request){0};
    struct str *text;
    for (size_t i = 0; i < TEXT_COUNT; i++) { // absent text is "", never NULL
        text = (struct str *)(void *)((char *)r_r + text_fields[i].offset);
        *text = STR("");
    }
    struct delivery_recipient *recipients = ARENA_ARRAY(arena, struct delivery_recipient, count);
    if (read_fields(v, arena, recipients, r_r, err) < 0)
        return -1;
    if (!delivery_id_is_clean(r_r->queue_id) || !delivery_id_is_clean(r_r->queue_name))
        return err_set(err, ERR_PROTOCOL, "bad queue name or id");
    for (size_t i = 0; i < count; i++)
        if (recipients[i].dsn_orcpt.ptr == NULL)
            recipients[i].dsn_orcpt = STR("");
    r_r->recipients = recipients;
    r_r->recipient_count = count;
    return 0;
}

int delivery_request_read(const struct ipc_view *v, struct arena *arena, struct delivery_request *r_r, struct err *err)
{
    if (!str_is(v->verb, STR("deliver")))
        return err_set(err, ERR_PROTOCOL, "unexpected request");
    if (delivery_fields_read(v, arena, r_r, err) < 0)
        return -1;
    if (r_r->recipient_count == 0)
        return err_set(err, ERR_PROTOCOL, "delivery request without recipients");
    return 0;
}

// ---- The answer

void delivery_done_add(struct ipc_msg *m, uint32_t id, const struct delivery_done *done)
{
    ipc_begin(m, id, "done");
    ipc_add_str(m, "st", done->statuses);
    add_text(m, "dead_dsn", done->dead_dsn);
    add_text(m, "dead", str_slice(done->dead_reason, 0, DELIVERY_TEXT_MAX));
    (void)ipc_end(m); // statuses are at most DELIVERY_RECIPIENTS_MAX letters: it always fits
}

int delivery_done_read(const struct ipc_view *v, struct delivery_done *done_r, struct err *err)
{
    if (!str_is(v->verb, STR("done")))
        return err_set(err, ERR_PROTOCOL, "unexpected answer");
    done_r->statuses = ipc_str_or(v, "st", STR(""));
    done_r->dead_dsn = ipc_str_or(v, "dead_dsn", STR(""));
    done_r->dead_reason = ipc_str_or(v, "dead", STR(""));
    if (done_r->statuses.len > DELIVERY_RECIPIENTS_MAX)
        return err_set(err, ERR_PROTOCOL, "too many statuses");
    for (size_t i = 0; i < done_r->statuses.len; i++)
        if (memchr("sdbe", done_r->statuses.ptr[i], 4) == NULL)
            return err_set(err, ERR_PROTOCOL, "unknown delivery status");
    if (done_r->dead_reason.len > DELIVERY_TEXT_MAX || !delivery_text_is_clean(done_r->dead_reason) ||
        done_r->dead_dsn.len > 11 || !delivery_text_is_clean(done_r->dead_dsn))
        return err_set(err, ERR_PROTOCOL, "bad text in answer");
    return 0;
}
