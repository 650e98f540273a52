// SPDX-License-Identifier: ISC
// smtp_content.h: message content as it goes over the wire: CRLF, dots doubled, long lines broken. Pure.
//
// Nothing but this writer puts CR or LF into content: stray ones in the text become blanks, so that no end of data can
// be smuggled past the next server.
#ifndef DROMOS_SMTP_CONTENT_H
#define DROMOS_SMTP_CONTENT_H

#include "lib/base/str.h"

struct smtp_content {
    size_t line_limit; // 0: none
    size_t column;     // bytes of the current line already written
};
// Adds one piece of a line; line_ended: it is the last piece.
void smtp_content_add(struct smtp_content *c, struct buf *out, struct str text, bool line_ended);
// Ends a line that is under way and adds the final dot.
void smtp_content_end(struct smtp_content *c, struct buf *out);

#endif
