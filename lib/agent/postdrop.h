// SPDX-License-Identifier: ISC
// postdrop.h: giving a message to postdrop(1), for programs that run with an ordinary user's rights (sendmail, smtpd
// -S).
//
// Records go down a pipe as they are made; without an end record postdrop forgets the message. Its answer names the
// queue file and a status. Blocking; one message at a time. Trust: postdrop has more rights than the caller, not less.
#ifndef DROMOS_AGENT_POSTDROP_H
#define DROMOS_AGENT_POSTDROP_H

#include <sys/types.h>

#include "lib/base/err.h"

enum { POSTDROP_STATUS_SIZE = 4 }; // bit of "message too large" in the answer's status

struct postdrop {
    pid_t pid;
    int input, output; // pipes to and from it
    bool is_broken;    // it no longer reads: its answer says why
};

struct postdrop_answer {
    int64_t status;              // 0: the message is stored; -1: it ended without an answer
    struct buf text;             // holds what the others borrow; released by the caller
    struct str reason, queue_id; // "" when absent
};

int postdrop_open(struct postdrop *p, struct str command_directory, bool is_verbose, struct err *err);
void postdrop_write(struct postdrop *p, struct str records); // nothing, once is_broken
void postdrop_read_answer(struct postdrop *p, struct postdrop_answer *answer_r);
void postdrop_close(struct postdrop *p); // waits for its end

#endif
