// SPDX-License-Identifier: ISC
// qmgr_client.h: asks the queue manager ($queue_service_name in public/) to try a deferred message now.
#ifndef DROMOS_IPC_QMGR_CLIENT_H
#define DROMOS_IPC_QMGR_CLIENT_H

#include "lib/ipc/ipc.h"

#define QMGR_CLIENT_SECONDS 60 // for its answer; callers connect within the same time

// A message that is not deferred any more is passed over. 0 when the queue manager has taken the request, -1 with err.
int qmgr_client_release(struct ipc_conn *conn, struct str queue_id, struct err *err) CO MUST_CHECK;

#endif
