// SPDX-License-Identifier: ISC
// access_reply.c: how a refusal becomes a verdict: its text, its status code, and what warn_if_reject, defer_if_reject
// and defer_if_permit make of it.
#include <stdio.h>

#include "lib/access/access_impl.h"

struct access_subject access_subject_client(const struct access_walk *w)
{
    return (struct access_subject){w->facts->client, "Client host"};
}

struct access_subject access_subject_reverse(const struct access_walk *w)
{
    return (struct access_subject){w->facts->client_reverse, "Unverified Client host"};
}

struct access_subject access_subject_helo(const struct access_walk *w)
{
    return (struct access_subject){w->facts->helo, "Helo command"};
}

struct access_subject access_subject_sender(const struct access_walk *w)
{
    return (struct access_subject){w->facts->sender, "Sender address"};
}

struct access_subject access_subject_recipient(const struct access_walk *w)
{
    return (struct access_subject){w->facts->recipient, "Recipient address"};
}

struct access_reason access_reason_now(const struct access_walk *w)
{
    struct access_reason reason = {
        .parameter = w->parameter, .position = w->position, .table = w->table, .key = w->key};
    if (w->rule != NULL)
        reason.restriction = w->rule->argument.len > 0 ? arena_strf(w->arena, STR_FMT " " STR_FMT,
                                                                    STR_ARG(w->rule->word), STR_ARG(w->rule->argument))
                                                       : arena_str(w->arena, w->rule->word);
    return reason;
}

void access_reason_add(struct buf *b, const struct access_reason *reason)
{
    if (reason->parameter == NULL)
        return;
    buf_add_cstr(b, reason->parameter);
    if (reason->position > 0)
        buf_addf(b, "[%u]", reason->position);
    if (reason->restriction.len > 0) {
        buf_add_char(b, ' ');
        buf_add_printable(b, reason->restriction, 200);
    }
    if (reason->table.len > 0) {
        buf_add_cstr(b, " table=");
        buf_add_printable(b, reason->table, 200);
        buf_add_cstr(b, " key=");
        buf_add_printable(b, reason->key, 200);
    }
}

// Status codes about addresses (x.1.y) speak of a sender or of a recipient: one that does not fit the subject is
// exchanged.
static void fit_address_status(char *status, const struct access_subject *subject)
{
    static const char for_sender[] = "078770778", for_recipient[] = "012345632";
    if (strncmp(status + 1, ".1.", 3) != 0)
        return;
    bool is_sender = strcmp(subject->class, "Sender address") == 0;
    if (!is_sender && strcmp(subject->class, "Recipient address") != 0)
        strcpy(status + 1, ".0.0");
    else if (status[4] >= '0' && status[4] <= '8' && status[5] == '\0')
        status[4] = is_sender ? for_sender[status[4] - '0'] : for_recipient[status[4] - '0'];
}

static void set_status(char *out, size_t size, const struct access_subject *subject, struct access_reply reply)
{
    snprintf(out, size, "%s", reply.status);
    out[0] = (char)('0' + reply.code / 100);
    fit_address_status(out, subject);
}

static void set_text(char *out, size_t size, struct str text)
{
    struct buf clean = BUF_INIT;
    buf_add_printable(&clean, text, size - 1);
    buf_truncate(&clean, clean.len < size ? clean.len : size - 1);
    memcpy(out, buf_cstr(&clean), clean.len + 1);
    buf_release(&clean);
}

static void set_verdict(struct access_walk *w, const struct access_deferred *d)
{
    struct access_verdict *v = w->verdict;
    v->outcome = ACCESS_REFUSE;
    v->code = d->code;
    memcpy(v->status, d->status, sizeof v->status);
    set_text(v->text, sizeof v->text, d->text);
    v->reason = d->reason;
}

enum access_word access_apply_deferred(struct access_walk *w, const struct access_deferred *d)
{
    set_verdict(w, d);
    return ACCESS_DENY;
}

static struct access_deferred make_refusal(struct access_walk *w, const struct access_subject *subject,
                                           struct access_reply reply, struct str text)
{
    struct access_deferred d = {.is_set = true, .text = text, .reason = access_reason_now(w)};
    if (reply.code < 400 || reply.code > 599) // a parameter or table out of its range
        reply.code = 451;
    d.code = (int)reply.code;
    set_status(d.status, sizeof d.status, subject, reply);
    return d;
}

