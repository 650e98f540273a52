// SPDX-License-Identifier: ISC
// table_peer_impl.h: a server that answers lookups over a socket: tcp:, socketmap:, memcache:. Private to lib/table.
//
// Trust: the server is hostile: replies are bounded and checked by each type. Suspends: connecting and asking.
#ifndef DROMOS_TABLE_TABLE_PEER_IMPL_H
#define DROMOS_TABLE_TABLE_PEER_IMPL_H

#include "lib/net/stream.h"
#include "lib/table/table_impl.h"

struct table_peer;
// "inet:HOST:PORT", "unix:PATH" or "HOST:PORT". NULL: malformed. HOST is resolved now and again at each connection;
// where the jail stops that, the first addresses go on serving.
struct table_peer *table_peer_new(struct str where, const char *default_port, struct err *err);
void table_peer_free(struct table_peer *p);

// One question and answer on a connection of this caller alone. Returns 1 found, 0 absent, -1; *keeps_r is set to false
// when the connection cannot be used again. May be called a second time, on a new connection, when a kept one turns out
// dead.
typedef int table_peer_ask(struct stream *s, void *question, bool *keeps_r, struct err *err);
// Asks on a kept connection or a new one. After a failed connection, queries fail at once until a growing pause is
// over.
int table_peer_query(struct table_peer *p, table_peer_ask *ask, void *question, int64_t deadline,
                     struct err *err) CO MUST_CHECK;

// ---- Pure decoders, for tests and fuzzing.
int table_tcp_reply(struct raw line, struct buf *value_r, struct err *err);          // 1, 0, -1
int table_socketmap_frame(struct raw input, struct str *payload_r, struct err *err); // 1 a frame, 0 more needed, -1
int64_t table_memcache_size(struct raw line, struct str key, int64_t limit); // "VALUE key flags bytes": bytes, or -1
int table_socketmap_reply(struct str reply, struct buf *value_r, struct err *err); // 1, 0, -1

#endif
