// SPDX-License-Identifier: ISC
// smtpd_content.h: the one lexer for message content: DATA with its dots and BDAT without. Pure: no I/O.
//
// CR LF . CR LF ends DATA and nothing else does (RFC 5321 4.1.1.4; smuggling variants are content), but for clients
// from which the administrator takes a lone dot between bare LFs too (smtpd_forbid_bare_newline = no, or its
// exclusions). Output lines end in LF: CR LF and bare LF both become LF, any other CR becomes a blank, so nothing
// stored can be mistaken for a line end later.
#ifndef DROMOS_SMTPD_SMTPD_CONTENT_H
#define DROMOS_SMTPD_SMTPD_CONTENT_H

#include "lib/base/str.h"

struct smtpd_content {
    bool has_dots;       // DATA: dot-stuffed, ends at CR LF . CR LF
    bool takes_lf_end;   // … or at a lone dot with any line ends
    bool is_line_start;  // the next byte starts a line
    bool follows_crlf;   // … and the line before ended in CR LF (or there was none)
    bool has_pending_cr; // a CR at the end of the last input
    bool saw_bare_lf, saw_bare_cr;
    bool is_done; // the end of DATA was consumed
};

void smtpd_content_init(struct smtpd_content *c, bool has_dots);
// Takes what it can from `input` and appends text to `out`. Returns the number of bytes consumed; it is less than
// input.len only at the end of DATA or when the start of a line is too short to tell whether it is the end (then: fewer
// than 3 bytes are left).
size_t smtpd_content_feed(struct smtpd_content *c, struct raw input, struct buf *out);
// After BDAT LAST: a CR still pending becomes a blank, and a last line without an end gets one.
void smtpd_content_end(struct smtpd_content *c, struct buf *out);

#endif
