// SPDX-License-Identifier: ISC
// smtp_sasl_impl.h: what the files of smtp_sasl share.
#ifndef DROMOS_SMTP_SASL_IMPL_H
#define DROMOS_SMTP_SASL_IMPL_H

#include "lib/sasl/sasl_client.h"
#include "smtp/smtp.h"

enum smtp_sasl_protection { SMTP_SASL_PLAIN, SMTP_SASL_TLS, SMTP_SASL_VERIFIED, SMTP_SASL_PROTECTIONS };
struct smtp_sasl {
    struct table_list *passwords;
    struct match_list *filter;        // NULL: every mechanism
    struct match_list *local_domains; // NULL: senders do not matter
    struct table *cache;              // of failures; NULL: none
    unsigned security[SMTP_SASL_PROTECTIONS];
};

// ---- smtp_sasl_credentials.c. The secret is wiped by smtp_credentials_clear.
struct smtp_credentials {
    struct buf value;              // of the table
    struct str username, password; // borrow from it
};
// 1 found, 0 none, -1 the lookup failed, logged.
int smtp_credentials_by_sender(struct smtp_delivery *sd, struct smtp_credentials *c_r) CO;
int smtp_credentials_find(struct smtp_delivery *sd, const struct smtp_session *s, struct smtp_credentials *c_r) CO;
void smtp_credentials_clear(struct smtp_credentials *c);

// ---- smtp_sasl_cache.c: a login that a server refused with 535 is not tried again for a while with the same password.
// Is one remembered? Then its failure, else NULL.
struct smtp_failure *smtp_sasl_cache_find(struct smtp_delivery *sd, const struct smtp_session *s,
                                          const struct smtp_credentials *c) CO;
void smtp_sasl_cache_add(struct smtp_delivery *sd, const struct smtp_session *s, const struct smtp_credentials *c) CO;

#endif
