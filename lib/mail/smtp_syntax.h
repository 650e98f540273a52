// SPDX-License-Identifier: ISC
// smtp_syntax.h: SMTP command lines, ESMTP parameters and replies, for server and client. Pure: no I/O.
#ifndef DROMOS_MAIL_SMTP_SYNTAX_H
#define DROMOS_MAIL_SMTP_SYNTAX_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum smtp_verb {
    SMTP_HELO,
    SMTP_EHLO,
    SMTP_XCLIENT,
    SMTP_XFORWARD,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_BDAT,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_VRFY,
    SMTP_ETRN,
    SMTP_QUIT,
    SMTP_HELP,
    SMTP_UNKNOWN, // in the order of the disconnect line
};
#define SMTP_VERB_COUNT (SMTP_UNKNOWN + 1)
enum smtp_verb smtp_verb_parse(struct str line, struct str *arguments_r); // arguments trimmed
const char *smtp_verb_name(enum smtp_verb verb);                          // lower case

struct smtp_parameter {
    struct str name, value; // "SIZE", "100"; value.ptr NULL when there is no "="
};
#define SMTP_PARAMETERS_MAX 20
// Splits " SIZE=100 BODY=8BITMIME" off; 0 or -1 (too many, control characters).
int smtp_parameters_parse(struct str text, struct smtp_parameter *params, size_t *count_r);
int smtp_notify_parse(struct str value, int *notify_r); // NEVER | SUCCESS,FAILURE,DELAY -> bits as in queue files
int smtp_ret_parse(struct str value, int *ret_r);       // FULL 1, HDRS 2

// One line of a reply: "250-text". code 200..599 (else -1); *is_last_r; *text_r borrows.
int smtp_reply_line_parse(struct str line, int *code_r, bool *is_last_r, struct str *text_r);
// Enhanced status at the start of a reply text: "5.1.1 No such user". False: none. *status_r borrows "5.1.1".
bool smtp_enhanced_status(struct str text, struct str *status_r, struct str *rest_r);

#endif
