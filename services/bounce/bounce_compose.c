// SPDX-License-Identifier: ISC
// bounce_compose.c: the notification itself: multipart/report with text, delivery status (RFC 3464) and the message or
// its headers. Trust: the returned message is hostile content and travels as it is, inside its own part. Suspends:
// submitting.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "services/bounce/bounce.h"

enum { WRAP_COLUMN = 79, WRAP_INDENT = 4, SUBMIT_SECONDS = 600, SENDOPT_SMTPUTF8 = 1, CHUNK = 32 * 1024 };

void bounce_add_wrapped(struct buf *b, struct str text)
{
    size_t column = 0;
    struct str word;
    while (str_token(&text, " \t", &word)) {
        if (column > 0 && column + 1 + word.len > WRAP_COLUMN) {
            buf_addf(b, "\n%*s", WRAP_INDENT, "");
            column = WRAP_INDENT;
        } else if (column > 0) {
            buf_add_char(b, ' ');
            column++;
        }
        buf_add_str(b, word);
        column += word.len;
    }
    buf_add_char(b, '\n');
}

static bool is_international(const struct bounce_mail *mail)
{
    return (mail->flush->sendopts & SENDOPT_SMTPUTF8) != 0;
}

// The message that is reported on, as far as it can be read.
struct bounce_original {
    int fd;
    struct queue_reader *reader; // NULL: not readable, which the notification says
    int64_t size;
    struct str message_id; // "" unless it was asked for
};

// With SMTPUTF8 anything may come, else what the message was: "8bit", or "" for 7bit, which need not be said.
static struct str encoding_of(const struct bounce_state *state, const struct bounce_mail *mail)
{
    bool is_8bit = state->settings->smtputf8_enable || str_is_nocase(mail->flush->encoding, STR("8bit"));
    return is_8bit ? STR("8bit") : STR("");
}

static void add_transfer_encoding(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail)
{
    struct str encoding = encoding_of(state, mail);
    if (encoding.len > 0)
        buf_addf(b, "Content-Transfer-Encoding: " STR_FMT "\n", STR_ARG(encoding));
}

// ---- Header of the notification

static void add_from(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail)
{
    const struct settings *s = state->settings;
    if (mail->text->from.len) { // "MAILER-DAEMON (Mail Delivery System)": the mapping of bare names is cleanup's
        buf_addf(b, "From: " STR_FMT "\n", STR_ARG(mail->text->from));
        return;
    }
    if (str_is_nocase(s->header_from_format, STR("obsolete")))
        buf_addf(b, "From: MAILER-DAEMON@" STR_FMT " (Mail Delivery System)\n", STR_ARG(s->myorigin));
    else
        buf_addf(b, "From: Mail Delivery System <MAILER-DAEMON@" STR_FMT ">\n", STR_ARG(s->myorigin));
}

static void add_header(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                       struct str boundary, struct str message_id)
{
    bool has_own_subject = mail->is_for_postmaster && mail->text->postmaster_subject.len;
    struct str subject = has_own_subject ? mail->text->postmaster_subject : mail->text->subject;
    buf_add_cstr(b, "Date: ");
    clock_add_rfc5322(b, clock_wall());
    buf_add_char(b, '\n');
    add_from(b, state, mail);
    buf_addf(b, "Subject: " STR_FMT "\nTo: ", STR_ARG(subject));
    address_add_external(b, mail->recipient);
    if (message_id.len)
        buf_addf(b, "\nReferences: " STR_FMT "\nIn-Reply-To: " STR_FMT, STR_ARG(message_id), STR_ARG(message_id));
    bool is_report = mail->flush->notice == BOUNCE_NOTICE_SUCCESS || mail->flush->notice == BOUNCE_NOTICE_VERIFY;
    buf_addf(b, "\nAuto-Submitted: %s\nMIME-Version: 1.0\n",
             mail->is_for_postmaster && !is_report ? "auto-generated" : "auto-replied");
    buf_addf(b, "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"" STR_FMT "\"\n",
             STR_ARG(boundary));
    add_transfer_encoding(b, state, mail);
    buf_add_cstr(b, "\nThis is a MIME-encapsulated message.\n");
}

// ---- Text part

