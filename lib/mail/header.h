// SPDX-License-Identifier: ISC
// header.h: message headers: recognising, folding, and the few that a mail server reads or writes. Pure: no I/O.
#ifndef DROMOS_MAIL_HEADER_H
#define DROMOS_MAIL_HEADER_H

#include "lib/base/mem.h"
#include "lib/base/err.h"

// "Name: value" with a valid field name (RFC 5322 3.6.8; blanks before the colon tolerated). False: not a header line.
bool header_split(struct str line, struct str *name_r, struct str *value_r);
bool header_is_continuation(struct str line); // starts with blank or tab

// Feeds a message's header line by line and calls back per logical header (folded lines joined by LF).
struct header_scan {
    struct buf pending;
    size_t max; // header_size_limit: what is beyond is passed on as a second piece
    bool in_header;
};
void header_scan_init(struct header_scan *h, size_t max);
void header_scan_release(struct header_scan *h);

void header_add_received_by(struct buf *b, struct str hostname, struct str mail_name, struct str id, int64_t wall);

#endif
