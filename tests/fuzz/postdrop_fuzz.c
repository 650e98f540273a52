// SPDX-License-Identifier: ISC
// postdrop_fuzz.c: any bytes as the records that postdrop reads.
#include "commands/postdrop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct postdrop_input in;
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    struct raw rest = {data, size};
    struct record r;
    int status = 0;
    postdrop_input_init(&in, 1000);
    while (status == 0 && in.segment != POSTDROP_DONE && queue_record_decode(rest, &r) == 1) {
        rest.ptr += r.size;
        rest.len -= r.size;
        status = postdrop_input_take(&in, &r, &out, &err);
    }
    postdrop_input_release(&in);
    buf_release(&out);
    return 0;
}
