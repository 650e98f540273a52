// SPDX-License-Identifier: ISC
// mta_sts.h: MTA-STS (RFC 8461): policies of domains, published over HTTPS, that say which hosts take their mail over
// TLS.
//
// Texts are parsed here, without I/O; the mtasts service fetches and keeps policies, and mta_sts_ask asks it.
// Trust: a policy comes from the network: sizes and counts are bounded, names checked.
#ifndef DROMOS_TLSPOLICY_MTA_STS_H
#define DROMOS_TLSPOLICY_MTA_STS_H

#include "lib/co/co.h"
#include "lib/tlspolicy/tls_policy.h"

#define MTA_STS_POLICY_MAX   (64 * 1024) // bytes of a policy file (RFC 8461 3.3 advises this)
#define MTA_STS_MX_MAX       100
#define MTA_STS_ID_MAX       32
#define MTA_STS_MAX_AGE      31557600 // seconds, about a year
#define MTA_STS_SERVICE_PATH "private/mtasts"

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };
struct mta_sts {
    enum mta_sts_mode mode;
    int64_t max_age; // seconds
    struct str id;   // of the TXT record
    struct tls_words mx;
};
const char *mta_sts_mode_name(enum mta_sts_mode mode);
// A TXT record of _mta-sts.DOMAIN: 1 it is one, *id_r borrows from text; 0 another record; -1 malformed.
int mta_sts_record_parse(struct str text, struct str *id_r);
bool mta_sts_id_is_valid(struct str id); // letters and digits, 1 to MTA_STS_ID_MAX
// A policy file. Unknown fields are passed over. 0, or -1 with err.
int mta_sts_policy_parse(struct str text, struct arena *arena, struct mta_sts *policy_r, struct err *err);

// ---- Asking the service, over a connection that is kept.
struct mta_sts_client;
struct mta_sts_client *mta_sts_client_new(int64_t timeout_seconds);
void mta_sts_client_free(struct mta_sts_client *c);
// The policy in force for a domain: mode none when it has none. 0, or -1: the service does not answer.
int mta_sts_ask(struct mta_sts_client *c, struct str domain, struct arena *arena, struct mta_sts *policy_r,
                struct err *err) CO MUST_CHECK;

#endif
