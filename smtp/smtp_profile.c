// SPDX-License-Identifier: ISC
// smtp_profile.c: fills the agent's settings from the parameters of its protocol.
#include "smtp/smtp_profile.h"

void smtp_profile_fill(struct smtp_profile *p, const struct settings *settings, bool is_lmtp)
{
    p->is_lmtp = is_lmtp;
#define MEMBER(type, name) p->name = is_lmtp ? settings->lmtp_##name : settings->smtp_##name;
    SMTP_PROFILE_MEMBERS(MEMBER)
#undef MEMBER
    p->helo_name = is_lmtp ? settings->lmtp_lhlo_name : settings->smtp_helo_name;
    p->helo_timeout = is_lmtp ? settings->lmtp_lhlo_timeout : settings->smtp_helo_timeout;
    p->discard_ehlo_keywords = is_lmtp ? settings->lmtp_discard_lhlo_keywords : settings->smtp_discard_ehlo_keywords;
    p->always_send_ehlo = settings->smtp_always_send_ehlo;
    p->never_send_ehlo = settings->smtp_never_send_ehlo;
    p->assume_final = is_lmtp && settings->lmtp_assume_final;
}
