// SPDX-License-Identifier: ISC
// address_spec.h: inside lib/mail: one addr-spec as text, turned into the internal form.
#ifndef DROMOS_MAIL_ADDRESS_SPEC_H
#define DROMOS_MAIL_ADDRESS_SPEC_H

#include "lib/mail/address.h"

enum address_spec_kind {
    ADDRESS_SPEC_SMTP,   // no comments, no blanks outside quotes
    ADDRESS_SPEC_HEADER, // RFC 5322: comments and folding anywhere between words
};
bool address_char_is_atom(char c); // atext of RFC 5322, and bytes above 127
// 0 and the unquoted address in `arena`, or -1: unbalanced quotes, or characters that cannot stand in an address.
int address_spec_parse(struct str text, enum address_spec_kind kind, struct arena *arena, struct str *address_r);
// Index after the comment that starts at text.ptr[at] == '('; text.len when it is not closed.
size_t address_skip_comment(struct str text, size_t at);
// Index after the quoted string that starts at text.ptr[at] == '"'; text.len when it is not closed.
size_t address_skip_quoted(struct str text, size_t at);

#endif
