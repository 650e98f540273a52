// SPDX-License-Identifier: ISC
// table_client_impl.h: database servers asked through their own, blocking client libraries. Private to lib/table.
//
// Each query is a job on the pool of threads with a connection of its own; connections are kept, hosts that fail are
// left alone for a growing while. A server that cannot be reached is a temporary failure. Suspends: asking.
#ifndef DROMOS_TABLE_TABLE_CLIENT_IMPL_H
#define DROMOS_TABLE_TABLE_CLIENT_IMPL_H

#include "lib/table/table_source_impl.h"

#define TABLE_CLIENT_SECONDS 10 // for a connection, and for an answer

struct table_request {
    const struct table_source *source;
    const void *setup; // of the type: what `open` made
    struct str key;
    struct table_rows rows;
    struct err err;
    bool is_lost; // the connection cannot be used again
};

// The first three run in a thread: they log nothing and touch nothing but their arguments.
struct table_client_ops {
    void *(*connect)(const struct table_source *source, const void *setup, const char *host,
                     struct err *err);                             // NULL: failed
    int (*query)(void *connection, struct table_request *request); // 0 and rows, or -1 and err
    void (*close)(void *connection);
    void (*free_setup)(void *setup); // may be NULL
};

struct table_client;
// Takes `source` and `setup`, also when it fails. `hosts`: separated by commas and blanks; "" is `default_host`.
struct table_client *table_client_new(const struct table_client_ops *ops, struct table_source *source, void *setup,
                                      struct str hosts, const char *default_host);
void table_client_set_intervals(struct table_client *c, int64_t idle_seconds, int64_t retry_seconds);
void table_client_free(struct table_client *c);
int table_client_lookup(struct table_client *c, struct str key, struct buf *value_r, struct err *err) CO MUST_CHECK;

#endif
