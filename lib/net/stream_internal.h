// SPDX-License-Identifier: ISC
// stream_internal.h: how TLS gets below a stream.
#ifndef DROMOS_NET_STREAM_INTERNAL_H
#define DROMOS_NET_STREAM_INTERNAL_H

#include "lib/net/stream.h"

struct tls;

struct co_fd *stream_co_fd(struct stream *s);
int64_t stream_deadline(const struct stream *s);
struct tls *stream_tls(const struct stream *s);
// From now on bytes go through t, which the stream owns. What was buffered in the clear, both ways, is gone.
void stream_set_tls(struct stream *s, struct tls *t);
int stream_fail(struct stream *s, const char *what, struct err *err); // by errno; the stream stays failed

#endif
