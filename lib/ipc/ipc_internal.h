// SPDX-License-Identifier: ISC
// ipc_internal.h: the frame's head, shared by the codec and the connections.
#ifndef DROMOS_IPC_IPC_INTERNAL_H
#define DROMOS_IPC_IPC_INTERNAL_H

#include "lib/ipc/ipc.h"

enum { IPC_MAGIC = 0xD7, IPC_VERSION = 1, IPC_WITH_FD = 0x80, IPC_HEAD_SIZE = 12 };

// The size of the frame that begins at input: 1 known, 0 more input needed, -1 malformed.
int ipc_frame_head(struct raw input, size_t *size_r, bool *has_fd_r, struct err *err);

#endif
