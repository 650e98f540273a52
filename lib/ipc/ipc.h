// SPDX-License-Identifier: ISC
// ipc.h: messages between our daemons: framed, length-prefixed, named fields, over UNIX stream sockets.
//
// Frame on the wire: byte 0xD7, byte version 1 (129 when a descriptor comes along), u16 field count, u32 payload
// length, u32 request id (little-endian), then per field: u8 name length, name, u32 value length, value. Integers
// travel as decimal text. The first field is "verb".
// Trust: the peer daemon is hostile: every length is checked against the frame, the frame against IPC_FRAME_MAX.
// Several requests may be under way on one connection; answers carry the request's id. A connection that starts with an
// ASCII letter instead of 0xD7 is a trigger (postkick, wake-up): see service.h.
#ifndef DROMOS_IPC_IPC_H
#define DROMOS_IPC_IPC_H

#include "lib/base/mem.h"
#include "lib/co/co.h"

#define IPC_FRAME_MAX  (1024 * 1024)
#define IPC_FIELDS_MAX 60000

// ---- Building. A message is a buf; several may be added one after the other and sent in one write.
struct ipc_msg {
    struct buf data;
    size_t start; // offset of the frame being built
    unsigned fields;
};
#define IPC_MSG_INIT ((struct ipc_msg){BUF_INIT, 0, 0})
void ipc_begin(struct ipc_msg *m, uint32_t id, const char *verb);
void ipc_add_str(struct ipc_msg *m, const char *name, struct str value);
void ipc_add_int(struct ipc_msg *m, const char *name, int64_t value);
int ipc_end(struct ipc_msg *m);           // fixes the lengths; -1: over IPC_FRAME_MAX, the frame is taken back
size_t ipc_size(const struct ipc_msg *m); // of the frame being built, to split long lists
void ipc_msg_release(struct ipc_msg *m);

// ---- Reading. A view borrows from the connection's buffer until the next ipc_recv on it.
struct ipc_view {
    struct str verb;
    uint32_t id;
    struct str fields; // encoded fields after the verb, already checked
    int fd;            // descriptor passed along (the receiver's to close), or -1
};
bool ipc_get_str(const struct ipc_view *v, const char *name, struct str *value_r); // first field of that name
bool ipc_get_int(const struct ipc_view *v, const char *name, int64_t *value_r);    // false if absent or no number
struct str ipc_str_or(const struct ipc_view *v, const char *name, struct str otherwise);
int64_t ipc_int_or(const struct ipc_view *v, const char *name, int64_t otherwise);
// In order, for repeated fields. *at starts as 0. False at the end.
bool ipc_next(const struct ipc_view *v, size_t *at, struct str *name_r, struct str *value_r);
// Pure decoder, for tests and fuzzing: 1 a frame (*size_r its bytes), 0 more input needed, -1 malformed.
int ipc_decode(struct raw input, struct ipc_view *view_r, size_t *size_r, struct err *err);

// ---- Connections
struct ipc_conn;                       // may be read by one coroutine while others send (sends are serialised)
struct ipc_conn *ipc_conn_new(int fd); // takes the descriptor
void ipc_conn_free(struct ipc_conn *c);
// Connects to a service socket path relative to the queue directory ("private/smtp"). NULL with err.
struct ipc_conn *ipc_connect(const char *path, int64_t deadline, struct err *err) CO MUST_CHECK;
// Sends the finished frame(s) of m and empties m. One write when the kernel takes it.
int ipc_send(struct ipc_conn *c, struct ipc_msg *m, int64_t deadline, struct err *err) CO MUST_CHECK;
int ipc_send_fd(struct ipc_conn *c, struct ipc_msg *m, int fd, int64_t deadline, struct err *err) CO MUST_CHECK;
// 1 message, 0 the peer closed between frames, -1 failed (malformed, time-out, cut off).
int ipc_recv(struct ipc_conn *c, struct ipc_view *view_r, int64_t deadline, struct err *err) CO MUST_CHECK;
bool ipc_has_input(struct ipc_conn *c); // a whole frame is already buffered: ipc_recv will not wait
void ipc_conn_wipe(
    struct ipc_conn *c); // overwrites what was received and read: it held a secret. The last view is no more
bool ipc_is_alive(struct ipc_conn *c);     // no end of file seen (no wait)
int ipc_conn_fd(const struct ipc_conn *c); // the descriptor, still the connection's
// One request, one answer, on a connection used by this caller alone.
int ipc_call(struct ipc_conn *c, struct ipc_msg *request, struct ipc_view *answer_r, int64_t deadline,
             struct err *err) CO MUST_CHECK;
// Sends trigger bytes to a service socket: connect, write, close. For commands (blocking, at most 10 s) and daemons
// alike.
int ipc_trigger(const char *path, struct str bytes, struct err *err) MUST_CHECK;

#endif
