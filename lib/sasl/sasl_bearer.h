// SPDX-License-Identifier: ISC
// sasl_bearer.h: the mechanisms of OAuth bearer tokens: OAUTHBEARER (RFC 7628) and XOAUTH2, its ancestor. Pure.
#ifndef DROMOS_SASL_BEARER_H
#define DROMOS_SASL_BEARER_H

#include "lib/sasl/sasl_client.h"

// Which of the two the list has ("OAUTHBEARER" first), or NULL.
const char *sasl_bearer_choose(struct str mechanisms);
// The first message as base64. -1: user name or token hold what cannot be sent.
int sasl_bearer_initial(const char *mechanism, const struct sasl_login *login, struct buf *response_r, struct err *err);
// The server's challenge is a description of the failure; what it wants to hear before it says so, as base64.
const char *sasl_bearer_dismiss(const char *mechanism);
void sasl_base64_add(struct buf *b, struct str bytes);

#endif
