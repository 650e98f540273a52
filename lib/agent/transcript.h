// SPDX-License-Identifier: ISC
// transcript.h: what was said in a session, kept for a report to the postmaster (notify_classes).
// Limits: the newest TRANSCRIPT_MAX bytes are kept; a line is cut at TRANSCRIPT_LINE_MAX.
#ifndef DROMOS_AGENT_TRANSCRIPT_H
#define DROMOS_AGENT_TRANSCRIPT_H

#include "lib/conf/settings.h"
#include "lib/ipc/submit.h"

#define TRANSCRIPT_MAX      (16 * 1024)
#define TRANSCRIPT_LINE_MAX 512
#define TRANSCRIPT_IN       " In:  "
#define TRANSCRIPT_OUT      " Out: "

struct transcript {
    struct buf text;
    int64_t lines;
};
void transcript_add(struct transcript *t, const char *head, struct str line); // made printable, wrapped
void transcript_clear(struct transcript *t);                                  // frees

struct transcript_report {
    const char *role;   // "SMTP server", "LMTP client"
    struct str peer;    // "name[addr]"
    struct str opening; // a line before the transcript, or ""
};
// Mails the transcript to error_notice_recipient. 0, -1: not taken (temporary).
int transcript_send(const struct transcript *t, const struct transcript_report *about, const struct settings *set,
                    struct submit_pool *pool, struct err *err) CO MUST_CHECK;

#endif
