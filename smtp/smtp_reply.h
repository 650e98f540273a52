// SPDX-License-Identifier: ISC
// smtp_reply.h: a server's reply, gathered line by line. Pure.
//
// Trust: the server is hostile. Limits: SMTP_REPLY_LINES_MAX lines a reply, SMTP_REPLY_KEPT bytes of text kept.
#ifndef DROMOS_SMTP_REPLY_H
#define DROMOS_SMTP_REPLY_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define SMTP_REPLY_LINES_MAX 500
#define SMTP_REPLY_KEPT      8192
#define SMTP_REPLY_LINE_MAX  2048

struct smtp_reply {
    int code; // 200 to 599
    unsigned lines;
    bool is_malformed; // what came is no reply: there is no going on
    struct buf text;   // the lines, codes included, printable, each ended by LF
};

void smtp_reply_clear(struct smtp_reply *r);
void smtp_reply_release(struct smtp_reply *r);
// Adds one line without its end. 1: the reply is complete, 0: more lines follow, -1: not a reply, or too many lines.
int smtp_reply_add_line(struct smtp_reply *r, struct raw line);
// All lines joined by blanks, in the arena.
struct str smtp_reply_joined(const struct smtp_reply *r, struct arena *arena);
// The enhanced status code of the reply when it fits the class of the code, else "X.0.0"; `class` ('2', '4', '5') is
// forced.
struct str smtp_reply_dsn(const struct smtp_reply *r, char class, struct arena *arena);

// What a server offers (EHLO, LHLO).
enum smtp_feature {
    SMTP_HAS_PIPELINING = 1,
    SMTP_HAS_8BITMIME = 2,
    SMTP_HAS_SIZE = 4,
    SMTP_HAS_DSN = 8,
    SMTP_HAS_SMTPUTF8 = 16,
    SMTP_HAS_STARTTLS = 32,
    SMTP_HAS_XFORWARD_NAME = 64,
    SMTP_HAS_XFORWARD_ADDR = 128,
    SMTP_HAS_XFORWARD_PORT = 256,
    SMTP_HAS_XFORWARD_PROTO = 512,
    SMTP_HAS_XFORWARD_HELO = 1024,
    SMTP_HAS_XFORWARD_IDENT = 2048,
    SMTP_HAS_XFORWARD_SOURCE = 4096,
    SMTP_HAS_AUTH = 8192,
    SMTP_HAS_REQUIRETLS = 16384,
};
// Reads the features out of an EHLO reply. Keywords listed in `discard` are not seen. *size_limit_r: 0 when none was
// told.
unsigned smtp_reply_features(const struct smtp_reply *r, struct str discard, int64_t *size_limit_r);
// What stands after AUTH in an EHLO reply, "PLAIN LOGIN"; nothing if it is not there.
void smtp_reply_add_mechanisms(const struct smtp_reply *r, struct buf *list);
// The first word of the first line: the server's name.
struct str smtp_reply_first_word(const struct smtp_reply *r);

#endif
