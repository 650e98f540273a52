// SPDX-License-Identifier: ISC
// smtpd_hello.c: HELO and EHLO, and the list of what this server offers.
#include "smtpd/smtpd.h"

#define HELO_MAX 512

// Keeps the name for logs and Received:. False when the reply (an error) was sent.
static bool take_name(struct smtpd_session *s, struct str arguments, const char *verb) CO
{
    struct str name, rest = arguments;
    if (!str_token(&rest, " \t", &name) || name.len > HELO_MAX) {
        smtpd_reply(s, "501 Syntax: %s hostname", verb);
        return false;
    }
    struct buf clean = BUF_INIT;
    buf_add_printable(&clean, name, HELO_MAX);
    smtpd_transaction_reset(s);
    smtpd_transcript_reset(s);
    s->helo = arena_str(&s->session_arena, buf_str(&clean));
    buf_release(&clean);
    return smtpd_allows(s, ACCESS_HELO, STR_NULL);
}

void smtpd_helo(struct smtpd_session *s, struct str arguments)
{
    if (!take_name(s, arguments, "HELO"))
        return;
    s->protocol = "SMTP";
    smtpd_reply(s, "250 " STR_FMT, STR_ARG(s->settings->myhostname));
}

// ---- What EHLO offers, in this order. A line with parameters of its own is written by a function, which may also
// write none.

static bool say_size(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "SIZE");
    if (s->settings->message_size_limit > 0)
        buf_addf(line, " %lld", (long long)s->settings->message_size_limit);
    return true;
}

// How this client may log in; the second form is for clients that predate RFC 2554.
static bool say_auth(struct smtpd_session *s, struct buf *line)
{
    co_assert_running();
    struct buf mechanisms = BUF_INIT;
    bool offers = smtpd_auth_offer(s, &mechanisms);

    if (offers)
        buf_addf(line, "AUTH %s", buf_cstr(&mechanisms));
    if (offers && s->settings->broken_sasl_auth_clients)
        buf_addf(line, "\nAUTH=%s", buf_cstr(&mechanisms));
    buf_release(&mechanisms);
    return offers;
}

static bool say_xclient(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
    return s->may_xclient;
}

static bool say_xforward(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT");
    return s->may_xforward;
}

static bool say_xverp(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "XVERP");
    return s->may_verp;
}

static bool say_starttls(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "STARTTLS");
    return smtpd_tls_is_offered(s);
}

static bool say_requiretls(struct smtpd_session *s, struct buf *line)
{
    buf_add_cstr(line, "REQUIRETLS");
    return smtpd_may_require_tls(s);
}

static const struct {
    unsigned bit;
    const char *line;
    bool (*write)(struct smtpd_session *s, struct buf *line); // instead of `line`; several lines are separated by LF
} offers[] = {
    {SMTPD_EHLO_PIPELINING, "PIPELINING", NULL},
    {SMTPD_EHLO_SIZE, NULL, say_size},
    {SMTPD_EHLO_VRFY, "VRFY", NULL},
    {SMTPD_EHLO_ETRN, "ETRN", NULL},
    {SMTPD_EHLO_STARTTLS, NULL, say_starttls},
    {SMTPD_EHLO_AUTH, NULL, say_auth},
    {SMTPD_EHLO_VERP, NULL, say_xverp},
    {SMTPD_EHLO_XCLIENT, NULL, say_xclient},
    {SMTPD_EHLO_XFORWARD, NULL, say_xforward},
    {SMTPD_EHLO_ENHANCED, "ENHANCEDSTATUSCODES", NULL},
    {SMTPD_EHLO_8BITMIME, "8BITMIME", NULL},
    {SMTPD_EHLO_DSN, "DSN", NULL},
    {SMTPD_EHLO_SMTPUTF8, "SMTPUTF8", NULL},
    {SMTPD_EHLO_CHUNKING, "CHUNKING", NULL},
    {SMTPD_EHLO_REQUIRETLS, NULL, say_requiretls},
};
#define OFFER_LINES_MAX (2 * sizeof(offers) / sizeof(offers[0]) + 1)

void smtpd_ehlo(struct smtpd_session *s, struct str arguments)
{
    const char *lines[OFFER_LINES_MAX];
    size_t count = 0;
    struct buf text = BUF_INIT;

    if (!take_name(s, arguments, "EHLO"))
        return;
    s->protocol = "ESMTP";
    lines[count++] = s->settings->myhostname.ptr;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        if (!(s->ehlo_offered & offers[i].bit))
            continue;
        buf_clear(&text);
        if (offers[i].line != NULL)
            buf_add_cstr(&text, offers[i].line);
        else if (!offers[i].write(s, &text))
            continue;
        struct str line, rest = buf_str(&text);
        while (count < OFFER_LINES_MAX && str_token(&rest, "\n", &line))
            lines[count++] = arena_cstr(&s->transaction_arena, line);
    }
    buf_release(&text);
    smtpd_reply_lines(s, 250, lines, count);
}
