// SPDX-License-Identifier: ISC
// verify_client.h: address verification: asking the verify service whether an address can be delivered to, and telling
// it what a probe has found.
//
// The service answers at once with what its cache knows; when that is nothing or old, it sends a probe message and a
// later question finds the result. All sessions of a process share a few kept connections; none holds one while it
// waits.
// Trust: the service is a peer daemon: its answers are bounded and checked. Suspends: every call.
#ifndef DROMOS_IPC_VERIFY_CLIENT_H
#define DROMOS_IPC_VERIFY_CLIENT_H

#include "lib/conf/settings.h"
#include "lib/ipc/ipc.h"

// As written in the cache.
enum verify_status {
    VERIFY_OK = 0,
    VERIFY_DEFERRED = 1, // a probe could not find out
    VERIFY_BOUNCED = 2,
    VERIFY_PENDING = 3, // a probe is under way
};
#define VERIFY_TEXT_MAX 1024
struct verify_answer {
    enum verify_status status;
    struct str text; // why: "host a[1.2.3.4] said: 550 5.1.1 … (in reply to RCPT TO command)"; printable, in the
                     // caller's arena
};

// Asks, and while a probe is under way asks again for as long as address_verify_poll_count questions take that are
// address_verify_poll_delay apart; at first more often, for most probes are answered at once.
// 0; -1: the service cannot be reached ("address verification problem").
int verify_client_ask(const struct settings *settings, struct str address, struct arena *arena,
                      struct verify_answer *answer_r, struct err *err) CO MUST_CHECK;
// What a delivery agent found out about the recipient of a probe. 0; -1: not stored.
int verify_client_update(const struct settings *settings, struct str address, const struct verify_answer *found,
                         struct err *err) CO MUST_CHECK;

#endif
