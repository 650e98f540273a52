// SPDX-License-Identifier: ISC
// header.h: message headers: recognising, folding, and the few that a mail server reads or writes. Pure: no I/O.
#ifndef DROMOS_MAIL_HEADER_H
#define DROMOS_MAIL_HEADER_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

// "Name: value" with a valid field name (RFC 5322 3.6.8; blanks before the colon tolerated). False: not a header line.
bool header_split(struct str line, struct str *name_r, struct str *value_r);
bool header_is_continuation(struct str line); // starts with blank or tab

// Collects logical headers (folded lines joined by LF) out of single lines.
struct header_scan {
    struct buf pending, done;
    size_t max; // header_size_limit: the excess of a header is discarded
    bool in_header;
};
void header_scan_init(struct header_scan *h, size_t max);
void header_scan_release(struct header_scan *h);
enum header_event {
    HEADER_PENDING, // the line was taken; nothing to report yet
    HEADER_DONE,    // the line was taken, and ended the header before it: *header_r
    HEADER_END, // the line is not part of the header section: the caller's to handle; *header_r the last header, or ""
};
// `line` is one whole line without LF. *header_r is valid until the next call.
enum header_event header_scan_line(struct header_scan *h, struct str line, struct str *header_r);
struct str header_scan_finish(struct header_scan *h); // the message ended: the last header, or ""

// "Received: by HOST (NAME)<LF><tab>id ID; DATE" without a final LF.
void header_add_received_by(struct buf *b, struct str hostname, struct str mail_name, struct str id, int64_t wall);

#endif
