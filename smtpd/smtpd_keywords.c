// SPDX-License-Identifier: ISC
// smtpd_keywords.c: which EHLO keywords this server, and this client, is offered.
// Suspends: the table lookup by client address.
#include "smtpd/smtpd.h"

static const struct {
    const char *name;
    unsigned bit;
} names[] = {{"size", SMTPD_EHLO_SIZE},
             {"pipelining", SMTPD_EHLO_PIPELINING},
             {"vrfy", SMTPD_EHLO_VRFY},
             {"8bitmime", SMTPD_EHLO_8BITMIME},
             {"dsn", SMTPD_EHLO_DSN},
             {"smtputf8", SMTPD_EHLO_SMTPUTF8},
             {"chunking", SMTPD_EHLO_CHUNKING},
             {"enhancedstatuscodes", SMTPD_EHLO_ENHANCED},
             {"etrn", SMTPD_EHLO_ETRN},
             {"starttls", SMTPD_EHLO_STARTTLS},
             {"auth", SMTPD_EHLO_AUTH},
             {"verp", SMTPD_EHLO_VERP},
             {"xclient", SMTPD_EHLO_XCLIENT},
             {"xforward", SMTPD_EHLO_XFORWARD},
             {"requiretls", SMTPD_EHLO_REQUIRETLS},
             {"silent-discard", SMTPD_EHLO_SILENT}};

static unsigned parse(struct str list)
{
    unsigned bits = 0;
    struct str word, rest = list;
    while (str_token(&rest, ", \t\r\n", &word)) {
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (str_is_nocase(word, str_from(names[i].name)))
                bit = names[i].bit;
        if (bit == 0)
            log_warn("unknown EHLO keyword to discard: \"" STR_FMT "\": ignored", STR_ARG(word));
        bits |= bit;
    }
    return bits;
}

static void log_discarded(unsigned bits)
{
    struct buf text = BUF_INIT;
    if ((bits & SMTPD_EHLO_SILENT) || bits == 0)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (bits & names[i].bit)
            buf_addf(&text, " %s", names[i].name);
    log_info("discarding EHLO keywords:%s", buf_cstr(&text));
    buf_release(&text);
}

static unsigned offered_without(const struct settings *set, unsigned discarded)
{
    unsigned offered = SMTPD_EHLO_ALL & ~discarded;
    log_discarded(discarded);
    if (!set->smtputf8_enable)
        offered &= ~(unsigned)SMTPD_EHLO_SMTPUTF8;
    if (set->disable_vrfy_command)
        offered &= ~(unsigned)SMTPD_EHLO_VRFY;
    return offered;
}

unsigned smtpd_keywords_offered(const struct settings *set)
{
    return offered_without(set, parse(set->smtpd_discard_ehlo_keywords));
}

void smtpd_keywords_for_client(struct smtpd_session *s)
{
    struct table_list *maps = s->daemon->ehlo_discard_maps;
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    s->ehlo_offered = s->daemon->ehlo_keywords;
    if (maps == NULL || table_list_is_empty(maps))
        return;
    int found = table_list_lookup(maps, s->client_address, &value, NULL, &err);
    if (found < 0)
        log_warn("smtpd_discard_ehlo_keyword_address_maps: " STR_FMT ": %s: ignored", STR_ARG(s->client_address),
                 err.text);
    if (found > 0) // the value stands in place of the general list
        s->ehlo_offered = offered_without(s->settings, parse(buf_str(&value)));
    buf_release(&value);
}
