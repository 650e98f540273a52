// SPDX-License-Identifier: ISC
// sendmail.h: the parts of the sendmail command: its options, the message on its input, and the talk with postdrop.
#ifndef DROMOS_COMMANDS_SENDMAIL_H
#define DROMOS_COMMANDS_SENDMAIL_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/conf/settings.h"

enum sendmail_mode {
    SENDMAIL_ENQUEUE,
    SENDMAIL_DAEMON,     // -bd: start the mail system
    SENDMAIL_ALIASES,    // -bi, newaliases
    SENDMAIL_LIST,       // -bp, mailq
    SENDMAIL_STANDALONE, // -bs: SMTP on standard input and output
    SENDMAIL_FLUSH,      // -q, -qIid, -qRsite
    SENDMAIL_NOTHING,    // -bh, -q15m
};

enum sendmail_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum sendmail_trace { TRACE_PROBE = 512, TRACE_RECORD = 1024 };
enum sendmail_sendopts { SENDOPT_SMTPUTF8 = 1, SENDOPT_REQUIRETLS = 32 };

struct sendmail_options {
    enum sendmail_mode mode;
    struct str config_dir;  // -C, or .ptr NULL
    struct str sender;      // -f as written; .ptr NULL: none given
    struct str fullname;    // -F; .ptr NULL: none given
    struct str encoding;    // "7bit", "8bit" or ""
    struct str envelope_id; // -V
    struct str verp;        // -XV: two delimiters, "" for the default ones, .ptr NULL for none
    struct str alias_file;  // -oA
    struct str flush_what;  // -q: "-f", "-i", "-s"
    struct str flush_arg;
    int notify, ret_flags, trace_flags, sendopts;
    unsigned verbose;       // how many -v
    bool extracts;          // -t
    bool is_gateway;        // -G
    bool keeps_dot;         // -i: a line with a dot does not end the message
    struct str *recipients; // what is no option, as written
    size_t recipient_count;
    struct buf warnings; // one a line
};
// Pure. Options may stand anywhere before "--". Borrows from argv. -1: err is the text of the fatal error.
int sendmail_options_parse(int argc, char *const *argv, struct arena *arena, struct sendmail_options *o_r,
                           struct err *err);

// ---- The message: text from standard input becomes content records; with -t the recipient headers are collected.
enum sendmail_line_endings { LINE_ENDINGS_ALWAYS, LINE_ENDINGS_STRICT, LINE_ENDINGS_NEVER };

struct sendmail_message {
    size_t line_limit, header_limit;
    enum sendmail_line_endings endings;
    bool ends_at_dot, extracts;
    struct buf *records; // where the records go
    struct buf line;     // the part of a line that has no end yet
    bool in_long_line, has_started, has_ended, in_header, strips_cr, has_first_line;
    bool in_recipient_header;
    struct buf to, resent_to; // recipient header values, comma separated
    bool has_resent, is_header_too_long;
};
void sendmail_message_init(struct sendmail_message *m, const struct settings *s, const struct sendmail_options *o,
                           struct buf *records);
void sendmail_message_release(struct sendmail_message *m);
void sendmail_message_add(struct sendmail_message *m, struct str chunk); // any chunking
void sendmail_message_end(struct sendmail_message *m);
// The header recipients: Resent ones alone where there are any.
struct str sendmail_message_recipients(const struct sendmail_message *m);

// ---- Submission through postdrop
struct sendmail_user {
    char name[64];
    char fullname[256];
    long uid;
};
// Reads the message from standard input and hands it to postdrop. -1: err says why nothing was submitted.
int sendmail_submit(const struct settings *s, const struct sendmail_options *o, const struct sendmail_user *user,
                    struct err *err);

#endif