static void add_text_entry(struct buf *b, const struct bounce_state *state, const struct bounce_entry *e)
{
    struct buf line = BUF_INIT;
    buf_add_char(&line, '<');
    if (e->recipient.len)
        address_add_external(&line, e->recipient);
    else
        buf_add_str(&line, state->settings->empty_address_recipient);
    buf_add_char(&line, '>');
    if (e->original_recipient.len && !str_is_nocase(e->original_recipient, e->recipient)) {
        buf_add_cstr(&line, " (expanded from <");
        address_add_external(&line, e->original_recipient);
        buf_add_cstr(&line, ">)");
    }
    buf_addf(&line, ": " STR_FMT, STR_ARG(e->reason));
    bounce_add_wrapped(b, buf_str(&line));
    buf_release(&line);
}

static void add_text_part(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                          struct str boundary)
{
    struct str charset = mail->text->charset;
    if ((charset.len == 0 || str_is_nocase(charset, STR("us-ascii"))) &&
        str_is_nocase(encoding_of(state, mail), STR("8bit")))
        charset = STR("utf-8"); // reasons may be anything
    buf_addf(b, "\n--" STR_FMT "\nContent-Description: Notification\n", STR_ARG(boundary));
    buf_addf(b, "Content-Type: text/plain; charset=" STR_FMT "\n",
             STR_ARG(charset.len > 0 ? charset : STR("us-ascii")));
    add_transfer_encoding(b, state, mail);
    buf_add_char(b, '\n');
    if (!mail->is_for_postmaster)
        buf_addf(b, STR_FMT "\n", STR_ARG(mail->text->body));
    for (size_t i = 0; i < mail->entry_count; i++) {
        add_text_entry(b, state, &mail->entries[i]);
        buf_add_char(b, '\n');
    }
    if (mail->entry_count == 0)
        buf_add_cstr(b, "\t--- Delivery report unavailable ---\n\n");
}

// ---- Delivery status (RFC 3464)

static const char *address_type(struct str address)
{
    return str_is_ascii(address) ? "rfc822" : "utf-8";
}

static void add_mail_name(struct buf *b, const struct bounce_state *state)
{
    struct str name = state->settings->mail_name;
    for (size_t i = 0; i < name.len; i++)
        buf_add_char(b, name.ptr[i] == ' ' ? '-' : name.ptr[i]);
}

static void add_message_fields(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail)
{
    const struct bounce_flush *f = mail->flush;
    buf_addf(b, "Reporting-MTA: dns; " STR_FMT "\n", STR_ARG(state->settings->myhostname));
    if (f->envelope_id.len)
        buf_addf(b, "Original-Envelope-Id: " STR_FMT "\n", STR_ARG(f->envelope_id));
    buf_add_cstr(b, "X-");
    add_mail_name(b, state);
    buf_addf(b, "-Queue-ID: " STR_FMT "\n", STR_ARG(f->queue_id));
    if (f->sender.len) {
        buf_add_cstr(b, "X-");
        add_mail_name(b, state);
        buf_addf(b, "-Sender: %s; ", address_type(f->sender));
        address_add_external(b, f->sender);
        buf_add_char(b, '\n');
    }
    buf_add_cstr(b, "Arrival-Date: ");
    clock_add_rfc5322(b, f->arrival_s);
    buf_add_char(b, '\n');
}

static void add_original_recipient(struct buf *b, const struct bounce_entry *e)
{
    if (e->dsn_orcpt.len) {
        buf_addf(b, "Original-Recipient: " STR_FMT "\n", STR_ARG(e->dsn_orcpt));
    } else if (e->original_recipient.len && !str_is_nocase(e->original_recipient, e->recipient)) {
        buf_addf(b, "Original-Recipient: %s; ", address_type(e->original_recipient));
        address_add_external(b, e->original_recipient);
        buf_add_char(b, '\n');
    }
}

static void add_diagnosis(struct buf *b, const struct bounce_state *state, const struct bounce_entry *e)
{
    struct buf line = BUF_INIT;
    buf_add_cstr(&line, "Diagnostic-Code: ");
    if (e->diag_type.len && e->diag_text.len) {
        buf_addf(&line, STR_FMT "; " STR_FMT, STR_ARG(e->diag_type), STR_ARG(e->diag_text));
    } else {
        buf_add_cstr(&line, "X-");
        add_mail_name(&line, state);
        buf_addf(&line, "; " STR_FMT, STR_ARG(e->reason));
    }
    bounce_add_wrapped(b, buf_str(&line));
    buf_release(&line);
}

