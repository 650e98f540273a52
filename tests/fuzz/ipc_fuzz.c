// SPDX-License-Identifier: ISC
// ipc_fuzz.c: any bytes from a peer daemon: decoding must stay within them, and walking must agree with the count.
#include "lib/ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raw input = {data, size};
    struct err err = ERR_INIT;
    struct ipc_view v;
    size_t frame;
    while (ipc_decode(input, &v, &frame, &err) == 1) {
        struct str name, value;
        size_t at = 0, walked = 0;
        int64_t number;
        while (ipc_next(&v, &at, &name, &value))
            walked += name.len + value.len + 5;
        if (walked != v.fields.len || frame > input.len)
            bug("decoder and walker disagree");
        ipc_get_int(&v, "size", &number);
        input.ptr += frame;
        input.len -= frame;
    }
    return 0;
}
