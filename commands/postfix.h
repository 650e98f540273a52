// SPDX-License-Identifier: ISC
// postfix.h: what the files of the control command share.
#ifndef DROMOS_COMMANDS_POSTFIX_H
#define DROMOS_COMMANDS_POSTFIX_H

#include "lib/conf/settings.h"
#include "lib/sys/sys.h"

struct control {
    struct conf *conf;
    struct settings settings;
    struct arena arena;
    struct sys_user owner; // mail_owner
    gid_t setgid_group;
    bool is_rootless;
    char **arguments; // after the command word
};

// postfix_start.c: each returns the exit status.
int control_start(struct control *c);
int control_start_fg(struct control *c);
int control_stop(struct control *c);
int control_quick_stop(struct control *c);
int control_abort(struct control *c);
int control_reload(struct control *c);
int control_flush(struct control *c);
int control_status(struct control *c);

// postfix_check.c
int control_check(struct control *c);           // creates what is missing, reports what is wrong
int control_set_permissions(struct control *c); // repairs owners and modes
bool control_prepare(struct control *c);        // the fatal part of check: false when the system cannot start

void control_check_queue(struct control *c);        // runs postsuper: names, directories, stray files
bool control_master_cf_is_sound(struct control *c); // logs what is wrong

// postfix_staging.c: makes staging/ where it is of use; logs when that fails: mail flows without it
void control_prepare_staging(struct control *c);

// postfix_drain.c
int control_drain(struct control *c);
void control_end_drain(struct control *c); // mail is accepted at the next start or reload

// postfix_config.c
void control_take_parameters(struct control *c);
int control_upgrade_configuration(struct control *c);

// postfix_logrotate.c
int control_logrotate(struct control *c);

// postfix.c
void control_know_users(struct control *c); // mail_owner and setgid_group, as the settings name them

pid_t control_master_pid(struct control *c);  // 0: not running
pid_t control_running_pid(struct control *c); // dies when it is not running

#endif