static void add_recipient_fields(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                                 const struct bounce_entry *e)
{
    buf_addf(b, "\nFinal-Recipient: %s; ", address_type(e->recipient));
    if (e->recipient.len)
        address_add_external(b, e->recipient);
    else
        buf_add_str(b, state->settings->empty_address_recipient);
    buf_add_char(b, '\n');
    add_original_recipient(b, e);
    buf_addf(b, "Action: " STR_FMT "\nStatus: " STR_FMT "\n", STR_ARG(e->action), STR_ARG(e->status));
    if (e->mta_type.len && e->mta_name.len)
        buf_addf(b, "Remote-MTA: " STR_FMT "; " STR_FMT "\n", STR_ARG(e->mta_type), STR_ARG(e->mta_name));
    add_diagnosis(b, state, e);
    if (mail->flush->notice == BOUNCE_NOTICE_DELAY) {
        buf_add_cstr(b, "Will-Retry-Until: ");
        clock_add_rfc5322(b, mail->flush->arrival_s + state->settings->maximal_queue_lifetime);
        buf_add_char(b, '\n');
    }
}

void bounce_add_report(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                       struct str boundary)
{
    add_text_part(b, state, mail, boundary);
    buf_addf(b, "--" STR_FMT "\nContent-Description: Delivery report\n", STR_ARG(boundary));
    buf_addf(b, "Content-Type: message/%sdelivery-status\n", is_international(mail) ? "global-" : "");
    if (is_international(mail))
        add_transfer_encoding(b, state, mail);
    buf_add_char(b, '\n');
    add_message_fields(b, state, mail);
    for (size_t i = 0; i < mail->entry_count; i++)
        add_recipient_fields(b, state, mail, &mail->entries[i]);
}

// ---- The returned message

static void add_returned_head(struct buf *b, const struct bounce_state *state, const struct bounce_mail *mail,
                              struct str boundary)
{
    bool is_whole = mail->has_whole_message;
    bool is_failure = mail->flush->notice == BOUNCE_NOTICE_FAILURE || mail->flush->notice == BOUNCE_NOTICE_DELAY;
    bool is_global = is_international(mail);
    const char *type = is_whole ? (is_global ? "message/global" : "message/rfc822")
                                : (is_global ? "message/global-headers" : "text/rfc822-headers");
    buf_addf(b, "\n--" STR_FMT "\nContent-Description: %sMessage%s\n", STR_ARG(boundary),
             is_failure ? "Undelivered " : "", is_whole ? "" : " Headers");
    buf_addf(b, "Content-Type: %s\n", type);
    add_transfer_encoding(b, state, mail);
    buf_add_cstr(b, "\nReturn-Path: <");
    address_add_external(b, mail->flush->sender);
    buf_add_cstr(b, ">\n");
}

// Copies content, or its header. Lines that were cut in the file are joined again.
static int copy_content(struct submit *s, struct queue_reader *reader, bool is_whole, struct err *err) CO
{
    struct buf chunk = BUF_INIT;
    struct str text;
    bool line_ended = true, was_ended = true;
    int rc;
    while ((rc = queue_reader_next(reader, &text, &line_ended, err)) == 1) {
        if (!is_whole && was_ended && line_ended && text.len == 0)
            break;
        buf_add_str(&chunk, text);
        if (line_ended)
            buf_add_char(&chunk, '\n');
        was_ended = line_ended;
        if (chunk.len >= CHUNK) {
            if ((rc = submit_write(s, buf_str(&chunk), err)) < 0)
                break;
            buf_clear(&chunk);
        }
    }
    if (!was_ended)
        buf_add_char(&chunk, '\n');
    if (rc >= 0 && chunk.len > 0)
        rc = submit_write(s, buf_str(&chunk), err);
    buf_release(&chunk);
    return rc < 0 ? -1 : 0;
}

static void open_original(const struct bounce_state *state, const struct bounce_flush *f, struct arena *arena,
                          struct bounce_original *o_r)
{
    struct queue_envelope envelope;
    struct err err = ERR_INIT;
    bool is_threaded = state->settings->enable_threaded_bounces;
    *o_r = (struct bounce_original){.message_id = STR("")};
    o_r->fd = queue_file_open(AT_FDCWD, &state->layout, arena_cstr(arena, f->queue_name), f->queue_id, O_RDONLY, &err);
    // The Message-Id stands behind all recipients.
    if (o_r->fd >= 0 && queue_envelope_read(o_r->fd, arena, is_threaded ? 0 : 1, 0, &envelope, &err) == 0) {
        o_r->size = envelope.message_size;
        o_r->reader = queue_reader_open(o_r->fd, envelope.data_offset, &err);
        if (is_threaded)
            o_r->message_id = queue_envelope_attr(&envelope, "message_id");
    }
    if (o_r->reader == NULL)
        log_warn(STR_FMT ": cannot read the message to be returned: %s", STR_ARG(f->queue_id), err.text);
}

