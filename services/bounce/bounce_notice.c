// SPDX-License-Identifier: ISC
// bounce_notice.c: who is notified of what: NOTIFY, null senders, postmaster copies, and no loops.
//
// A notification about mail with a sender goes to that sender, from the null sender; about mail from the null sender at
// most to the postmaster, from the double-bounce address; about mail from that address to nobody. Suspends: submitting.
#include <fcntl.h>

#include <unistd.h>

#include "lib/agent/verp.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_file.h"
#include "services/bounce/bounce.h"

enum { NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8, ENTRIES_MAX = 100000 };

struct notice_entries {
    struct bounce_entry *items;
    size_t count;
};

static bool has_class(const struct bounce_state *state, const char *name)
{
    struct str list = state->settings->notify_classes, token;
    while (str_token(&list, ", \t\r\n", &token))
        if (str_is_nocase(token, str_from(name)))
            return true;
    return false;
}

static const char *log_of(enum bounce_notice notice)
{
    return notice == BOUNCE_NOTICE_FAILURE ? QUEUE_BOUNCE : notice == BOUNCE_NOTICE_DELAY ? QUEUE_DEFER : QUEUE_TRACE;
}

// RFC 3461: without NOTIFY failures and delays are reported.
static bool sender_wants(enum bounce_notice notice, int notify)
{
    if (notice == BOUNCE_NOTICE_FAILURE)
        return notify == 0 || notify & NOTIFY_FAILURE;
    if (notice == BOUNCE_NOTICE_DELAY)
        return notify == 0 || notify & NOTIFY_DELAY;
    return notice == BOUNCE_NOTICE_VERIFY || notify & NOTIFY_SUCCESS;
}

static void parse_entries(struct str text, enum bounce_notice notice, struct arena *arena, struct notice_entries *all_r)
{
    struct bounce_entry entry;
    size_t room = 0;
    *all_r = (struct notice_entries){NULL, 0};
    while (all_r->count < ENTRIES_MAX && bounce_log_next(&text, notice == BOUNCE_NOTICE_DELAY, arena, &entry) == 1) {
        if (all_r->count == room) {
            struct bounce_entry *more = ARENA_ARRAY(arena, struct bounce_entry, room = room ? room * 2 : 8);
            if (all_r->count)
                memcpy(more, all_r->items, all_r->count * sizeof *more);
            all_r->items = more;
        }
        all_r->items[all_r->count++] = entry;
    }
}

static struct notice_entries wanted_entries(const struct notice_entries *all, enum bounce_notice notice,
                                            struct arena *arena)
{
    struct notice_entries wanted = {ARENA_ARRAY(arena, struct bounce_entry, all->count), 0};
    for (size_t i = 0; i < all->count; i++)
        if (sender_wants(notice, all->items[i].notify))
            wanted.items[wanted.count++] = all->items[i];
    return wanted;
}

static struct str with_domain(struct str address, struct str domain, struct arena *arena)
{
    if (str_rfind(address, '@') >= 0)
        return address;
    return arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(address), STR_ARG(domain));
}

// Ours only: elsewhere the name means nothing.
static bool is_double_bounce(const struct bounce_state *state, struct str sender)
{
    const struct settings *s = state->settings;
    struct str domain = address_domain(sender);
    if (str_is_nocase(sender, s->double_bounce_sender))
        return true;
    return str_is_nocase(address_local(sender), s->double_bounce_sender) &&
           (str_is_nocase(domain, s->myhostname) || str_is_nocase(domain, s->myorigin));
}

static int send_one(struct bounce_state *state, const struct bounce_mail *mail, struct err *err) CO
{
    static const char *const kinds[] = {"non-delivery", "delay", "delivery status", "delivery status"};
    struct buf new_id = BUF_INIT;
    const char *who = mail->is_for_postmaster ? "postmaster" : "sender";
    int rc = bounce_mail_send(state, mail, &new_id, err);
    struct str id = mail->flush->queue_id;
    if (rc == 0)
        log_info(STR_FMT ": %s %s notification: %s", STR_ARG(id), who, kinds[mail->flush->notice], buf_cstr(&new_id));
    else
        log_warn(STR_FMT ": %s notification failed to " STR_FMT ": %s", STR_ARG(id), who, STR_ARG(mail->recipient),
                 err->text);
    buf_release(&new_id);
    return rc;
}

// The delimiters, when the message was sent with a sender address for each recipient.
static struct str read_verp(const struct bounce_state *state, const struct bounce_flush *f, struct arena *arena)
{
    struct queue_envelope envelope;
    struct err err = ERR_INIT;
    struct str verp = STR("");
    if (f->notice != BOUNCE_NOTICE_FAILURE || state->settings->disable_verp_bounces)
        return verp;
    int fd = queue_file_open(AT_FDCWD, &state->layout, arena_cstr(arena, f->queue_name), f->queue_id, O_RDONLY, &err);
    if (fd >= 0 && queue_envelope_read(fd, arena, 1, 0, &envelope, &err) == 0)
        verp = envelope.verp;
    if (fd >= 0)
        close(fd);
    return verp;
}

