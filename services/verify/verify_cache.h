// SPDX-License-Identifier: ISC
// verify_cache.h: what is known of an address, as text in address_verify_map: "STATUS:PROBED:UPDATED:WHY".
//
// The text is what other software of this kind writes, so that a cache can be taken over either way.
#ifndef DROMOS_VERIFY_VERIFY_CACHE_H
#define DROMOS_VERIFY_VERIFY_CACHE_H

#include "lib/ipc/verify_client.h"

// The longest a probe may be under way before another one is sent.
#define VERIFY_PROBE_SECONDS 1000

struct verify_entry {
    enum verify_status status;
    int64_t probed;  // when the probe was sent that has not been answered; 0: none is under way
    int64_t updated; // when the status was found out; 0: never
    struct str text; // borrows from what was parsed
};
// Limits: VERIFY_TEXT_MAX bytes of text, longer ones are cut. False: malformed.
bool verify_entry_parse(struct str value, struct verify_entry *entry_r);
void verify_entry_add(struct buf *b, const struct verify_entry *entry);

// May the entry still be used at this time? Should the address be probed (again)?
bool verify_entry_is_usable(const struct verify_entry *entry, const struct settings *settings, int64_t now);
bool verify_entry_wants_probe(const struct verify_entry *entry, const struct settings *settings, int64_t now);
// Does what a probe has found take the entry's place? An address that was good stays so until its entry expires, and is
// probed again when VERIFY_PROBE_SECONDS have passed.
bool verify_entry_yields_to(const struct verify_entry *entry, enum verify_status found, const struct settings *settings,
                            int64_t now);

#endif
