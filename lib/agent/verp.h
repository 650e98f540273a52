// SPDX-License-Identifier: ISC
// verp.h: variable envelope return paths: a sender address for each recipient, so that bounces say whom they are about.
#ifndef DROMOS_AGENT_VERP_H
#define DROMOS_AGENT_VERP_H

#include "lib/base/str.h"

// Appends "owner+user=domain@list.example" for sender owner@list.example, recipient user@domain and delimiters "+=".
// delimiters: the V record's two characters; anything else, and the null sender, leave the sender as it is.
void verp_add_sender(struct buf *b, struct str delimiters, struct str sender, struct str recipient);

#endif
