// SPDX-License-Identifier: ISC
// verify.h: what the files of the verify service share.
#ifndef DROMOS_VERIFY_VERIFY_H
#define DROMOS_VERIFY_VERIFY_H

#include "lib/base/map.h"
#include "lib/ipc/service.h"
#include "lib/ipc/submit.h"
#include "lib/route/route.h"
#include "services/verify/verify_cache.h"

struct verify {
    struct service_context *ctx;
    const struct settings *settings;
    struct table *cache; // address_verify_map; NULL: `memory` holds it, for as long as the process lives
    struct map memory;   // address -> char *, of at most VERIFY_MEMORY_MAX addresses
    struct submit_pool *submit;
    unsigned probes;  // being handed to cleanup
    bool had_trouble; // the table failed, and that was logged
};
#define VERIFY_MEMORY_MAX  100000
#define VERIFY_PROBES_MAX  200
#define VERIFY_ADDRESS_MAX 500 // of a key

// verify_store.c: the table or the memory. 1, 0, -1 as for tables; entries borrow from *value_r.
int verify_store_get(struct verify *v, struct str address, struct buf *value_r, struct verify_entry *entry_r) CO;
void verify_store_put(struct verify *v, struct str address, const struct verify_entry *entry) CO;
void verify_store_open(struct verify *v); // before the jail
void verify_store_close(struct verify *v);
void verify_store_hand_over(struct verify *v); // the next process opens the table: this one no longer needs it
void verify_store_clean(struct verify *v)
    CO; // removes what has expired, every address_verify_cache_cleanup_interval, until the process ends

// verify_probe.c: sends a probe message to the address in the background.
void verify_probe_start(struct verify *v, struct str address);

#endif
