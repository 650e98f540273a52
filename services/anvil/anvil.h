// SPDX-License-Identifier: ISC
// anvil.h: how many connections and requests each client makes: the counters behind the anvil service. Pure: no I/O.
// Limits: ANVIL_CLIENTS_MAX clients are known at once; a further one is not counted.
#ifndef DROMOS_SERVICES_ANVIL_ANVIL_H
#define DROMOS_SERVICES_ANVIL_ANVIL_H

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/ipc/anvil_client.h"

#define ANVIL_CLIENTS_MAX 500000

struct anvil_maximum { // since the last statistics
    int64_t value, wall;
    struct buf client;
};

struct anvil {
    struct map clients;  // "service:address" -> struct anvil_entry
    struct list by_age;  // entries, the one heard of longest ago first
    int64_t interval_ms; // anvil_rate_time_unit
    struct anvil_maximum max_rate[ANVIL_EVENT_COUNT], max_count;
    size_t max_clients;
    int64_t max_clients_wall;
};

// What one process holds, taken back when its connection ends.
struct anvil_holder {
    struct map connections; // "service:address" -> count
};

void anvil_init(struct anvil *a, int64_t rate_seconds);
void anvil_release(struct anvil *a);
struct anvil_counts anvil_note(struct anvil *a, struct anvil_holder *h, enum anvil_event event, struct str client);
void anvil_end_holder(struct anvil *a, struct anvil_holder *h);
// Logs what was reached since the last call, and forgets it.
void anvil_log_statistics(struct anvil *a);

#endif
