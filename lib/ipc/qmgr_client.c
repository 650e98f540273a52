// SPDX-License-Identifier: ISC
// qmgr_client.c: the client's side of the queue manager's "release" (see qmgr_client.h).
// Suspends: for the answer, at most QMGR_CLIENT_SECONDS.
#include "lib/ipc/qmgr_client.h"

int qmgr_client_release(struct ipc_conn *conn, struct str queue_id, struct err *err)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view answer;
    ipc_begin(&m, 1, "release");
    ipc_add_str(&m, "id", queue_id);
    (void)ipc_end(&m); // queue ids are short
    int rc = ipc_call(conn, &m, &answer, clock_deadline(QMGR_CLIENT_SECONDS), err);
    ipc_msg_release(&m);
    return rc;
}
