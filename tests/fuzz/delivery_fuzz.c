// SPDX-License-Identifier: ISC
// delivery_fuzz.c: frames of the queue manager's conversations: requests, answers, arrival notices.
#include "lib/ipc/arrival.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ipc_view view;
    size_t used;
    if (ipc_decode((struct raw){data, size}, &view, &used, NULL) != 1)
        return 0;
    struct arena arena = ARENA_INIT;
    struct delivery_request request;
    struct delivery_done done;
    struct arrival arrival;
    (void)!delivery_request_read(&view, &arena, &request, NULL);
    (void)!delivery_done_read(&view, &done, NULL);
    if (arrival_read(&view, &arena, &arrival, NULL) == 0) { // what was accepted can be written again
        struct ipc_msg m = IPC_MSG_INIT;
        arrival_add(&m, &arrival);
        ipc_msg_release(&m);
    }
    arena_release(&arena);
    return 0;
}
