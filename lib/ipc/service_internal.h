// SPDX-License-Identifier: ISC
// service_internal.h: what the files of the service skeleton share.
#ifndef DROMOS_IPC_SERVICE_INTERNAL_H
#define DROMOS_IPC_SERVICE_INTERNAL_H

#include "lib/ipc/service.h"

enum { SERVICE_STATUS_FD = 3, SERVICE_LOG_FD = 4, SERVICE_LISTEN_FD = 5, SERVICE_LISTENERS_MAX = 256 };

// The command line of a daemon.
struct service_options {
    const char *name; // -n, else the program's
    const char *type; // -t
    bool is_chroot, is_one, is_unlimited, is_unpriv, is_standalone, logs_to_stderr;
    unsigned verbosity;
    unsigned listeners;
    int64_t max_idle, max_use; // -1: as configured
    char **overrides;          // "name=value", ends with NULL; in the arena
    char **rest;               // arguments after the options
};
int service_options_parse(struct service_options *options_r, struct arena *arena, int argc, char **argv,
                          struct err *err);
// "name=value" or "{ name = value }" becomes "name=value" without blanks around either. 0 or -1 (no name or no '=').
int service_option_override(struct arena *arena, const char *text, char **override_r);

struct service_listener {
    struct service_run *run;
    int fd;
    struct co *accepter; // a reference is held
};

// The state of the one service in this process.
struct service_run {
    const struct service *service;
    struct service_context ctx;
    struct service_options options;
    struct settings settings;
    struct settings *other_settings; // with the other value of `stress`; NULL until it is needed
    struct arena arena;
    struct service_listener *listeners;
    unsigned sessions, holds, accepters;
    unsigned deliveries;     // held as well
    unsigned load;           // sessions by weight
    unsigned reported_level; // see service_accept.c
    uint64_t used, use_limit;
    struct co *serving;   // the accepting coroutine that serves a session itself
    struct co_event room; // load fell below the limit
    struct list idle;     // kept connections that wait for their next request
    struct co_watch *status_watch;
    struct co_timer *idle_timer, *watchdog, *end_timer;
    int64_t last_active; // clock_ms
    struct err err;      // of the start: one, for each takes half a kilobyte of stack
    bool is_confined;    // chroot was done
    bool has_status;     // a master listens at descriptor 3
};

void service_accept_start(struct service_run *run); // accepts on all listeners
void service_accept_standalone(struct service_run *run);
void service_accept_stop(struct service_run *run);    // no new sessions; kept connections end when they are idle
void service_accept_release(struct service_run *run); // after the loop has ended
void service_report(struct service_run *run, bool is_first);
void service_set_stress(struct service_run *run, bool is_stressed);
void service_enter_jail(struct service_run *run); // die()s when that fails
void service_end_if_done(struct service_run *run);

#endif
