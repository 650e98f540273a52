// SPDX-License-Identifier: ISC
// local_forward.c: addresses that are not ours leave in a new message through cleanup, one for each sender.
//
// Suspends: in cleanup.
#include "lib/base/log.h"
#include "lib/mail/queue_file.h"
#include "local/local.h"

#define SUBMIT_SECONDS 3600

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2 };

static struct local_forward *forward_for(struct local_delivery *l, struct str owner)
{
    struct str sender = owner.ptr != NULL ? owner : l->delivery->request.sender;
    struct local_forward *f;

    for (f = l->forwards; f != NULL; f = f->next)
        if (f->has_owner == (owner.ptr != NULL) && str_is(f->sender, sender))
            return f;
    f = ARENA_NEW(l->arena, struct local_forward);
    f->sender = sender;
    f->has_owner = owner.ptr != NULL;
    f->next = l->forwards;
    l->forwards = f;
    return f;
}

static bool has_recipient(const struct local_forward *f, struct str address)
{
    for (size_t i = 0; i < f->count && i < 1000; i++)
        if (str_is_nocase(f->recipients[i].address, address))
            return true;
    return false;
}

void local_forward_add(struct local_delivery *l, const struct local_address *from, struct str address)
{
    const struct delivery_recipient *rcpt = &l->delivery->request.recipients[l->recipient];
    struct local_forward *f = forward_for(l, from->owner);
    struct submit_recipient *r;

    if (has_recipient(f, address))
        return;
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? f->capacity * 2 : 8;
        struct submit_recipient *larger = ARENA_ARRAY(l->arena, struct submit_recipient, capacity);
        if (f->count > 0)
            memcpy(larger, f->recipients, f->count * sizeof(*larger));
        f->recipients = larger;
        f->capacity = capacity;
    }
    r = &f->recipients[f->count++];
    r->address = arena_str(l->arena, address);
    r->dsn_orcpt = STR("");
    if (f->has_owner)
        return;
    r->dsn_orcpt = rcpt->dsn_orcpt;
    r->notify = rcpt->notify;
    if (r->notify & NOTIFY_SUCCESS) { // success was reported from here: "expanded"
        r->notify &= ~NOTIFY_SUCCESS;
        r->notify = r->notify ? r->notify : NOTIFY_NEVER;
    }
}

static size_t add_attrs(const struct delivery_request *r, struct submit_attr *attrs)
{
    const struct submit_attr all[] = {
        {"encoding", r->encoding},
        {"log_client_name", r->client_name},
        {"log_client_address", r->client_address},
        {"log_client_port", r->client_port},
        {"log_helo_name", r->helo_name},
        {"log_protocol_name", r->protocol_name},
        {"sasl_method", r->sasl_method},
        {"sasl_username", r->sasl_username},
        {"sasl_sender", r->sasl_sender},
        {"log_ident", r->log_ident},
        {"rewrite_context", r->rewrite_context},
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].value.len > 0)
            attrs[count++] = all[i];
    return count;
}

static int write_content(struct local_delivery *l, struct submit *s, struct err *err) CO
{
    struct queue_reader *reader;
    struct str text;
    bool line_ended;
    int more;

    if (l->content->is_whole)
        return submit_write(s, buf_str(&l->content->text), err);
    reader = queue_reader_open(l->content->fd, l->content->data_offset, err);
    if (reader == NULL)
        return -1;
    while ((more = queue_reader_next(reader, &text, &line_ended, err)) > 0) {
        if (submit_write(s, text, err) < 0 || (line_ended && submit_write(s, STR("\n"), err) < 0)) {
            more = -1;
            break;
        }
    }
    queue_reader_close(reader);
    return more;
}

static struct str received_date(struct arena *arena)
{
    struct buf date = BUF_INIT;
    struct str result;

    buf_add_cstr(&date, "; ");
    clock_add_rfc5322(&date, clock_wall());
    result = arena_str(arena, buf_str(&date));
    buf_release(&date);
    return result;
}

static int submit_one(struct local_delivery *l, const struct local_forward *f, struct submit_result *result,
                      struct err *err) CO
{
    const struct settings *set = l->local->settings;
    const struct delivery_request *r = &l->delivery->request;
    struct submit_attr attrs[16];
    struct submit_envelope e = {.sender = f->sender,
                                .recipients = f->recipients,
                                .recipient_count = f->count,
                                .attrs = attrs,
                                .flags = SUBMIT_MAP,
                                .sendopts = r->sendopts};
    struct submit *s;

    e.attr_count = add_attrs(r, attrs);
    if (!f->has_owner) {
        e.envelope_id = r->envelope_id;
        e.ret_flags = r->ret_flags;
    }
    e.received_before = arena_strf(l->arena, "Received: by " STR_FMT " (" STR_FMT ")\n\tid ", STR_ARG(set->myhostname),
                                   STR_ARG(set->mail_name));
    e.received_after = received_date(l->arena);
    s = submit_begin(l->local->cleanup, &e, clock_deadline(SUBMIT_SECONDS), err);
    if (s == NULL)
        return -1;
    if (local_list_has(set->prepend_delivered_header, "forward")) {
        struct str header = arena_strf(l->arena, "Delivered-To: " STR_FMT "\n", STR_ARG(l->delivered_to));
        if (submit_write(s, header, err) < 0) {
            submit_abort(s);
            return -1;
        }
    }
    if (write_content(l, s, err) < 0) {
        submit_abort(s);
        return -1;
    }
    return submit_finish(s, result, err);
}

static void send_one(struct local_delivery *l, const struct local_forward *f) CO
{
    struct str address = l->delivery->request.recipients[l->recipient].address;
    struct submit_result result = {.code = 0};
    struct err err = ERR_INIT;

    if (submit_one(l, f, &result, &err) < 0) {
        local_result_set_err(l, address, "4.3.0", STR("unable to forward message"), &err);
        return;
    }
    if (result.code == 250) {
        struct delivery_report *report = local_result_add(l, address);
        mailbox_report(report, DELIVERY_SENT, "2.0.0", arena_strf(l->arena, "forwarded as %s", result.queue_id));
        report->action = "expanded";
        report->trace_text = "alias expanded";
        return;
    }
    local_result_set(l, address, result.code >= 500 ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
                     arena_str(l->arena, str_from(result.status[0]     ? result.status
                                                  : result.code >= 500 ? "5.3.0"
                                                                       : "4.3.0"))
                         .ptr,
                     arena_str(l->arena, str_from(result.reason)));
}

static void probe_one(struct local_delivery *l, const struct local_forward *f)
{
    for (size_t i = 0; i < f->count; i++)
        local_result_set(l, f->recipients[i].address, DELIVERY_SENT, "2.0.0",
                         arena_strf(l->arena, "forwards to " STR_FMT, STR_ARG(f->recipients[i].address)));
}

void local_forward_send(struct local_delivery *l)
{
    for (struct local_forward *f = l->forwards; f != NULL; f = f->next)
        if (local_is_probe(l))
            probe_one(l, f);
        else
            send_one(l, f);
}
