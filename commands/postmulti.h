// SPDX-License-Identifier: ISC
// postmulti.h: several instances of the mail system on one host: which there are, and the parts of postmulti.
#ifndef DROMOS_COMMANDS_POSTMULTI_H
#define DROMOS_COMMANDS_POSTMULTI_H

#include "lib/conf/settings.h"

#define INSTANCES_MAX 1000

struct instance {
    struct str dir; // its configuration
    struct settings *settings;
    bool is_primary; // the one whose multi_instance_directories names the others
};

struct postmulti_options {
    char mode;          // l p x e
    const char *action; // of -e
    bool is_all, is_reversed, is_json;
    const char *group, *instance;     // -g, -i: which ones
    const char *new_name, *new_group; // -I, -G; "-" is none
    char **words;                     // the command, or name=value
};

struct postmulti {
    struct arena arena;
    struct instance instances[INSTANCES_MAX]; // the primary first
    size_t count;
    struct postmulti_options options;
};

// postmulti_instances.c
void instances_load(struct postmulti *pm); // dies when one cannot be read
struct instance instance_read(struct postmulti *pm, struct str dir);
bool instance_is_selected(const struct postmulti *pm, const struct instance *i);
bool instance_is_enabled(const struct instance *i);
// Dies when the new one would share a name, a queue or a data directory with another.
void instance_check_conflicts(const struct postmulti *pm, const struct instance *fresh);

// postmulti_run.c: each returns the exit status.
int postmulti_list(struct postmulti *pm);
int postmulti_postfix(struct postmulti *pm); // -p
int postmulti_command(struct postmulti *pm); // -x

// postmulti_edit.c
int postmulti_edit(struct postmulti *pm);

#endif
