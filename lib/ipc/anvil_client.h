// SPDX-License-Identifier: ISC
// anvil_client.h: asks the anvil service how many connections and requests a client has made. One kept connection a
// process.
//
// A request is one frame {verb, "client"}: connect, disconnect, message, recipient, newtls, newtls_status, auth; the
// answer is
// {"counts", "count", "rate"}: connections at this moment and events in the running anvil_rate_time_unit. disconnect
// has no answer. What a process holds is forgotten by the service when the process's connection ends.
#ifndef DROMOS_IPC_ANVIL_CLIENT_H
#define DROMOS_IPC_ANVIL_CLIENT_H

#include "lib/ipc/ipc.h"

enum anvil_event {
    ANVIL_CONNECT,
    ANVIL_DISCONNECT,
    ANVIL_MESSAGE,
    ANVIL_RECIPIENT,
    ANVIL_NEWTLS,
    ANVIL_NEWTLS_STATUS, // asks about ANVIL_NEWTLS without counting one
    ANVIL_AUTH,
};
#define ANVIL_EVENT_COUNT 7
#define ANVIL_CLIENT_MAX  300 // bytes of "service:address"

struct anvil_counts {
    int64_t count; // connections at this moment
    int64_t rate;  // events of this kind in the running interval, this one included
};

const char *anvil_event_verb(enum anvil_event event);

struct anvil_client;
struct anvil_client *anvil_client_new(const char *socket_path); // "private/anvil"
void anvil_client_free(struct anvil_client *c);                 // NULL is fine
// 0 and the counts (all 0 for ANVIL_DISCONNECT), or -1: the service cannot be asked. After a failure the service is
// left alone for some seconds, so that a dead one does not hold up each session.
int anvil_client_note(struct anvil_client *c, enum anvil_event event, struct str client, struct anvil_counts *counts_r,
                      struct err *err) CO MUST_CHECK;

#endif
