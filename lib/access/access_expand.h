// SPDX-License-Identifier: ISC
// access_expand.h: $-names in replies: default_rbl_reply, rbl_reply_maps, smtpd_reject_footer.
//
// $name, ${name}, $(name), ${name?text}, ${name:text}, ${name?{text}:{text}}. Values are not expanded again, and bytes
// of them that smtpd_expansion_filter does not list become '_': they come from clients and their name servers.
#ifndef DROMOS_ACCESS_ACCESS_EXPAND_H
#define DROMOS_ACCESS_ACCESS_EXPAND_H

#include "lib/access/access.h"

struct access_macro {
    const char *name;
    struct str value;
};
struct access_expansion {
    const struct settings *settings;
    const struct access_facts *facts;  // client, sender, recipient … and their parts
    const struct access_macro *macros; // and these
    size_t macro_count;
    struct str unknown_r; // the last name that nobody knows, "" none; it is replaced by nothing
};
// 0; -1: syntax, in err. Appends to *out.
int access_expand(struct access_expansion *x, struct str text, struct buf *out, struct err *err) MUST_CHECK;

#endif
