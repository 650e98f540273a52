// SPDX-License-Identifier: ISC
// cleanup_headers.c: single headers (rewriting, dropping, recipients for sendmail -t) and those that are missing.
// Trust: headers come from the message's author. Suspends: in tables. Limits: hopcount_limit, ADDRESS_LIST_MAX
// addresses.
#include "cleanup/cleanup.h"
#include "lib/mail/address.h"

#define REQUIRE_TLS_HEADER "Require-TLS-ESMTP"

enum header_kind { HEADER_OTHER = 0, HEADER_SENDERS = 1, HEADER_RECIPIENTS = 2, HEADER_RESENT = 4, HEADER_EXTRACT = 8 };

struct header_info {
    const char *name;
    unsigned kind, seen;
};

static const struct header_info *header_find(struct str name) /* long: table */
{
    static const struct header_info known[] = {
        {"From", HEADER_SENDERS, SEEN_FROM},
        {"To", HEADER_RECIPIENTS | HEADER_EXTRACT, SEEN_TO},
        {"Cc", HEADER_RECIPIENTS | HEADER_EXTRACT, SEEN_TO},
        {"Bcc", HEADER_RECIPIENTS | HEADER_EXTRACT, SEEN_TO},
        {"Date", HEADER_OTHER, SEEN_DATE},
        {"Message-Id", HEADER_OTHER, SEEN_MESSAGE_ID},
        {"Sender", HEADER_SENDERS, 0},
        {"Reply-To", HEADER_SENDERS, 0},
        {"Errors-To", HEADER_SENDERS, 0},
        {"Return-Receipt-To", HEADER_SENDERS, 0},
        {"Disposition-Notification-To", HEADER_SENDERS, 0},
        {"Mail-Followup-To", HEADER_SENDERS, 0},
        {"Apparently-To", HEADER_RECIPIENTS, 0},
        {"Resent-From", HEADER_SENDERS | HEADER_RESENT, SEEN_RESENT_FROM},
        {"Resent-Sender", HEADER_SENDERS | HEADER_RESENT, 0},
        {"Resent-Reply-To", HEADER_SENDERS | HEADER_RESENT, 0},
        {"Resent-To", HEADER_RECIPIENTS | HEADER_RESENT | HEADER_EXTRACT, SEEN_RESENT_TO},
        {"Resent-Cc", HEADER_RECIPIENTS | HEADER_RESENT | HEADER_EXTRACT, SEEN_RESENT_TO},
        {"Resent-Bcc", HEADER_RECIPIENTS | HEADER_RESENT | HEADER_EXTRACT, SEEN_RESENT_TO},
        {"Resent-Date", HEADER_RESENT, SEEN_RESENT_DATE},
        {"Resent-Message-Id", HEADER_RESENT, SEEN_RESENT_MESSAGE_ID},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_is_nocase(name, str_from(known[i].name)))
            return &known[i];
    return NULL;
}

static bool is_dropped(struct cleanup_message *m, struct str name)
{
    struct str rest = m->daemon->settings->message_drop_headers, word;
    while (str_token(&rest, ", \t\r\n", &word))
        if (str_is_nocase(word, name))
            return true;
    return false;
}

// ---- Addresses in headers

static void collect_recipients(struct cleanup_message *m, const struct header_info *info, struct str value)
{
    struct address_scan scan;
    struct address_span span;
    struct cleanup_recipients *list = &m->from_headers[info->kind & HEADER_RESENT ? 1 : 0];
    address_scan_init(&scan, value);
    while (address_scan_next(&scan, &m->arena, &span) > 0) {
        if (!span.is_valid || span.address.len == 0)
            continue;
        if (list->count == ADDRESS_LIST_MAX) {
            cleanup_refuse(m, 552, "5.5.3", "Error: too many recipients in the headers");
            return;
        }
        struct submit_recipient r = {.address = span.address, .dsn_orcpt = STR("")};
        cleanup_remember(m, list, &r);
    }
}

