// SPDX-License-Identifier: ISC
// stream.h: a buffered, deadline-bound byte stream over a descriptor; TLS is a property of it (tls.h), unseen by
// protocol code.
//
// Every call that may wait takes its deadline from stream_set_deadline. Errors: -1 with struct err of kind PROTOCOL
// (closed, reset), TIMEOUT, CANCELLED or TEMPORARY; once failed, a stream stays failed.
// Memory: the read buffer is allocated at first need and can be given back while idle (stream_idle), so that a waiting
// session costs little. Limits: a line is bounded by the caller; the write buffer flushes at 64 KiB.
#ifndef DROMOS_NET_STREAM_H
#define DROMOS_NET_STREAM_H

#include "lib/co/co.h"
#include "lib/net/addr.h"

struct stream; // one owner, one coroutine at a time

struct stream *stream_new(int fd);  // takes the descriptor; non-blocking is set here
void stream_free(struct stream *s); // flushes nothing; closes; NULL is fine
int stream_fd(const struct stream *s);
void stream_set_deadline(struct stream *s, int64_t deadline);

enum line_end {
    LINE_CRLF,
    LINE_LF,
    LINE_CUT,
    LINE_EOF
}; // CRLF; bare LF; longer than max (rest follows); EOF after a partial line

// Reads one line of at most max bytes (line end not counted). *line_r borrows from the stream's buffer, without line
// end, until the next call. Bare CR stays in the line as a byte. 1: got a line, 0: end of file with nothing read, -1:
// failed.
int stream_read_line(struct stream *s, size_t max, struct raw *line_r, enum line_end *end_r,
                     struct err *err) CO MUST_CHECK;
// Whatever is buffered, or one read's worth: for content. 1, 0 at end of file, -1. Borrowed until the next call; not
// consumed: call stream_consume(n) with what was used.
int stream_peek(struct stream *s, struct raw *data_r, struct err *err) CO MUST_CHECK;
// As stream_peek, but waits until more than `have` bytes are buffered (to see past an incomplete line end).
int stream_peek_more(struct stream *s, size_t have, struct raw *data_r, struct err *err) CO MUST_CHECK;
void stream_consume(struct stream *s, size_t n);
size_t stream_buffered(const struct stream *s);          // bytes read and not consumed: pipelined input
struct raw stream_peek_buffered(const struct stream *s); // those bytes, not consumed; borrowed until the next call
void stream_wipe(struct stream *s);          // overwrites what was handed out and what was sent (credentials)
void stream_discard_input(struct stream *s); // when TLS starts
bool stream_is_readable_now(
    struct stream *s); // buffered input, or the kernel has some (one recv MSG_PEEK, no wait); EOF counts
bool stream_is_alive(struct stream *s); // connection cache: no EOF, no unexpected input seen by the loop (no wait)

void stream_write(struct stream *s, const void *data, size_t len); // into the buffer, never waits (callers flush)
void stream_write_str(struct stream *s, struct str text);
void stream_printf(struct stream *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct buf *stream_output(struct stream *s); // the write buffer itself, for encoders that append in place
size_t stream_unflushed(const struct stream *s);
void stream_send_last(struct stream *s,
                      struct str text); // past a failed stream, once, if the socket takes it without a wait
int stream_flush(struct stream *s, struct err *err) CO MUST_CHECK; // one write when the kernel takes it all
void stream_set_read_size(struct stream *s,
                          size_t size); // bytes asked of the kernel at once: 4 KiB idle, more for content
void stream_idle(struct stream *s);     // gives empty buffers back

// Connects, within the deadline. `source` (may be NULL) is the local address to bind. NULL with err on failure.
struct stream *stream_connect(const struct net_addr *to, const struct net_addr *source, int64_t deadline,
                              struct err *err) CO MUST_CHECK;

#endif
