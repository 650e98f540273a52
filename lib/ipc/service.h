// SPDX-License-Identifier: ISC
// service.h: the skeleton of every daemon that master starts. A daemon's main fills a struct service and calls
// service_main.
//
// Order of life: parse the command line, read settings, open the log, init() (still with the privileges that master
// gave: open tables, sockets, files), chroot if the row says so, drop to mail_owner unless SERVICE_KEEPS_ROOT, jail,
// start() in a coroutine, then serve() in a coroutine for each accepted connection; deinit() at the end.
//
// Contract with master: descriptors 3 = status channel, 4 = log (maybe /dev/null), 5.. = listening sockets (-s N).
// Arguments as Postfix's
// (-n NAME -t TYPE -u -c -l -z -v -d -D -o N=V -S …). Environment: MAIL_CONFIG, GENERATION, DROMOS_SESSION_LIMIT (how
// many sessions this process may hold), DROMOS_LOG (syslog | file | stderr). Status lines written to the status
// channel, one write each: "S <sessions> <limit>\n" when it is ready and when the session count crosses the limit or
// half of it; "R\n" when the process retires by itself (use limit, idle, changed table): master no longer counts it.
// End of file on the status channel (master reloads, stops or died) means retire: stop accepting, finish what runs,
// exit 0. Master writes "Y" to network services that have reached their limit, and "N" when that is over: ctx->settings
// then changes to what main.cf says for stress = yes, and back.
#ifndef DROMOS_IPC_SERVICE_H
#define DROMOS_IPC_SERVICE_H

#include "lib/conf/settings.h"
#include "lib/ipc/ipc.h"
#include "lib/net/addr.h"

enum service_flags {
    SERVICE_KEEPS_ROOT = 1,    // delivery agents that become the recipient: one session at a time, jobs inline, no jail
    SERVICE_SOLITARY = 2,      // requires maxproc 1 (-l)
    SERVICE_UNLIMITED = 4,     // requires maxproc 0 (-z)
    SERVICE_NETWORK = 8,       // sockets to and from the network: JAIL_NETWORK
    SERVICE_WRITES_QUEUE = 16, // creates and changes files below the queue directory
    SERVICE_STANDALONE_OK = 32, // may run with -S on standard input and output (smtpd)
    SERVICE_DATAGRAM = 64,      // listens on datagrams: serve() gets the socket itself, once
    SERVICE_ONE_SESSION = 128,  // at most one session in a process, whatever the limit (blocking code in serve)
    SERVICE_MANY_CLIENTS =
        256, // clients keep connections: maxproc does not limit them (anvil, proxymap, rewrite; SOLITARY implies it)
    SERVICE_TAKES_ALL = 512, // one connection may use the whole session_limit (agents that tell the queue manager that
                             // capacity): it counts as that many, so the next connection goes to another process
    SERVICE_KEEPS_GROUPS = 1024, // mail_owner with all groups that the group file gives it, not the primary one alone
};

struct service_client {
    int fd;               // the accepted connection; serve() takes it
    struct net_addr peer; // for inet services
    struct net_addr local;
    bool is_standalone; // -S: fd is standard input, standard output is 1
    struct str type;    // "inet", "unix", "pass"
};

struct service_context {
    const struct settings *settings; // changes when a time of stress begins or ends; both stay valid
    struct conf *conf;               // for per-service parameters (conf_get_*)
    const char *name;       // the service's name in master.cf: "smtp", "relay", "retry", "127.0.0.1:submission"
    const char *program;    // "smtpd"
    unsigned session_limit; // how many sessions this process may hold
    bool is_retiring;
    bool is_standalone; // -S: one session on standard input, without a master
    void *state;        // the daemon's own
    char **argv;        // extra arguments after the options, ends with NULL
};

struct service {
    const char *program; // as in the log line
    unsigned flags;
    int (*init)(struct service_context *ctx, struct err *err); // may be NULL
    void (*start)(struct service_context *ctx);                // in a coroutine of its own; may be NULL
    void (*serve)(struct service_context *ctx,
                  struct service_client *client); // in a coroutine; NULL for SERVICE with trigger only
    void (*trigger)(struct service_context *ctx,
                    char request);               // wake-up and postkick bytes (one call a byte); may be NULL
    void (*deinit)(struct service_context *ctx); // may be NULL
    void (*stress)(struct service_context *ctx, bool is_stressed); // ctx->settings has just changed; may be NULL
    // Called when retiring begins (reload, stop); may be NULL. The process ends when no session is left and
    // service_hold_count is zero.
    void (*retire)(struct service_context *ctx);
    // Asked between sessions and requests: the name of a table that has changed out of this process's reach, or NULL
    // (table_outdated). The process then retires, and its successor reads the table anew. May be NULL.
    const char *(*outdated)(void);
};

int service_main(const struct service *service, int argc, char **argv); // returns main's status
void service_hold(struct service_context *ctx); // background work under way: do not end for idleness or retirement yet
void service_unhold(struct service_context *ctx);
// The same for a delivery: what the next hop has perhaps taken must not be cut short, so SIGTERM (master stops) waits
// for it, too, a few seconds, before all that runs is cancelled.
void service_delivery_begin(struct service_context *ctx);
void service_delivery_end(struct service_context *ctx);
unsigned service_sessions(void); // under way in this process
// Waits for the next request on a kept connection: as ipc_recv, but returns 0 at once when the process retires
// meanwhile.
int service_next(struct service_context *ctx, struct ipc_conn *c, struct ipc_view *view_r, int64_t deadline,
                 struct err *err) CO MUST_CHECK;
// serve() of a service whose clients ask and read the answer, one after the other: takes the connection, and ends with
// it, after idle_seconds (0: never) without a request, or when `respond` returns -1. `respond` puts one finished frame
// into `answer`, or none.
typedef int service_respond(void *arg, const struct ipc_view *request, struct ipc_msg *answer);
void service_answer(struct service_context *ctx, struct service_client *client, int64_t idle_seconds,
                    service_respond *respond, void *arg) CO;
// For init(): starts a program of daemon_directory that works for this process alone, with its name, its -o options and
// its chroot. The helper is a service with SERVICE_DATAGRAM | SERVICE_SOLITARY, whose serve() gets the other end of the
// stream socket that is returned; it ends when this process does. -1: it cannot be started.
int service_start_helper(struct service_context *ctx, const char *program, struct err *err) MUST_CHECK;
// Ends the process once everything has been unwound (a changed table, a use limit).
void service_retire(struct service_context *ctx);

#endif
