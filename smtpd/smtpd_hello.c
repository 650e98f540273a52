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

void smtpd_ehlo(struct smtpd_session *s, struct str arguments)
{
    static const struct {
        unsigned bit;
        const char *line;
    } keywords[] = {{SMTPD_EHLO_PIPELINING, "PIPELINING"}, {SMTPD_EHLO_SIZE, NULL},
                    {SMTPD_EHLO_VRFY, "VRFY"},             {SMTPD_EHLO_ENHANCED, "ENHANCEDSTATUSCODES"},
                    {SMTPD_EHLO_8BITMIME, "8BITMIME"},     {SMTPD_EHLO_DSN, "DSN"},
                    {SMTPD_EHLO_SMTPUTF8, "SMTPUTF8"},     {SMTPD_EHLO_CHUNKING, "CHUNKING"}};
    const char *lines[1 + sizeof(keywords) / sizeof(keywords[0])];
    size_t count = 0;

    if (!take_name(s, arguments, "EHLO"))
        return;
    s->protocol = "ESMTP";
    struct str size = s->settings->message_size_limit > 0
                          ? arena_strf(&s->session_arena, "SIZE %lld", (long long)s->settings->message_size_limit)
                          : STR("SIZE");
    lines[count++] = s->settings->myhostname.ptr;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (s->daemon->ehlo_keywords & keywords[i].bit)
            lines[count++] = keywords[i].line != NULL ? keywords[i].line : size.ptr;
    smtpd_reply_lines(s, 250, lines, count);
}
