// SPDX-License-Identifier: ISC
// postmap_message.h: the headers and body lines of a message as lookup keys (postmap -h -b -m). Pure: no I/O.
//
// Limits: header_max bytes of a header, MESSAGE_DEPTH_MAX multiparts inside each other.
#ifndef DROMOS_COMMANDS_POSTMAP_MESSAGE_H
#define DROMOS_COMMANDS_POSTMAP_MESSAGE_H

#include "lib/mail/header.h"

#define MESSAGE_DEPTH_MAX 100

struct message_key {
    bool is_header;
    struct str text; // a header with its continuation lines, or one body line
};
struct message_keys {
    bool follows_mime; // headers of parts and of messages inside count as headers
    bool in_headers, opens_message;
    struct header_scan scan;
    struct arena arena;
    struct str boundaries[MESSAGE_DEPTH_MAX];
    size_t depth;
};
void message_keys_init(struct message_keys *k, bool follows_mime, size_t header_max);
void message_keys_release(struct message_keys *k);
// Takes one line without its end; fills in at most two keys, valid until the next call. Returns how many.
size_t message_keys_line(struct message_keys *k, struct str line, struct message_key keys_r[2]);
size_t message_keys_finish(struct message_keys *k, struct message_key keys_r[2]); // at the end of the input

#endif
