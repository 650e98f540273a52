// SPDX-License-Identifier: ISC
// master.h: what the files of the master share: the services of master.cf, their listeners and processes.
//
// Master runs plain callbacks on the loop: no coroutine, no thread, nothing that blocks but at start and reload. It
// keeps root for its whole life and parses nothing that comes from the network; of its children it reads status lines
// only.
#ifndef DROMOS_MASTER_MASTER_H
#define DROMOS_MASTER_MASTER_H

#include "lib/base/list.h"
#include "lib/conf/settings.h"
#include "lib/net/addr.h"
#include "lib/sys/sys.h"

enum {
    MASTER_LISTENERS_MAX = 256,   // of one service
    MASTER_UNLIMITED = 10000,     // sessions where maxproc is 0
    MASTER_STRESS_SECONDS = 1000, // how long stress=yes lasts after the limit was reached
    MASTER_WARN_SECONDS = 60,
};

// One reading of main.cf and master.cf. Everything that services point to lives here.
struct master_config {
    struct arena arena;
    struct conf *conf;
    struct settings settings;
    struct master_row *rows;
    size_t row_count;
    const char *const *environment; // of the children, but for what differs between services
    size_t environment_count;
    bool is_draining;         // `postfix drain`: nothing is accepted
    struct str drain_nexthop; // where all mail goes then, or ""
};

struct master_listener {
    int fd;
    struct net_addr addr; // inet only
    struct co_watch *watch;
};

struct master_service {
    struct list link;
    struct master *master;
    const struct master_row *row;
    const char *path;  // the program
    const char *where; // "private/smtp", "[::]:25", for log lines; the first listener
    struct master_listener *listeners;
    size_t listener_count;
    unsigned process_limit; // how many processes
    unsigned session_limit; // sessions in each
    bool is_missing;        // no program: no listener either
    bool is_exclusive;      // a new process starts only when the former one has ended (queue manager)
    bool is_pausing;        // throttled until resume_timer fires
    bool was_used;          // a process was started
    bool is_watching, is_watching_limit;
    unsigned running;                   // processes that take sessions
    unsigned predecessors;              // retiring processes that an exclusive service waits for
    unsigned short_lives;               // consecutive crashes soon after the start
    int64_t stress_until, next_warning; // clock_ms
    struct co_timer *resume_timer, *wakeup_timer, *stress_timer;
};

struct master_child {
    struct list link;
    struct master *master;
    struct master_service *service; // NULL once the configuration that started it is gone
    pid_t pid;
    char *path;
    int status_fd;
    struct co_watch *status_watch;
    struct co_timer *kill_timer;
    unsigned load, limit;
    int64_t started; // clock_ms
    bool has_reported, is_retiring, was_terminated;
    struct master_service *successor; // exclusive service that waits for the end of this process
};

struct master {
    struct master_config *config;
    struct list services, children;
    unsigned generation;
    int log_fd; // handed to children as descriptor 4
    const char *log_kind;
    struct sys_user owner;
    bool is_rootless, is_foreground, is_stopping;
    unsigned verbosity;
    unsigned cpus;
    struct co_timer *stop_timer;
};

// master_config.c
struct master_config *master_config_read(const struct master *m, struct err *err); // NULL with err
void master_config_free(struct master_config *c);

// master_builtin.c: adds the rows of services that only Dromos has and that master.cf does not name.
void master_builtin_add(struct master_config *c);

// master_services.c: replaces the services by those of m->config; children of the old ones retire, unchanged listeners
// stay.
int master_services_apply(struct master *m, bool is_first, struct err *err);
void master_services_free(struct master *m);
// Decides what to watch after anything changed: the listeners, to start one more process, or nothing.
void master_service_update(struct master_service *s);
void master_service_pause(struct master_service *s, int64_t seconds);

// master_listen.c
// The addresses of an inet service. 0 or -1.
int master_listen_addresses(const struct settings *settings, const struct master_row *row, struct arena *arena,
                            struct net_addr **list_r, size_t *count_r, struct err *err);
int master_listen_open(struct master_service *s, const struct net_addr *addr, int *fd_r,
                       struct err *err); // addr NULL: local
void master_listen_path(const struct master_row *row, struct buf *path_r);
void master_listen_remove(const struct master_row *row); // the socket in the file system

// master_spawn.c
void master_spawn(struct master_service *s);
void master_reap(struct master *m);
void master_kill_all(struct master *m, int signo);

// master_status.c
void master_status_watch(struct master_child *c);
// Closes the status channel: the process finishes and ends. Unless patience_ms is 0, it is terminated then, and killed
// soon after.
void master_retire(struct master_child *c, int64_t patience_ms);

// master_wakeup.c
void master_wakeup_start(struct master_service *s);
void master_wakeup_stop(struct master_service *s);
void master_wakeup_soon(struct master_service *s); // its process died: the work that it had begun waits

// master_drain.c
bool master_drain_closes(const struct master_config *c,
                         const struct master_row *row); // the service rests while draining
const char *master_drain_option(const struct master_config *c, const struct master_row *row,
                                struct arena *arena); // for -o, or NULL

// master_log.c
void master_log_open(struct master *m);

#endif
