// SPDX-License-Identifier: ISC
// queue_list_fuzz.c: what showq sends, as postqueue (set-gid) reads and prints it.
#include <fcntl.h>
#include <unistd.h>

#include "commands/postqueue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int is_json = 0; is_json < 2; is_json++) {
        struct raw rest = {data, size};
        struct ipc_view view;
        size_t used;
        struct postqueue_printer printer;
        postqueue_printer_init(&printer, is_json, false, STR("MAILER-DAEMON"));
        struct queue_list_sink sink = postqueue_printer_sink(&printer);
        while (ipc_decode(rest, &view, &used, NULL) == 1) {
            if (queue_list_read(&view, &sink, NULL) != 1)
                break;
            buf_clear(&printer.out); // printing itself is not the question
            rest = (struct raw){rest.ptr + used, rest.len - used};
        }
        postqueue_printer_release(&printer);
    }
    return 0;
}
