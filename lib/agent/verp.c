// SPDX-License-Identifier: ISC
// verp.c: variable envelope return paths.
#include "lib/agent/verp.h"

#include "lib/mail/address.h"

void verp_add_sender(struct buf *b, struct str delimiters, struct str sender, struct str recipient)
{
    struct str domain = address_domain(recipient);
    if (delimiters.len != 2 || sender.len == 0) {
        buf_add_str(b, sender);
        return;
    }
    buf_add_str(b, address_local(sender));
    buf_add_char(b, delimiters.ptr[0]);
    buf_add_str(b, address_local(recipient));
    if (domain.len) {
        buf_add_char(b, delimiters.ptr[1]);
        buf_add_str(b, domain);
    }
    if (address_domain(sender).len) {
        buf_add_char(b, '@');
        buf_add_str(b, address_domain(sender));
    }
}
