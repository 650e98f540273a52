// SPDX-License-Identifier: ISC
// cleanup_envelope.c: from the first frame of a submission to the envelope records of the queue file.
// Trust: the submitter's fields are checked by the record codec: no control character gets into a record.
// Limits: queue_file_attribute_count_limit.
#include <errno.h>

#include "cleanup/cleanup.h"
#include "lib/ipc/submit_frames.h"
#include "lib/mail/address.h"

enum { SIZE_RECORD = 97 }; // its place at the start of the file

static struct str field(struct cleanup_message *m, const struct ipc_view *v, const char *name)
{
    return arena_str(&m->arena, ipc_str_or(v, name, STR("")));
}

static void read_attrs(struct cleanup_message *m, const struct ipc_view *v)
{
    size_t limit = (size_t)m->daemon->settings->queue_file_attribute_count_limit, at = 0;
    struct str name, value, attr_name;
    m->attrs = ARENA_ARRAY(&m->arena, struct queue_attr, limit);
    while (ipc_next(v, &at, &name, &value)) {
        if (!str_is(name, STR(SUBMIT_ATTR)))
            continue;
        if (m->attr_count == limit || !str_cut(&value, '=', &attr_name)) {
            cleanup_refuse(m, 451, "4.3.0", "Error: too many message attributes");
            return;
        }
        m->attrs[m->attr_count++] = (struct queue_attr){arena_str(&m->arena, attr_name), arena_str(&m->arena, value)};
        if (str_is(attr_name, STR("rewrite_context")))
            m->is_local = !str_is(value, STR("remote"));
    }
}

static void take_field(struct cleanup_message *m, const struct ipc_view *v, const char *name, struct str *text)
{
    struct str given;
    if (ipc_get_str(v, name, &given))
        *text = arena_str(&m->arena, given);
}

// The lines above the content, and whether the submitter has logged its line.
static void read_top(struct cleanup_message *m, const struct ipc_view *v)
{
    struct str name, value;
    size_t at = 0, count = 0;
    m->has_logged |= ipc_int_or(v, SUBMIT_LOGGED, 0) == 1;
    take_field(m, v, SUBMIT_BEFORE, &m->received_before);
    take_field(m, v, SUBMIT_AFTER, &m->received_after);
    while (ipc_next(v, &at, &name, &value))
        count += str_is(name, STR(SUBMIT_PREPEND));
    if (count == 0)
        return;
    m->prepended = ARENA_ARRAY(&m->arena, struct str, count);
    m->prepended_count = 0;
    at = 0;
    while (ipc_next(v, &at, &name, &value))
        if (str_is(name, STR(SUBMIT_PREPEND)) && m->prepended_count < count)
            m->prepended[m->prepended_count++] = arena_str(&m->arena, value);
}

static void read_fields(struct cleanup_message *m, const struct ipc_view *v)
{
    m->sender = field(m, v, SUBMIT_SENDER);
    m->fullname = field(m, v, SUBMIT_FULLNAME);
    m->envelope_id = field(m, v, SUBMIT_ENVID);
    m->verp = field(m, v, SUBMIT_VERP);
    m->filter = field(m, v, SUBMIT_FILTER_TO);
    m->redirect = field(m, v, SUBMIT_REDIRECT);
    m->log_tag = field(m, v, SUBMIT_LOG_TAG);
    m->log_text = field(m, v, SUBMIT_LOG_TEXT);
    m->flags = (unsigned)ipc_int_or(v, SUBMIT_FLAGS, 0);
    m->arrival_us = ipc_int_or(v, SUBMIT_ARRIVAL, 0);
    m->ret_flags = (int)ipc_int_or(v, SUBMIT_RET, 0);
    m->trace_flags = (int)ipc_int_or(v, SUBMIT_TRACE, 0);
    m->sendopts = (int)ipc_int_or(v, SUBMIT_SENDOPTS, 0);
    m->is_local = true;
    read_attrs(m, v);
    read_top(m, v);
}

static void create_file(struct cleanup_message *m)
{
    struct cleanup *d = m->daemon;
    struct err err = ERR_INIT;
    m->queue = m->flags & SUBMIT_HOLD ? QUEUE_HOLD : QUEUE_INCOMING;
    struct queue_new made = {.queue = m->queue, .mode = QUEUE_MODE_WRITING, .id = &m->id};
    m->fd = queue_file_create(d->queue_dirfd, &d->layout, &made, &err);
    m->created_us = made.created_us;
    if (m->fd < 0) {
        errno = err.errnum;
        cleanup_refuse_write(m, "create queue file");
        return;
    }
    if (m->arrival_us <= 0)
        m->arrival_us = m->created_us;
}

// ---- Records

static void put_text(struct cleanup_message *m, enum record_type type, struct str text)
{
    if (queue_record_add_text(&m->out, type, text) < 0)
        cleanup_refuse(m, 550, "5.1.7", "Error: control character in the envelope");
}

static void put_attr(struct cleanup_message *m, const char *name, struct str value)
{
    if (queue_record_add_attr(&m->out, name, value) < 0)
        cleanup_refuse(m, 550, "5.1.7", "Error: control character in the envelope");
}

