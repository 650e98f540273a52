// SPDX-License-Identifier: ISC
// smtp_command.c: the envelope as command lines, with the parameters that the server offers. Pure.
// Trust: addresses come from queue files; what holds control characters is never sent (smtp_address_is_sendable).
#include "lib/mail/address.h"
#include "smtp/smtp.h"

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum { RET_FULL = 1, RET_HEADERS = 2 };
enum { SMTPUTF8_REQUESTED = 1, SMTPUTF8_NEEDED = 2 | 4 | 8 }; // of sendopts; needed by header, sender, recipient

bool smtp_address_is_sendable(struct str internal)
{
    for (size_t i = 0; i < internal.len; i++) {
        unsigned char c = (unsigned char)internal.ptr[i];
        if (c < ' ' || c == 127)
            return false;
    }
    return internal.len <= ADDRESS_MAX;
}

bool smtp_needs_smtputf8(const struct delivery_request *r)
{
    if (r->sendopts & SMTPUTF8_NEEDED)
        return true;
    if (!(r->sendopts & SMTPUTF8_REQUESTED))
        return false;
    for (size_t i = 0; i < r->recipient_count; i++)
        if (!str_is_ascii(r->recipients[i].address))
            return true;
    return !str_is_ascii(r->sender);
}

static void add_path(struct buf *b, struct str address, bool quotes)
{
    buf_add_char(b, '<');
    if (quotes)
        address_add_external(b, address);
    else
        buf_add_str(b, address);
    buf_add_char(b, '>');
}

void smtp_command_mail(struct buf *b, const struct delivery_request *r, unsigned features, bool quotes)
{
    buf_add_cstr(b, "MAIL FROM:");
    add_path(b, r->sender, quotes);
    if ((features & SMTP_HAS_SIZE) && r->message_size > 0)
        buf_addf(b, " SIZE=%lld", (long long)r->message_size);
    if (features & SMTP_HAS_8BITMIME) {
        if (str_is_nocase(r->encoding, STR("8bit")))
            buf_add_cstr(b, " BODY=8BITMIME");
        else if (str_is_nocase(r->encoding, STR("7bit")))
            buf_add_cstr(b, " BODY=7BIT");
    }
    if ((features & SMTP_HAS_SMTPUTF8) && smtp_needs_smtputf8(r))
        buf_add_cstr(b, " SMTPUTF8");
    if ((features & SMTP_HAS_REQUIRETLS) && (r->sendopts & QUEUE_SENDOPT_REQUIRETLS))
        buf_add_cstr(b, " REQUIRETLS");
    if (features & SMTP_HAS_DSN) {
        if (r->ret_flags == RET_FULL || r->ret_flags == RET_HEADERS)
            buf_addf(b, " RET=%s", r->ret_flags == RET_FULL ? "FULL" : "HDRS");
        if (r->envelope_id.len > 0) {
            buf_add_cstr(b, " ENVID=");
            address_xtext_add(b, r->envelope_id);
        }
    }
    buf_add_cstr(b, "\r\n");
}

static void add_notify(struct buf *b, int notify)
{
    static const struct {
        int bit;
        const char *word;
    } words[] = {{NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";

    if (notify & NOTIFY_NEVER) {
        buf_add_cstr(b, " NOTIFY=NEVER");
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (notify & words[i].bit) {
            buf_addf(b, "%s%s", separator, words[i].word);
            separator = ",";
        }
}

// "rfc822;a@b": the type goes as it is, the address as xtext.
static void add_orcpt(struct buf *b, const struct delivery_recipient *rcpt)
{
    struct str type, address = rcpt->dsn_orcpt;

    if (str_cut(&address, ';', &type) && type.len > 0 && address.len > 0 && str_is_printable(type)) {
        buf_addf(b, " ORCPT=" STR_FMT ";", STR_ARG(type));
        address_xtext_add(b, address);
    } else if (rcpt->original.len > 0) {
        buf_add_cstr(b, " ORCPT=rfc822;");
        address_xtext_add(b, rcpt->original);
    }
}

void smtp_command_rcpt(struct buf *b, const struct delivery_recipient *rcpt, unsigned features, bool quotes)
{
    buf_add_cstr(b, "RCPT TO:");
    add_path(b, rcpt->address, quotes);
    if (features & SMTP_HAS_DSN) {
        add_notify(b, rcpt->notify);
        add_orcpt(b, rcpt);
    }
    buf_add_cstr(b, "\r\n");
}

struct forward_item {
    unsigned feature;
    const char *name;
    struct str value;
};

static bool add_xforward(struct buf *b, const struct forward_item *items, size_t count, unsigned features)
{
    bool has_any = false;

    for (size_t i = 0; i < count; i++) {
        if (!(features & items[i].feature))
            continue;
        buf_add_cstr(b, has_any ? " " : "XFORWARD ");
        buf_addf(b, "%s=", items[i].name);
        if (items[i].value.len == 0)
            buf_add_cstr(b, "[UNAVAILABLE]");
        else
            address_xtext_add(b, items[i].value);
        has_any = true;
    }
    if (has_any)
        buf_add_cstr(b, "\r\n");
    return has_any;
}

bool smtp_command_xforward_name(struct buf *b, const struct delivery_request *r, unsigned features)
{
    const struct forward_item items[] = {{SMTP_HAS_XFORWARD_NAME, "NAME", r->client_name},
                                         {SMTP_HAS_XFORWARD_ADDR, "ADDR", r->client_address},
                                         {SMTP_HAS_XFORWARD_PORT, "PORT", r->client_port}};

    return add_xforward(b, items, sizeof items / sizeof items[0], features);
}

bool smtp_command_xforward_proto(struct buf *b, const struct delivery_request *r, unsigned features)
{
    bool is_local = str_is(r->rewrite_context, STR("local"));
    const struct forward_item items[] = {{SMTP_HAS_XFORWARD_PROTO, "PROTO", r->protocol_name},
                                         {SMTP_HAS_XFORWARD_HELO, "HELO", r->helo_name},
                                         {SMTP_HAS_XFORWARD_IDENT, "IDENT", r->log_ident},
                                         {SMTP_HAS_XFORWARD_SOURCE, "SOURCE", is_local ? STR("LOCAL") : STR("REMOTE")}};

    return add_xforward(b, items, sizeof items / sizeof items[0], features);
}
