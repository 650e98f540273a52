// SPDX-License-Identifier: ISC
// postsuper.h: the parts of postsuper: actions on messages, and the repair of the directories.
#ifndef DROMOS_COMMANDS_POSTSUPER_H
#define DROMOS_COMMANDS_POSTSUPER_H

#include "lib/agent/queue_filter.h"
#include "lib/conf/settings.h"
#include "lib/mail/queue_file.h"

#define POSTSUPER_QUEUES_MAX 16

struct postsuper {
    struct settings settings;
    struct arena arena;
    struct queue_layout layout;
    const char *queues[POSTSUPER_QUEUES_MAX]; // restrict the actions; ends with NULL; none: the defaults
    unsigned queue_count;
    struct queue_filter filter; // which messages are meant
    bool is_dry_run;            // says what would be done to which message, and does nothing
    bool is_counting;           // a dry run that says only to how many
    // How many messages: by action letter.
    unsigned done[128];
    bool is_expected[128];
    unsigned renamed;
};

// One action letter (d e f h H r) on one message, or on ALL in the eligible queues. What is done to ALL is not said message by message,
// unless criteria choose.
void postsuper_act(struct postsuper *ps, char action, struct str id);
void postsuper_act_on_all(struct postsuper *ps, char action);
void postsuper_summarize(const struct postsuper *ps); // how many messages, for each action that was asked for
void postsuper_expect(struct postsuper *ps, char action); // will be summarized, even when nothing is done
bool postsuper_queue_is_selected(const struct postsuper *ps, const char *queue);

// -s: names and hash directories; -p: stray files older than a week.
void postsuper_repair(struct postsuper *ps, bool fixes_structure, bool purges, bool checks_long_ids);

#endif
