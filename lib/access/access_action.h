// SPDX-License-Identifier: ISC
// access_action.h: the right-hand side of access(5) tables, and the answers of policy servers, taken apart. Pure.
#ifndef DROMOS_ACCESS_ACCESS_ACTION_H
#define DROMOS_ACCESS_ACCESS_ACTION_H

#include "lib/base/str.h"

enum access_action_kind {
    ACTION_OK, // OK, RELAY, a number
    ACTION_DUNNO,
    ACTION_REJECT,
    ACTION_DEFER,
    ACTION_CODE, // 4nn or 5nn and text
    ACTION_DEFER_IF_PERMIT,
    ACTION_DEFER_IF_REJECT,
    ACTION_HANGUP,
    ACTION_INFO,
    ACTION_WARN,
    ACTION_HOLD,
    ACTION_DISCARD,
    ACTION_FILTER,
    ACTION_REDIRECT,
    ACTION_BCC,
    ACTION_PREPEND,
    ACTION_LIST, // restrictions
};
struct access_action {
    enum access_action_kind kind;
    struct str word; // as written: "REJECT"
    int code;        // of ACTION_CODE
    char status[12]; // an enhanced status code in front of the text, or ""
    struct str text; // what follows word and status; of ACTION_LIST: the whole value
};
void access_action_parse(struct str value, struct access_action *action_r); // borrows from value

#endif