enum access_word access_refuse_plain(struct access_walk *w, const struct access_subject *subject,
                                     struct access_reply reply, struct str text)
{
    struct access_deferred d = make_refusal(w, subject, reply, text);
    if (w->only_warns) {
        struct access_effect *e = access_add_effect(w, ACCESS_LOG, "reject_warning");
        e->text = arena_strf(w->arena, "%d %s " STR_FMT, d.code, d.status, STR_ARG(text));
        return ACCESS_NEXT;
    }
    if (w->if_reject.is_set && d.code / 100 == 5)
        d = w->if_reject;
    set_verdict(w, &d);
    return ACCESS_DENY;
}

static struct str compose(struct access_walk *w, const struct access_subject *subject, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));
static struct str compose(struct access_walk *w, const struct access_subject *subject, const char *format, va_list ap)
{
    struct buf b = BUF_INIT;
    buf_addf(&b, "<" STR_FMT ">: %s rejected: ", STR_ARG(subject->name), subject->class);
    buf_vaddf(&b, format, ap);
    struct str text = arena_str(w->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

enum access_word access_refuse(struct access_walk *w, const struct access_subject *subject, struct access_reply reply,
                               const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    struct str text = compose(w, subject, format, ap);
    va_end(ap);
    return access_refuse_plain(w, subject, reply, text);
}

// Errors of ours are never softened to a warning.
static enum access_word refuse_hard(struct access_walk *w, const char *status, struct str text)
{
    struct access_subject nobody = {STR(""), ""};
    struct access_deferred d = make_refusal(w, &nobody, REPLY(451, status), text);
    set_verdict(w, &d);
    return ACCESS_DENY;
}

enum access_word access_refuse_config(struct access_walk *w)
{
    return refuse_hard(w, "4.3.5", STR("Server configuration error"));
}

enum access_word access_refuse_lookup(struct access_walk *w, struct str key)
{
    return refuse_hard(w, "4.3.0", arena_strf(w->arena, "<" STR_FMT ">: Temporary lookup failure", STR_ARG(key)));
}

enum access_word access_hang_up(struct access_walk *w, struct str text)
{
    struct access_verdict *v = w->verdict;
    v->outcome = ACCESS_HANGUP;
    v->reason = access_reason_now(w);
    set_text(v->text, sizeof v->text, text);
    return ACCESS_DENY;
}

// Both wait for the other: whatever comes, the answer is "later", so the walk may end here.
static enum access_word end_if_sure(struct access_walk *w)
{
    if (!w->if_permit.is_set || !w->if_reject.is_set)
        return ACCESS_NEXT;
    set_verdict(w, &w->if_permit);
    return ACCESS_DENY;
}

enum access_word access_defer_if_permit(struct access_walk *w, const struct access_subject *subject,
                                        struct access_reply reply, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    struct str text = compose(w, subject, format, ap);
    va_end(ap);
    if (w->only_warns)
        return access_refuse_plain(w, subject, reply, text);
    if (!w->if_permit.is_set)
        w->if_permit = make_refusal(w, subject, reply, text);
    return end_if_sure(w);
}

enum access_word access_defer_if_reject(struct access_walk *w, const struct access_subject *subject,
                                        struct access_reply reply, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    struct str text = compose(w, subject, format, ap);
    va_end(ap);
    if (!w->if_reject.is_set)
        w->if_reject = make_refusal(w, subject, reply, text);
    return end_if_sure(w);
}

enum access_word access_refuse_uncertain(struct access_walk *w, struct str action, const struct access_subject *subject,
                                         struct access_reply reply, struct str why)
{
    if (str_is_nocase(action, STR("defer_if_permit")))
        return access_defer_if_permit(w, subject, reply, STR_FMT, STR_ARG(why));
    return access_refuse(w, subject, reply, STR_FMT, STR_ARG(why));
}

struct access_effect *access_add_effect(struct access_walk *w, enum access_effect_kind kind, const char *verb)
{
    struct access_verdict *v = w->verdict;
    if (v->effect_count == v->effect_cap) {
        size_t cap = v->effect_cap > 0 ? v->effect_cap * 2 : 4;
        struct access_effect *larger = ARENA_ARRAY(w->arena, struct access_effect, cap);
        if (v->effect_count > 0)
            memcpy(larger, v->effects, v->effect_count * sizeof(*larger));
        v->effects = larger;
        v->effect_cap = cap;
    }
    struct access_effect *e = &v->effects[v->effect_count++];
    *e = (struct access_effect){.kind = kind, .verb = verb, .reason = access_reason_now(w)};
    return e;
}
