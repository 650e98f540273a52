// SPDX-License-Identifier: ISC
// ipc_pool.c: idle connections to one service (see ipc_pool.h).
#include "lib/ipc/ipc_pool.h"

struct ipc_conn *ipc_pool_take(struct ipc_pool *pool)
{
    while (pool->count > 0) {
        struct ipc_conn *conn = pool->idle[--pool->count];
        if (ipc_is_alive(conn))
            return conn;
        ipc_conn_free(conn);
    }
    return NULL;
}

void ipc_pool_give(struct ipc_pool *pool, struct ipc_conn *conn)
{
    if (pool->count < IPC_POOL_MAX)
        pool->idle[pool->count++] = conn;
    else
        ipc_conn_free(conn);
}

void ipc_pool_clear(struct ipc_pool *pool)
{
    while (pool->count > 0)
        ipc_conn_free(pool->idle[--pool->count]);
}