// Appends `header` to scratch with each address replaced by its mapped form. False: nothing changed.
static bool rewrite_addresses(struct cleanup_message *m, struct str header, struct str value, bool is_recipient) CO
{
    struct address_scan scan;
    struct address_span span;
    size_t done = (size_t)(value.ptr - header.ptr), base = done;
    bool has_changed = false;
    buf_clear(&m->scratch);
    address_scan_init(&scan, value);
    while (address_scan_next(&scan, &m->arena, &span) > 0) {
        if (!span.is_valid || span.address.len == 0)
            continue;
        struct str mapped = cleanup_map_header_address(m, span.address, is_recipient);
        if (str_is(mapped, span.address))
            continue;
        if (!has_changed)
            buf_add_str(&m->scratch, str_slice(header, 0, base));
        buf_add_str(&m->scratch, str_slice(header, done, base + span.from));
        address_add_external(&m->scratch, mapped);
        done = base + span.to;
        has_changed = true;
    }
    if (has_changed)
        buf_add_str(&m->scratch, str_slice(header, done, header.len));
    return has_changed;
}

static bool rewrites_headers(const struct cleanup_message *m)
{
    return m->is_local || m->daemon->settings->remote_header_rewrite_domain.len > 0;
}

// ---- One header

static bool records_requiretls(const struct cleanup_message *m)
{
    return m->daemon->settings->requiretls_enable && m->daemon->settings->requiretls_esmtp_header;
}

static void note_special(struct cleanup_message *m, struct str name, struct str value)
{
    if (str_is_nocase(name, STR("Received"))) {
        m->hop_count++;
    } else if (str_is_nocase(name, STR("Message-Id"))) {
        m->message_id = arena_str(&m->arena, str_slice(value, 0, 512));
    } else if (str_is_nocase(name, STR("Resent-Message-Id"))) {
        m->resent_message_id = arena_str(&m->arena, str_slice(value, 0, 512));
    } else if (str_is_nocase(name, STR("TLS-Required"))) { // RFC 8689 5
        if (str_is_nocase(str_trim(value), STR("no")) && m->daemon->settings->tls_required_enable)
            m->sendopts |= QUEUE_SENDOPT_TLS_OPTIONAL;
    } else if (str_is_nocase(name, STR(REQUIRE_TLS_HEADER))) {
        // It came with REQUIRETLS once, and passed through what does not know that.
        if (str_is_nocase(str_trim(value), STR("yes")) && records_requiretls(m)) {
            m->sendopts |= QUEUE_SENDOPT_REQUIRETLS;
            m->headers_seen |= SEEN_REQUIRE_TLS;
        }
    } else if (str_is_nocase(name, STR("Content-Transfer-Encoding"))) {
        if (str_starts_nocase(value, STR("7bit")))
            m->encoding = STR("7bit");
        else if (str_starts_nocase(value, STR("8bit")) || str_starts_nocase(value, STR("binary")))
            m->encoding = STR("8bit");
    }
}

static void check_hops(struct cleanup_message *m)
{
    if (!cleanup_is_good(m) || (int64_t)m->hop_count < m->daemon->settings->hopcount_limit)
        return;
    cleanup_warn(m, "message rejected: hopcount exceeded");
    cleanup_refuse(m, 554, "5.4.0", "Error: too many hops");
}

void cleanup_header(struct cleanup_message *m, struct str header)
{
    struct str name, value;
    if (!cleanup_is_good(m) || !header_split(header, &name, &value))
        return;
    const struct header_info *info = header_find(name);
    note_special(m, name, value);
    check_hops(m);
    if (info != NULL) {
        m->headers_seen |= info->seen | (info->kind & HEADER_RESENT ? SEEN_RESENT : 0);
        if ((info->kind & HEADER_EXTRACT) && (m->flags & SUBMIT_EXTRACT))
            collect_recipients(m, info, value);
    }
    if (is_dropped(m, name))
        return;
    if (info != NULL && (info->kind & (HEADER_SENDERS | HEADER_RECIPIENTS)) && rewrites_headers(m) &&
        rewrite_addresses(m, header, value, (info->kind & HEADER_RECIPIENTS) != 0))
        header = buf_str(&m->scratch);
    cleanup_put_lines(m, header);
}

// ---- Missing headers

static void add_date(struct cleanup_message *m, const char *name)
{
    buf_clear(&m->scratch);
    buf_addf(&m->scratch, "%s: ", name);
    clock_add_rfc5322(&m->scratch, m->arrival_us / 1000000);
    cleanup_put_lines(m, buf_str(&m->scratch));
}

