// SPDX-License-Identifier: ISC
// smtpd_path.c: the address in MAIL and RCPT, and the parameters after it.
// Trust: whatever the client sends. An address is taken as leniently as administrators expect (no angle brackets, a
// lone '>' at its end), unless strict_rfc821_envelopes; it must be one that mail can go to, by its form. Suspends:
// table lookups.
#include "smtpd/smtpd.h"

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_slice(s, 1, s.len);
    return s;
}

// The path without the '>' that a bare address ends in.
static struct str without_stray_bracket(struct smtpd_session *s, struct str path)
{
    size_t end = 0;
    while (end < path.len && path.ptr[end] != ' ' && path.ptr[end] != '\t')
        end++;
    if (path.ptr[0] == '<' || end == 0 || path.ptr[end - 1] != '>' || s->settings->strict_rfc821_envelopes)
        return path;
    return arena_strf(&s->transaction_arena, STR_FMT STR_FMT, STR_ARG(str_slice(path, 0, end - 1)),
                      STR_ARG(str_slice(path, end, path.len)));
}

bool smtpd_is_malformed(struct smtpd_session *s, struct str address)
{
    return address.len > 0 && access_is_malformed(smtpd_access_memory(s), address);
}

static bool parse_address(struct smtpd_session *s, struct str path, struct smtpd_path *path_r) CO
{
    if (address_parse_path(path, s->settings->strict_rfc821_envelopes, &s->transaction_arena, &path_r->address,
                           &path_r->rest) < 0 ||
        !address_is_sane(path_r->address) || smtpd_is_malformed(s, path_r->address))
        return false;
    path_r->sent = str_trim(str_slice(path, 0, (size_t)(path_r->rest.ptr - path.ptr)));
    if (path_r->rest.len == 0)
        path_r->sent = path;
    if (str_starts(path_r->sent, STR("<")))
        path_r->sent = str_slice(path_r->sent, 1, path_r->sent.len - 1);
    return true;
}

enum smtpd_path_status smtpd_path_parse(struct smtpd_session *s, struct str keyword, struct str arguments,
                                        struct smtpd_path *path_r)
{
    if (!str_starts_nocase(arguments, keyword))
        return SMTPD_PATH_SYNTAX;
    struct str path = skip_blanks(str_slice(arguments, keyword.len, arguments.len));
    if (path.len == 0)
        return SMTPD_PATH_SYNTAX;
    if (!parse_address(s, without_stray_bracket(s, path), path_r)) {
        log_warn("Illegal address syntax from " STR_FMT " in %s command: " STR_FMT, STR_ARG(s->client_log), s->stage,
                 STR_ARG(path));
        return SMTPD_PATH_BAD_ADDRESS;
    }
    return smtp_parameters_parse(path_r->rest, path_r->params, &path_r->param_count) < 0 ? SMTPD_PATH_SYNTAX
                                                                                         : SMTPD_PATH_OK;
}

void smtpd_reply_unsupported(struct smtpd_session *s, const struct smtp_parameter *p)
{
    smtpd_reply(s, "555 5.5.4 Unsupported option: " STR_FMT "%s" STR_FMT, STR_ARG(p->name),
                p->value.ptr != NULL ? "=" : "", STR_ARG(p->value));
}
