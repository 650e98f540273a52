// SPDX-License-Identifier: ISC
// queue_filter.h: choosing queued messages by sender, recipient, age, size, status, reason and queue.
//
// Used by postqueue and postsuper. Criteria of one kind are alternatives, criteria of different kinds must all hold;
// those that speak of a recipient (to, to-domain, status, reason) must hold for one and the same recipient. Case does
// not matter.
// Trust: criteria are the caller's; addresses and reasons come from queue files. Matching costs at most pattern times
// text.
#ifndef DROMOS_AGENT_QUEUE_FILTER_H
#define DROMOS_AGENT_QUEUE_FILTER_H

#include "lib/agent/queue_list.h"

struct queue_filter {
    struct queue_criterion *first; // in `arena`
    struct arena arena;
    int64_t now; // wall time that ages are measured at
};
#define QUEUE_FILTER_INIT ((struct queue_filter){NULL, ARENA_INIT, 0})

// `name` is the option without its dashes:
//   from, to     an address, "@domain", or a glob with * and ? over the whole address; "<>" is the null sender
//   to-domain    a domain or a glob
//   age          ">2h", "<10m", ">=1d"; without a sign: at least. Units s (or none) m h d w
//   size         ">1M"; units K M G or none
//   status       an enhanced status code or a glob: "4.4.1", "5.*"
//   reason       a glob, or text that the reason contains
//   queue        queue names, separated by commas
// 0; -1 with err: not such a name, or a malformed value.
int queue_filter_add(struct queue_filter *f, const char *name, const char *value, struct err *err) MUST_CHECK;
// Rows of a struct option table, for programs that take the criteria as long options (<getopt.h>).
#define QUEUE_FILTER_LONG_OPTIONS(value)                                                                               \
    {"from", required_argument, NULL, value}, {"to", required_argument, NULL, value},                                  \
        {"to-domain", required_argument, NULL, value}, {"age", required_argument, NULL, value},                        \
        {"size", required_argument, NULL, value}, {"status", required_argument, NULL, value},                          \
        {"reason", required_argument, NULL, value},                                                                    \
    {                                                                                                                  \
        "queue", required_argument, NULL, value                                                                        \
    }
static inline bool queue_filter_is_empty(const struct queue_filter *f)
{
    return f->first == NULL;
}
void queue_filter_release(struct queue_filter *f);

// Whether any message of that queue can match: saves the walk.
bool queue_filter_may_match_queue(const struct queue_filter *f, struct str queue);

// A sink that passes on to `next` the messages that match, each with all its recipients, as soon as it is known.
struct queue_filter_pass {
    const struct queue_filter *filter;
    struct queue_list_sink next;
    struct arena arena; // what is held back of the message
    struct queue_list_message message;
    struct queue_held *held, *last_held;
    size_t held_count;
    enum queue_filter_state { QUEUE_FILTER_DROPS, QUEUE_FILTER_HOLDS, QUEUE_FILTER_PASSES } state;
};
void queue_filter_pass_init(struct queue_filter_pass *p, const struct queue_filter *filter,
                            struct queue_list_sink next);
struct queue_list_sink queue_filter_pass_sink(struct queue_filter_pass *p);
void queue_filter_pass_release(struct queue_filter_pass *p);

#endif
