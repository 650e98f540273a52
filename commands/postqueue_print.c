// SPDX-License-Identifier: ISC
// postqueue_print.c: queue listings as people read them (-p), and as JSON lines (-j).
// Trust: texts come from queue files: control characters were replaced where they were read.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "commands/postqueue.h"
#include "lib/base/clock.h"
#include "lib/sys/sys.h"

enum { REASON_COLUMN = 76, OUT_MAX = 32 * 1024, SHORT_DATE = 20, LONG_DATE = 19 };

void postqueue_printer_init(struct postqueue_printer *p, bool is_json, bool has_long_ids, struct str null_name)
{
    *p = (struct postqueue_printer){.is_json = is_json, .has_long_ids = has_long_ids, .null_name = null_name};
}

void postqueue_printer_release(struct postqueue_printer *p)
{
    buf_release(&p->out);
    buf_release(&p->last_reason);
}

int postqueue_write(struct buf *out)
{
    int rc = sys_write_all(1, out->ptr, out->len);
    if (rc < 0 && errno == EPIPE) { // as any program that writes to a pipe
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    buf_clear(out);
    return rc;
}

static int flush(struct postqueue_printer *p, size_t at_least)
{
    return p->out.len >= at_least && p->out.len > 0 ? postqueue_write(&p->out) : 0;
}

static struct str shown_address(const struct postqueue_printer *p, struct str address)
{
    return address.len ? address : p->null_name;
}

// ---- For people

static void print_columns(struct postqueue_printer *p, const char *id, const char *size, const char *date,
                          struct str last)
{
    if (p->has_long_ids)
        buf_addf(&p->out, "%-17s %8s %-19s " STR_FMT "\n", id, size, date, STR_ARG(last));
    else
        buf_addf(&p->out, "%-11s %7s %-20s " STR_FMT "\n", id, size, date, STR_ARG(last));
}

static void print_message(struct postqueue_printer *p, const struct queue_list_message *m)
{
    struct buf id = BUF_INIT, date = BUF_INIT, size = BUF_INIT;
    if (p->messages == 0 && p->has_long_ids)
        print_columns(p, "----Queue ID-----", "--Size--", "---Arrival Time----", STR("--Sender/Recipient------"));
    else if (p->messages == 0)
        print_columns(p, "-Queue ID- ", "--Size--", "----Arrival Time----", STR("-Sender/Recipient-------"));
    else
        buf_add_char(&p->out, '\n');
    buf_add_str(&id, m->id);
    if (str_is(m->queue, STR(QUEUE_ACTIVE)))
        buf_add_char(&id, '*');
    else if (str_is(m->queue, STR(QUEUE_HOLD)))
        buf_add_char(&id, '!');
    if (m->is_forced_to_expire)
        buf_add_char(&id, '#');
    clock_add_asctime(&date, m->arrival_s);
    buf_truncate(&date, date.len < LONG_DATE ? date.len : p->has_long_ids ? LONG_DATE : SHORT_DATE);
    buf_addf(&size, "%lld", (long long)m->size);
    print_columns(p, buf_cstr(&id), buf_cstr(&size), buf_cstr(&date), shown_address(p, m->sender));
    buf_release(&id);
    buf_release(&date);
    buf_release(&size);
}

// The reason is printed when it is another one than the recipient's before.
static void print_recipient(struct postqueue_printer *p, const struct queue_list_recipient *r)
{
    if (!str_is(buf_str(&p->last_reason), r->reason)) {
        struct str reason = r->reason.len ? r->reason : STR("reason unavailable");
        int padding = reason.len < REASON_COLUMN ? REASON_COLUMN - (int)reason.len : 0;
        buf_addf(&p->out, "%*s(" STR_FMT ")\n", padding, "", STR_ARG(reason));
        buf_clear(&p->last_reason);
        buf_add_str(&p->last_reason, r->reason);
    }
    print_columns(p, "", "", "", shown_address(p, r->address));
}

// ---- JSON

static void json_message(struct postqueue_printer *p, const struct queue_list_message *m)
{
    struct buf *b = &p->out;
    buf_add_char(b, '{');
    buf_add_json_pair(b, "queue_name", m->queue);
    buf_add_cstr(b, ", ");
    buf_add_json_pair(b, "queue_id", m->id);
    buf_addf(b, ", \"arrival_time\": %lld, \"message_size\": %lld, \"forced_expire\": %s, ", (long long)m->arrival_s,
             (long long)m->size, m->is_forced_to_expire ? "true" : "false");
    buf_add_json_pair(b, "sender", shown_address(p, m->sender));
    buf_add_cstr(b, ", \"recipients\": [");
}

static void json_recipient(struct postqueue_printer *p, const struct queue_list_recipient *r)
{
    struct buf *b = &p->out;
    buf_add_cstr(b, p->has_recipients ? ", {" : "{");
    buf_add_json_pair(b, "orig_address", r->original);
    buf_add_cstr(b, ", ");
    buf_add_json_pair(b, "address", shown_address(p, r->address));
    if (r->reason.len) {
        bool is_known = str_is(r->reason_kind, STR("delay_reason")) || str_is(r->reason_kind, STR("bounce_reason"));
        buf_add_cstr(b, ", ");
        buf_add_json_pair(
            b, is_known ? r->reason_kind.ptr[0] == 'd' ? "delay_reason" : "bounce_reason" : "other_reason", r->reason);
    }
    buf_add_char(b, '}');
}

// ---- The sink

static void end_message(struct postqueue_printer *p)
{
    if (p->is_in_message && p->is_json)
        buf_add_cstr(&p->out, "]}\n");
    p->is_in_message = p->has_recipients = false;
    buf_clear(&p->last_reason);
}

static int take_message(void *arg, const struct queue_list_message *m)
{
    struct postqueue_printer *p = arg;
    end_message(p);
    if (p->is_json)
        json_message(p, m);
    else
        print_message(p, m);
    p->is_in_message = true;
    p->messages++;
    p->bytes += m->size;
    return flush(p, OUT_MAX);
}

static int take_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct postqueue_printer *p = arg;
    if (p->is_json)
        json_recipient(p, r);
    else
        print_recipient(p, r);
    p->has_recipients = true;
    return flush(p, OUT_MAX);
}

struct queue_list_sink postqueue_printer_sink(struct postqueue_printer *p)
{
    return (struct queue_list_sink){p, take_message, take_recipient};
}

int postqueue_printer_end(struct postqueue_printer *p)
{
    end_message(p);
    if (!p->is_json && p->messages == 0)
        buf_add_cstr(&p->out, "Mail queue is empty\n");
    else if (!p->is_json)
        buf_addf(&p->out, "\n-- %lld Kbytes in %lld Request%s.\n", (long long)(p->bytes / 1024), (long long)p->messages,
                 p->messages == 1 ? "" : "s");
    return flush(p, 0);
}
