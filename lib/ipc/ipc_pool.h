// SPDX-License-Identifier: ISC
// ipc_pool.h: idle connections to one service, kept for the next request. All zero is an empty pool.
// Limits: IPC_POOL_MAX connections; more are closed when they are given back.
#ifndef DROMOS_IPC_IPC_POOL_H
#define DROMOS_IPC_IPC_POOL_H

#include "lib/ipc/ipc.h"

#define IPC_POOL_MAX 8

struct ipc_pool {
    struct ipc_conn *idle[IPC_POOL_MAX];
    unsigned count;
};
// A connection that no end of file was seen on, now the caller's; NULL: there is none. The service may be gone all the
// same.
struct ipc_conn *ipc_pool_take(struct ipc_pool *pool) MUST_CHECK;
void ipc_pool_give(struct ipc_pool *pool, struct ipc_conn *conn); // takes a connection on which no answer is under way
void ipc_pool_clear(struct ipc_pool *pool);                       // closes all

#endif
