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
    bool has_no_logs[3]; // in bounce, defer, trace: known for an action on ALL
    unsigned renamed;
};

struct postsuper_action {
    char letter;      // d e f h H r
    const char *to;   // the queue that it moves messages to, or NULL
    const char *done; // "QID: ..."
    const char *summary;
    const char *from[6]; // the queues that it looks in
};
const struct postsuper_action *postsuper_find_action(char letter);

void postsuper_act(struct postsuper *ps, char action, struct str id); // on one message, in the queue where it is
// On a message in that queue, if the criteria choose it. Is said to the log, or not. False: not there, not chosen, or
// failed.
bool postsuper_act_in(struct postsuper *ps, const struct postsuper_action *action, const char *queue, struct str id,
                      bool is_said);
void postsuper_remove_logs(struct postsuper *ps, struct str id);
void postsuper_look_for_logs(struct postsuper *ps,
                             bool looks); // finds out where none is to be removed; or forgets that

// postsuper_all.c: on ALL messages in the eligible queues; said message by message only when criteria choose.
void postsuper_act_on_all(struct postsuper *ps, char action);

void postsuper_summarize(const struct postsuper *ps);     // how many messages, for each action that was asked for
void postsuper_expect(struct postsuper *ps, char action); // will be summarized, even when nothing is done
bool postsuper_queue_is_selected(const struct postsuper *ps, const char *queue);

// -s: names and hash directories; -p: stray files older than a week.
void postsuper_repair(struct postsuper *ps, bool fixes_structure, bool purges, bool checks_long_ids);

#endif