static void put_number(struct cleanup_message *m, const char *name, int64_t value)
{
    queue_record_addf(&m->out, REC_ATTR, "%s=%lld", name, (long long)value);
}

static bool is_before_sender(struct str name)
{
    return str_is(name, STR("rewrite_context"));
}

static void put_attrs(struct cleanup_message *m, bool before_sender)
{
    for (size_t i = 0; i < m->attr_count; i++)
        if (is_before_sender(m->attrs[i].name) == before_sender)
            put_attr(m, m->attrs[i].name.ptr, m->attrs[i].value);
}

static void put_head(struct cleanup_message *m)
{
    static const char empty[SIZE_RECORD];
    buf_add(&m->out, empty, SIZE_RECORD);
    queue_record_addf(&m->out, REC_TIME, "%lld %lld", (long long)(m->arrival_us / 1000000),
                      (long long)(m->arrival_us % 1000000));
    put_number(m, "create_time", m->created_us / 1000000);
    if (m->filter.len > 0)
        put_text(m, REC_FILTER, m->filter);
    put_attr(m, "log_ident", buf_str(&m->id));
    put_attrs(m, true);
    if (m->envelope_id.len > 0)
        put_attr(m, "envelope_id", m->envelope_id);
    if (m->ret_flags != 0)
        put_number(m, "ret_flags", m->ret_flags);
    if (m->trace_flags != 0) {
        m->trace_offset = cleanup_offset(m);
        put_number(m, "trace_flags", m->trace_flags);
    }
    if (m->fullname.len > 0)
        put_text(m, REC_FULLNAME, m->fullname);
}

static void put_sender(struct cleanup_message *m)
{
    int64_t delay = m->daemon->settings->delay_warning_time;
    put_text(m, REC_FROM, m->sender);
    put_attrs(m, false);
    if (m->verp.len > 0 && m->sender.len > 0)
        put_text(m, REC_VERP, m->verp);
    if (delay > 0 && m->sender.len > 0) {
        m->warn_time = m->arrival_us / 1000000 + delay;
        m->warn_offset = cleanup_offset(m) + 2; // behind type and length
        queue_record_addf(&m->out, REC_WARN, "%15lld", (long long)m->warn_time);
    }
}

static void take_recipients(struct cleanup_message *m, const struct ipc_view *v) CO
{
    struct submit_recipient r = {.dsn_orcpt = STR("")};
    struct str name, value;
    int64_t number;
    size_t at = 0;
    while (cleanup_is_good(m) && ipc_next(v, &at, &name, &value)) {
        if (str_is(name, STR(SUBMIT_RCPT_ORCPT))) {
            r.dsn_orcpt = arena_str(&m->arena, value);
        } else if (str_is(name, STR(SUBMIT_RCPT_NOTIFY))) {
            if (str_to_i64(value, &number) == 0 && number > 0 && number < 16)
                r.notify = (int)number;
        } else if (str_is(name, STR(SUBMIT_RCPT))) {
            if (m->has_content) {
                cleanup_refuse(m, 451, "4.3.0", "Error: recipient after the content");
                return;
            }
            r.address = arena_str(&m->arena, value);
            cleanup_add_recipient(m, &r);
            r = (struct submit_recipient){.dsn_orcpt = STR("")};
        }
    }
}

// in_flow_delay: once a message while the queue manager is behind. Notifications are its own work.
static void wait_for_queue_manager(struct cleanup_message *m) CO
{
    const struct settings *s = m->daemon->settings;
    if (s->in_flow_delay > 0 && !(m->flags & SUBMIT_BOUNCE) &&
        in_flow_is_behind(m->daemon->in_flow, s->default_process_limit))
        co_sleep_until(clock_deadline(s->in_flow_delay));
}

void cleanup_take_envelope(struct cleanup_message *m, const struct ipc_view *v)
{
    read_fields(m, v);
    if (!address_is_sane(m->sender))
        cleanup_refuse(m, 550, "5.1.7", "Error: bad sender address syntax");
    if (cleanup_is_good(m)) {
        wait_for_queue_manager(m);
        create_file(m);
    }
    if (cleanup_is_good(m))
        m->sender = cleanup_map_sender(m, m->sender);
    if (!cleanup_is_good(m))
        return;
    put_head(m);
    put_sender(m);
    cleanup_find_bcc(m);
    take_recipients(m, v);
}

void cleanup_take_more(struct cleanup_message *m, const struct ipc_view *v)
{
    read_top(m, v);
    take_recipients(m, v);
}

void cleanup_take_orders(struct cleanup_message *m, const struct ipc_view *v)
{
    struct str redirect = field(m, v, SUBMIT_END_REDIRECT), name, value;
    size_t at = 0;
    m->flags |= (unsigned)ipc_int_or(v, SUBMIT_END_FLAGS, 0) & (SUBMIT_HOLD | SUBMIT_DISCARD);
    m->late_filter = field(m, v, SUBMIT_END_FILTER);
    if (redirect.len > 0)
        m->redirect = redirect;
    while (ipc_next(v, &at, &name, &value))
        if (str_is(name, STR(SUBMIT_END_BCC)))
            cleanup_add_bcc(m, value);
}
