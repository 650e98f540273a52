// SPDX-License-Identifier: ISC
// table_cache_impl.h: the tables that can be changed: caches on LMDB, and those of the proxywrite service. Private to
// lib/table.
#ifndef DROMOS_TABLE_TABLE_CACHE_IMPL_H
#define DROMOS_TABLE_TABLE_CACHE_IMPL_H

#include "lib/table/table_impl.h"

extern const struct table_type table_type_cache;

int table_cache_update(struct table *t, struct str key, struct str value, struct err *err);
int table_cache_delete(struct table *t, struct str key, struct err *err);
int table_cache_next(struct table *t, struct str after, struct buf *key_r, struct buf *value_r, struct err *err);

int table_proxy_update(struct table *t, struct str key, struct str value, struct err *err) CO;
int table_proxy_delete(struct table *t, struct str key, struct err *err) CO;
int table_proxy_next(struct table *t, struct str after, struct buf *key_r, struct buf *value_r, struct err *err) CO;

#endif
