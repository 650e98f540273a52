// SPDX-License-Identifier: ISC
// table_reply_fuzz.c: what lookup servers answer: tcp_table lines, socketmap netstrings, memcached values.
#include "lib/table/table_peer_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raw input = {data, size};
    struct buf value = BUF_INIT;
    struct str payload;
    int found;

    found = table_tcp_reply(input, &value, NULL);
    if (found <= 0 && value.len > 0)
        bug("a value without a find");
    if (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL)
        bug("a NUL in a value");
    buf_clear(&value);
    if (table_socketmap_frame(input, &payload, NULL) > 0) {
        if (payload.ptr < (const char *)data || payload.ptr + payload.len >= (const char *)data + size)
            bug("a payload outside its frame");
        found = table_socketmap_reply(payload, &value, NULL);
        if (found <= 0 && value.len > 0)
            bug("a value without a find");
    }
    if (table_memcache_size(input, STR("key"), 10240) > 10240)
        bug("a size above the limit");
    buf_release(&value);
    return 0;
}
