// SPDX-License-Identifier: ISC
// postsim.h: what the files of postsim share.
#ifndef DROMOS_COMMANDS_POSTSIM_H
#define DROMOS_COMMANDS_POSTSIM_H

#include "lib/access/access.h"

#define POSTSIM_RECIPIENTS_MAX 1000
#define POSTSIM_STEPS          (5 + POSTSIM_RECIPIENTS_MAX)

enum { POSTSIM_ACCEPTED = 0, POSTSIM_REFUSED = 1, POSTSIM_TEMPORARY = 2, POSTSIM_USAGE = 3 };

struct postsim { // what is simulated
    const char *config_dir, *service;
    const char *overrides[101]; // ends with NULL
    size_t override_count;
    const char *client, *name, *helo, *sender, *sasl_user;
    const char *recipients[POSTSIM_RECIPIENTS_MAX];
    size_t recipient_count;
    bool asks_policy, is_json;
};
// One stage: what was walked through, and the answer.
struct postsim_stage {
    const char *name;            // "CONNECT" … "END-OF-MESSAGE"
    struct str recipient;        // of RCPT
    size_t first_step, end_step; // in the trace
    struct access_verdict verdict;
};
struct postsim_result {
    struct str client; // "name[address]"
    struct postsim_stage stages[POSTSIM_STEPS];
    size_t stage_count;
    struct access_trace trace;
    int status; // exit status
};
void postsim_print(const struct postsim *p, const struct postsim_result *r); // text or JSON, on standard output

#endif
