// SPDX-License-Identifier: ISC
// transcript.c: gathers the lines of a session and mails them. Trust: lines come from peers. Suspends: sending.
#include "lib/agent/transcript.h"

#include "lib/base/clock.h"

enum { WRAP_COLUMN = 72, WRAP_INDENT = 5, SEND_SECONDS = 60 };

// A line longer than a screen is continued below, indented.
static void add_wrapped(struct buf *b, const char *head, struct str text)
{
    struct str word, rest = text;
    size_t column = strlen(head);
    buf_add_cstr(b, head);
    for (bool is_first = true, more = true; more; is_first = false) {
        more = str_cut(&rest, ' ', &word);
        if (!is_first && column + 1 + word.len > WRAP_COLUMN) {
            buf_addf(b, "\n%*s", WRAP_INDENT, "");
            column = WRAP_INDENT;
        } else if (!is_first) {
            buf_add_char(b, ' ');
            column++;
        }
        buf_add_str(b, word);
        column += word.len;
    }
    buf_add_char(b, '\n');
}

void transcript_add(struct transcript *t, const char *head, struct str line)
{
    struct buf clean = BUF_INIT;
    buf_add_printable(&clean, line, TRANSCRIPT_LINE_MAX);
    add_wrapped(&t->text, head, buf_str(&clean));
    buf_release(&clean);
    t->lines++;
    if (t->text.len <= TRANSCRIPT_MAX)
        return;
    struct str old = str_slice(buf_str(&t->text), 0, t->text.len - TRANSCRIPT_MAX / 2);
    buf_consume(&t->text, (size_t)str_rfind(old, '\n') + 1);
}

void transcript_clear(struct transcript *t)
{
    buf_release(&t->text);
    t->lines = 0;
}

static void write_report(struct buf *b, const struct transcript *t, const struct transcript_report *about,
                         const struct settings *set)
{
    struct str to = set->error_notice_recipient;
    bool is_bare = str_find(to, '@') < 0;
    buf_add_cstr(b, "Date: ");
    clock_add_rfc5322(b, clock_wall());
    buf_addf(b, "\nFrom: Mail Delivery System <MAILER-DAEMON@" STR_FMT ">\nTo: Postmaster <" STR_FMT "%s" STR_FMT ">\n",
             STR_ARG(set->myhostname), STR_ARG(to), is_bare ? "@" : "", STR_ARG(is_bare ? set->myorigin : STR_NULL));
    buf_addf(b, "Subject: " STR_FMT " %s: errors from " STR_FMT "\n\n", STR_ARG(set->mail_name), about->role,
             STR_ARG(about->peer));
    if (about->opening.len > 0)
        buf_addf(b, STR_FMT "\n\n", STR_ARG(about->opening));
    buf_add_cstr(b, "Transcript of session follows.\n\n");
    buf_add_str(b, buf_str(&t->text));
    buf_add_cstr(b, "\n\nFor other details, see the local mail logfile\n");
}

static struct submit *begin(const struct settings *set, struct submit_pool *pool, struct arena *arena,
                            struct err *err) CO
{
    struct submit_recipient to = {.address = set->error_notice_recipient};
    struct submit_attr attrs[] = {{"rewrite_context", STR("local")}, {"log_message_origin", STR("local")}};
    struct submit_envelope e = {.recipients = &to,
                                .recipient_count = 1,
                                .attrs = attrs,
                                .attr_count = 2,
                                .flags = SUBMIT_BOUNCE | SUBMIT_MAP | SUBMIT_ADD_MISSING};
    struct buf date = BUF_INIT;
    clock_add_rfc5322(&date, clock_wall());
    e.sender = arena_strf(arena, STR_FMT "@" STR_FMT, STR_ARG(set->double_bounce_sender), STR_ARG(set->myorigin));
    e.received_before = arena_strf(arena, "Received: by " STR_FMT " (" STR_FMT ")\n\tid ", STR_ARG(set->myhostname),
                                   STR_ARG(set->mail_name));
    e.received_after = arena_strf(arena, "; %s", buf_cstr(&date));
    buf_release(&date);
    return submit_begin(pool, &e, clock_deadline(SEND_SECONDS), err);
}

int transcript_send(const struct transcript *t, const struct transcript_report *about, const struct settings *set,
                    struct submit_pool *pool, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct buf report = BUF_INIT;
    struct submit_result result;
    write_report(&report, t, about, set);
    struct submit *submit = begin(set, pool, &arena, err);
    int rc = submit == NULL ? -1 : submit_write(submit, buf_str(&report), err);
    buf_release(&report);
    arena_release(&arena);
    if (rc < 0) {
        if (submit != NULL)
            submit_abort(submit);
        return -1;
    }
    if (submit_finish(submit, &result, err) < 0)
        return -1;
    return result.code == 250 ? 0 : err_set(err, ERR_TEMPORARY, "%d %s", result.code, result.reason);
}