// One notification for each recipient, to the sender address that names it.
static int tell_verp_senders(struct bounce_state *state, struct bounce_mail *mail, struct str verp, struct err *err) CO
{
    const struct bounce_entry *entries = mail->entries;
    size_t count = mail->entry_count;
    struct buf recipient = BUF_INIT;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        buf_clear(&recipient);
        verp_add_sender(&recipient, verp, mail->flush->sender, entries[i].original_recipient);
        mail->recipient = buf_str(&recipient);
        mail->entries = &entries[i];
        mail->entry_count = 1;
        rc = send_one(state, mail, err);
    }
    buf_release(&recipient);
    return rc;
}

// REQUIRETLS mail: the notice may travel less protected than the message was to (RFC 8689 5).
static bool is_confidential(const struct bounce_state *state, const struct bounce_flush *f)
{
    const struct settings *s = state->settings;
    return (f->sendopts & QUEUE_SENDOPT_REQUIRETLS) && s->requiretls_enable && s->requiretls_redact_dsn;
}

static int tell_sender(struct bounce_state *state, const struct bounce_flush *f, const struct notice_entries *all,
                       struct arena *arena, struct err *err) CO
{
    struct notice_entries wanted = wanted_entries(all, f->notice, arena);
    if (wanted.count == 0)
        return 0;
    struct bounce_mail mail = {
        .flush = f,
        .text = &state->templates.of[f->notice],
        .entries = wanted.items,
        .entry_count = wanted.count,
        .sender = STR(""),
        .recipient = f->sender,
        .has_whole_message = f->notice == BOUNCE_NOTICE_FAILURE && f->ret_flags != 2 && !is_confidential(state, f),
    };
    struct str verp = read_verp(state, f, arena);
    return verp.len ? tell_verp_senders(state, &mail, verp, err) : send_one(state, &mail, err);
}

static int tell_postmaster(struct bounce_state *state, const struct bounce_flush *f, const struct notice_entries *all,
                           struct str recipient, struct arena *arena, struct err *err) CO
{
    const struct settings *s = state->settings;
    struct bounce_mail mail = {
        .flush = f,
        .text = &state->templates.of[f->notice],
        .entries = all->items,
        .entry_count = all->count,
        .sender = with_domain(s->double_bounce_sender, s->myhostname, arena),
        .recipient = with_domain(recipient, s->myorigin, arena),
        .is_for_postmaster = true,
        .has_whole_message = f->sender.len == 0 && f->notice != BOUNCE_NOTICE_SUCCESS,
    };
    return send_one(state, &mail, err);
}

// Mail from the null sender: nobody to tell but the postmaster, if that was asked for.
static int notify_null_sender(struct bounce_state *state, const struct bounce_flush *f,
                              const struct notice_entries *all, struct arena *arena, struct err *err) CO
{
    const struct settings *s = state->settings;
    if (f->notice == BOUNCE_NOTICE_DELAY)
        return has_class(state, "delay") ? tell_postmaster(state, f, all, s->delay_notice_recipient, arena, err) : 0;
    bool wants = has_class(state, "2bounce") || (f->notice == BOUNCE_NOTICE_FAILURE && has_class(state, "bounce"));
    if (wants)
        return tell_postmaster(state, f, all, s->double_bounce_notice_recipient, arena, err);
    if (f->notice != BOUNCE_NOTICE_FAILURE)
        log_info(STR_FMT ": not sending trace/success notification for single-bounce message", STR_ARG(f->queue_id));
    return 0;
}

static int notify_all(struct bounce_state *state, const struct bounce_flush *f, const struct notice_entries *all,
                      struct arena *arena, struct err *err) CO
{
    const struct settings *s = state->settings;
    if (is_double_bounce(state, f->sender)) {
        if (f->notice == BOUNCE_NOTICE_FAILURE)
            log_warn(STR_FMT ": undeliverable postmaster notification discarded", STR_ARG(f->queue_id));
        else if (f->notice != BOUNCE_NOTICE_DELAY)
            log_info(STR_FMT ": not sending trace/success notification for double-bounce message",
                     STR_ARG(f->queue_id));
        return 0;
    }
    if (f->sender.len == 0)
        return notify_null_sender(state, f, all, arena, err);
    if (tell_sender(state, f, all, arena, err) < 0)
        return -1;
    if (f->notice == BOUNCE_NOTICE_FAILURE && has_class(state, "bounce"))
        return tell_postmaster(state, f, all, s->bounce_notice_recipient, arena, err);
    if (f->notice == BOUNCE_NOTICE_DELAY && has_class(state, "delay"))
        return tell_postmaster(state, f, all, s->delay_notice_recipient, arena, err);
    return 0;
}

int bounce_notify(struct bounce_state *state, const struct bounce_flush *flush, struct err *err)
{
    struct buf text = BUF_INIT;
    struct arena arena = ARENA_INIT;
    struct notice_entries all;
    const char *which = log_of(flush->notice);
    int rc = bounce_file_read(&state->layout, which, flush->queue_id, &text, err);
    if (rc == 1) {
        parse_entries(buf_str(&text), flush->notice, &arena, &all);
        rc = text.len > 0 ? notify_all(state, flush, &all, &arena, err) : 0;
        if (rc == 0 && flush->notice != BOUNCE_NOTICE_DELAY)
            rc = queue_file_remove(AT_FDCWD, &state->layout, which, flush->queue_id, err) < 0 ? -1 : 0;
    }
    arena_release(&arena);
    buf_release(&text);
    return rc;
}
