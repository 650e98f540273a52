// SPDX-License-Identifier: ISC
// in_flow.h: how far the queue manager is behind with new mail, for in_flow_delay: two counters in a page that cleanup
// and it share.
//
// Counting costs no system call. The counters may drift (a notice is lost, a file is taken away): the queue manager
// sets them level each time that it has looked through incoming/. Trust: all who map the page are mail_owner; wrong
// counters delay mail or let it come, no more.
#ifndef DROMOS_IPC_IN_FLOW_H
#define DROMOS_IPC_IN_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct in_flow;
// The working directory is the queue directory; without the page (logged) nobody is ever behind.
struct in_flow *in_flow_new(void);
void in_flow_free(struct in_flow *f); // NULL is fine

void in_flow_arrived(struct in_flow *f);                  // cleanup: one more in incoming/
void in_flow_taken(struct in_flow *f);                    // queue manager: one of them was taken up
void in_flow_level(struct in_flow *f);                    // queue manager: it has seen all
bool in_flow_is_behind(struct in_flow *f, int64_t limit); // at least so many messages wait to be taken up

#endif
