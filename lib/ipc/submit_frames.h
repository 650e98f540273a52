// SPDX-License-Identifier: ISC
// submit_frames.h: the frames between submit.c and cleanup.
//
// One message on a connection at a time. The first frame is "message": the envelope, recipients, and, for a small
// message, the content with last=1; then comes the one answer "result". Otherwise: last=0, cleanup makes the queue file
// and answers "go" with its id (or at once "result" with a refusal), and frames "more" follow with what the envelope
// still lacks (lines above the content, recipients) or content, the final one with last=1; then "result". A sender that
// goes away before last=1 has aborted the message.
#ifndef DROMOS_IPC_SUBMIT_FRAMES_H
#define DROMOS_IPC_SUBMIT_FRAMES_H

#define SUBMIT_TEXT_MAX  (64 * 1024)  // content bytes in one frame
#define SUBMIT_FRAME_MAX (512 * 1024) // recipients beyond that go to another frame

#define SUBMIT_VERB_MESSAGE "message"
#define SUBMIT_VERB_MORE    "more"
#define SUBMIT_VERB_GO      "go"
#define SUBMIT_VERB_RESULT  "result"

// Fields of "message". Absent texts are empty, absent numbers zero.
#define SUBMIT_SENDER    "sender"
#define SUBMIT_FLAGS     "flags"
#define SUBMIT_ARRIVAL   "arrival"
#define SUBMIT_FULLNAME  "fullname"
#define SUBMIT_ENVID     "envid"
#define SUBMIT_VERP      "verp"
#define SUBMIT_FILTER_TO "filter"
#define SUBMIT_REDIRECT  "redirect"
#define SUBMIT_RET       "ret"
#define SUBMIT_TRACE     "trace"
#define SUBMIT_SENDOPTS  "sendopts"
#define SUBMIT_LOG_TAG   "logtag"
#define SUBMIT_LOG_TEXT  "logtext"
#define SUBMIT_ATTR      "a" // repeated: name=value
// Fields of "message" and "more". A recipient's o and n stand before its r.
#define SUBMIT_BEFORE      "before" // Received: header before and after the queue id
#define SUBMIT_AFTER       "after"
#define SUBMIT_PREPEND     "prepend" // repeated: header lines above it
#define SUBMIT_RCPT        "r"
#define SUBMIT_RCPT_ORCPT  "o"
#define SUBMIT_RCPT_NOTIFY "n"
#define SUBMIT_TEXT        "text"
#define SUBMIT_LAST        "last"
#define SUBMIT_LOGGED      "logged" // 1: the submitter has logged logtext itself
// Fields of the frame with last=1: what was decided on the way.
#define SUBMIT_END_FLAGS    "endflags"
#define SUBMIT_END_FILTER   "endfilter"
#define SUBMIT_END_REDIRECT "endredirect"
#define SUBMIT_END_BCC      "endbcc" // repeated
// Fields of "result"; "go" has the id only.
#define SUBMIT_CODE     "code"
#define SUBMIT_STATUS   "status"
#define SUBMIT_REASON   "reason"
#define SUBMIT_QUEUE_ID "id"

#endif