static void close_original(struct bounce_original *o)
{
    queue_reader_close(o->reader);
    if (o->fd >= 0)
        close(o->fd);
}

// ---- Submission

static struct submit *begin(struct bounce_state *state, const struct bounce_mail *mail, struct arena *arena,
                            struct err *err) CO
{
    const struct settings *s = state->settings;
    struct buf date = BUF_INIT;
    struct submit_recipient recipient = {.address = mail->recipient, .dsn_orcpt = STR("")};
    const struct submit_attr attrs[] = {{"log_message_origin", STR("local")},
                                        {"rewrite_context", STR("local")},
                                        {"encoding", encoding_of(state, mail)}};
    clock_add_rfc5322(&date, clock_wall());
    struct submit_envelope e = {
        .sender = mail->sender,
        .recipients = &recipient,
        .recipient_count = 1,
        .attrs = attrs,
        .attr_count = sizeof attrs / sizeof attrs[0] - (encoding_of(state, mail).len == 0), // unknown: not said
        .flags = SUBMIT_BOUNCE | SUBMIT_MAP | SUBMIT_ADD_MISSING,
        .fullname = STR(""),
        .envelope_id = STR(""),
        .verp = STR(""),
        .filter = STR(""),
        .redirect = STR(""),
        .sendopts = mail->flush->sendopts & SENDOPT_SMTPUTF8,
        .received_before = arena_strf(arena, "Received: by " STR_FMT " (" STR_FMT ")\n\tid ", STR_ARG(s->myhostname),
                                      STR_ARG(s->mail_name)),
        .received_after = arena_strf(arena, "; %s", buf_cstr(&date)),
        .log_tag = STR(""),
        .log_text = STR(""),
    };
    buf_release(&date);
    return submit_begin(state->pool, &e, clock_deadline(SUBMIT_SECONDS), err);
}

static int write_all(struct bounce_state *state, const struct bounce_mail *mail, const struct bounce_original *original,
                     struct submit *s, struct err *err) CO
{
    struct buf text = BUF_INIT, boundary = BUF_INIT;
    buf_addf(&boundary, STR_FMT ".%lld/" STR_FMT, STR_ARG(mail->flush->queue_id), (long long)clock_wall(),
             STR_ARG(state->settings->myhostname));
    add_header(&text, state, mail, buf_str(&boundary), original->message_id);
    bounce_add_report(&text, state, mail, buf_str(&boundary));
    add_returned_head(&text, state, mail, buf_str(&boundary));
    if (original->reader == NULL)
        buf_add_cstr(&text, "\t--- Undelivered message unavailable ---\n");
    int rc = submit_write(s, buf_str(&text), err);
    if (rc == 0 && original->reader != NULL)
        rc = copy_content(s, original->reader, mail->has_whole_message, err);
    buf_clear(&text);
    buf_addf(&text, "\n--%s--\n", buf_cstr(&boundary));
    if (rc == 0)
        rc = submit_write(s, buf_str(&text), err);
    buf_release(&text);
    buf_release(&boundary);
    return rc;
}

int bounce_mail_send(struct bounce_state *state, const struct bounce_mail *mail, struct buf *new_id_r, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct submit_result result = {0};
    struct bounce_original original;
    struct bounce_mail sized = *mail;
    int rc = -1;
    open_original(state, mail->flush, &arena, &original);
    sized.has_whole_message = mail->has_whole_message && original.size <= state->settings->bounce_size_limit;
    struct submit *s = begin(state, &sized, &arena, err);
    if (s != NULL && write_all(state, &sized, &original, s, err) < 0)
        submit_abort(s);
    else if (s != NULL)
        rc = submit_finish(s, &result, err);
    if (rc == 0 && result.code != 250)
        rc = err_set(err, ERR_TEMPORARY, "%s %s", result.status, result.reason);
    buf_clear(new_id_r);
    if (rc == 0)
        buf_add_cstr(new_id_r, result.queue_id);
    close_original(&original);
    arena_release(&arena);
    return rc;
}
