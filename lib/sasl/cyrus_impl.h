// SPDX-License-Identifier: ISC
// cyrus_impl.h: what Cyrus's server and client have in common.
#ifndef DROMOS_SASL_CYRUS_IMPL_H
#define DROMOS_SASL_CYRUS_IMPL_H

#include <sasl/sasl.h>

#include "lib/sasl/cyrus.h"

#define CYRUS_CALLBACKS      6
#define CYRUS_PROC(function) ((int (*)(void))(void (*)(void))(function))

struct cyrus_exchange {
    sasl_conn_t *conn;
    sasl_callback_t callbacks[CYRUS_CALLBACKS]; // Cyrus keeps a pointer to them
    struct buf log;
    struct cyrus_secret *secret; // client only
};

void cyrus_secret_free(struct cyrus_secret *secret); // NULL is fine
// Folders and locks, before sasl_*_init.
int cyrus_prepare(struct str path, struct err *err);
int cyrus_log(void *context, int level, const char *message); // a sasl_callback_t's proc; context: exchange, or NULL
int cyrus_set_security(sasl_conn_t *conn, unsigned security);
int cyrus_decode(struct str base64, struct buf *bytes_r); // SASL_OK or why not; "" is fine
void cyrus_encode(const char *bytes, unsigned len, struct buf *base64_r);
void cyrus_take_log(struct cyrus_exchange *x, struct buf *log_r);

#endif
