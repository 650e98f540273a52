// SPDX-License-Identifier: ISC
// tls_ciphers.h: cipher grades as OpenSSL cipher lists. Pure.
#ifndef DROMOS_TLSPOLICY_TLS_CIPHERS_H
#define DROMOS_TLSPOLICY_TLS_CIPHERS_H

#include "lib/conf/settings.h"

// Appends the list of the grade (high, medium, null; the obsolete low and export are medium) without what `exclude`
// names. -1: no such grade.
int tls_ciphers_add(struct buf *b, const struct settings *settings, struct str grade, struct str exclude, struct err *err);

#endif
