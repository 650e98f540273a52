// SPDX-License-Identifier: ISC
// queue_record.h: the one codec for queue-file records (type byte, length in 7-bit groups, data).
//
// Trust: queue files may be garbage. Lengths are bounded by RECORD_MAX and by the file before use. Text that goes into
// an envelope record must not hold NUL, CR or LF: queue_record_add_text refuses it.
#ifndef DROMOS_MAIL_QUEUE_RECORD_H
#define DROMOS_MAIL_QUEUE_RECORD_H

#include "lib/base/err.h"
#include "lib/base/str.h"

#define RECORD_MAX (256 * 1024) // longer ones are corrupt (Postfix never writes them)

enum record_type {
    REC_SIZE = 'C',
    REC_TIME = 'T',
    REC_CREATE = 'c',
    REC_FULLNAME = 'F',
    REC_INSPECT = 'I',
    REC_FILTER = 'L',
    REC_FROM = 'S',
    REC_VERP = 'V',
    REC_WARN = 'W',
    REC_ATTR = 'A',
    REC_ORCPT = 'O',
    REC_RCPT = 'R',
    REC_DONE = 'D',
    REC_DROPPED = '/',
    REC_KILLED = 'K',
    REC_MESSAGE = 'M',
    REC_NORM = 'N',
    REC_CONT = 'L',
    REC_PAD = 'w',
    REC_EXTRACTED = 'X',
    REC_RETURN = 'r',
    REC_ERRORS_TO = 'e',
    REC_PRIORITY = 'P',
    REC_POINTER = 'p',
    REC_REDIRECT = '>',
    REC_FLAGS = 'f',
    REC_DELAY = 'd',
    REC_MILTER_COUNT = 'm',
    REC_DSN_RET = '<',
    REC_DSN_ENVID = 'i',
    REC_DSN_ORCPT = 'o',
    REC_DSN_NOTIFY = 'n',
    REC_END = 'E',
};

void queue_record_add(struct buf *b, enum record_type type, struct str data);
void queue_record_addf(struct buf *b, enum record_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int queue_record_add_text(struct buf *b, enum record_type type, struct str data) MUST_CHECK; // -1: NUL, CR or LF inside
int queue_record_add_attr(struct buf *b, const char *name, struct str value) MUST_CHECK;     // "name=value"
// Content: LF-separated lines become N records, parts longer than limit become L records. Handles chunks that end
// inside a line: *in_line is kept by the caller between calls (false at first).
void queue_record_add_content(struct buf *b, struct str text, size_t line_limit, bool *in_line);

// Whole lines: LF separates them, and the last needs none ("" is one empty line).
void queue_record_add_lines(struct buf *b, struct str text, size_t line_limit);

struct record {
    char type;
    struct str data;
    int64_t offset; // of the type byte in the file
    size_t size;    // of the whole record
};
// Decodes one record from `input`. 1 and *record_r (data borrows), 0 more input needed, -1 malformed.
int queue_record_decode(struct raw input, struct record *record_r);
const char *queue_record_name(char type); // as postcat prints it, or NULL

#endif
