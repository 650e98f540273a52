// SPDX-License-Identifier: ISC
// smtp_sasl.h: logging in at servers: whose credentials, by which mechanism, and what is remembered of failures.
#ifndef DROMOS_SMTP_SASL_H
#define DROMOS_SMTP_SASL_H

#include "lib/base/err.h"
#include "lib/co/co.h"

struct smtp_client;
struct smtp_delivery;
struct smtp_session;
struct smtp_failure;

struct smtp_sasl; // of the process; NULL in struct smtp_client: no logins
int smtp_sasl_open(struct smtp_client *client, struct err *err) MUST_CHECK; // before the jail
void smtp_sasl_close(struct smtp_client *client);
// Connections are shared by those only who log in as the same user: adds the one that the sender decides, if it does.
void smtp_sasl_add_key(struct smtp_delivery *sd, struct buf *key) CO;
// After the last EHLO. NULL: logged in, or nothing asks for it.
struct smtp_failure *smtp_sasl_login(struct smtp_delivery *sd, struct smtp_session *s) CO;

#endif