// <YYYYMMDDHHMMSS.QID@myhostname>, in UTC; a long id is unique by itself.
static struct str make_message_id(struct cleanup_message *m)
{
    struct str host = m->daemon->settings->myhostname, id = buf_str(&m->id);
    time_t when = (time_t)(m->created_us / 1000000);
    struct tm tm;
    if (queue_id_is_long(id) || gmtime_r(&when, &tm) == NULL)
        return arena_strf(&m->arena, "<" STR_FMT "@" STR_FMT ">", STR_ARG(id), STR_ARG(host));
    return arena_strf(&m->arena, "<%04d%02d%02d%02d%02d%02d." STR_FMT "@" STR_FMT ">", tm.tm_year + 1900, tm.tm_mon + 1,
                      tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, STR_ARG(id), STR_ARG(host));
}

static void add_message_id(struct cleanup_message *m, const char *name, struct str *id)
{
    *id = make_message_id(m);
    buf_clear(&m->scratch);
    buf_addf(&m->scratch, "%s: " STR_FMT, name, STR_ARG(*id));
    cleanup_put_lines(m, buf_str(&m->scratch));
}

static bool is_plain_phrase(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_atom = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       strchr("!#$%&'*+-/=?^_`{|}~ ", c);
        if (!is_atom)
            return false;
    }
    return true;
}

static void add_encoded_phrase(struct buf *b, struct str name) // RFC 2047, Q encoding
{
    buf_add_cstr(b, "=?utf-8?Q?");
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == ' ')
            buf_add_char(b, '_');
        else if (is_safe)
            buf_add_char(b, (char)c);
        else
            buf_addf(b, "=%02X", c);
    }
    buf_add_cstr(b, "?=");
}

static void add_phrase(struct buf *b, struct str name)
{
    if (!str_is_ascii(name)) {
        add_encoded_phrase(b, name);
    } else if (is_plain_phrase(name)) {
        buf_add_str(b, name);
    } else {
        buf_add_char(b, '"');
        for (size_t i = 0; i < name.len; i++) {
            if (name.ptr[i] == '"' || name.ptr[i] == '\\')
                buf_add_char(b, '\\');
            buf_add_char(b, name.ptr[i]);
        }
        buf_add_char(b, '"');
    }
}

static void add_from(struct cleanup_message *m, const char *name)
{
    struct str fullname = str_slice(m->fullname, 0, 200);
    struct str sender = m->sender.len > 0 ? m->sender : STR("MAILER-DAEMON");
    buf_clear(&m->scratch);
    buf_addf(&m->scratch, "%s: ", name);
    if (fullname.len > 0) {
        add_phrase(&m->scratch, fullname);
        buf_add_cstr(&m->scratch, " <");
    }
    address_add_external(&m->scratch, sender);
    if (fullname.len > 0)
        buf_add_char(&m->scratch, '>');
    cleanup_put_lines(m, buf_str(&m->scratch));
}

static void add_resent(struct cleanup_message *m)
{
    if ((m->headers_seen & SEEN_RESENT_MESSAGE_ID) == 0)
        add_message_id(m, "Resent-Message-Id", &m->resent_message_id);
    if ((m->headers_seen & SEEN_RESENT_DATE) == 0)
        add_date(m, "Resent-Date");
    if ((m->headers_seen & SEEN_RESENT_FROM) == 0)
        add_from(m, "Resent-From");
}

static void add_plain(struct cleanup_message *m)
{
    if ((m->headers_seen & SEEN_MESSAGE_ID) == 0)
        add_message_id(m, "Message-Id", &m->message_id);
    if ((m->headers_seen & SEEN_DATE) == 0)
        add_date(m, "Date");
    if ((m->headers_seen & SEEN_FROM) == 0)
        add_from(m, "From");
}

void cleanup_header_end(struct cleanup_message *m)
{
    const struct settings *s = m->daemon->settings;
    if (cleanup_is_good(m) && (m->sendopts & QUEUE_SENDOPT_REQUIRETLS) && records_requiretls(m) &&
        !(m->headers_seen & SEEN_REQUIRE_TLS))
        cleanup_put_lines(m, STR(REQUIRE_TLS_HEADER ": yes"));
    if (!cleanup_is_good(m) || !(m->is_local || s->always_add_missing_headers || (m->flags & SUBMIT_ADD_MISSING)))
        return;
    if (m->headers_seen & SEEN_RESENT)
        add_resent(m);
    else
        add_plain(m);
    if (s->undisclosed_recipients_header.len > 0 && (m->headers_seen & (SEEN_TO | SEEN_RESENT_TO)) == 0)
        cleanup_put_lines(m, s->undisclosed_recipients_header);
}
