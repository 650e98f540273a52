// SPDX-License-Identifier: ISC
// expand_fuzz.c: any bytes as a value to expand, referring to itself by $v.
#include "lib/conf/conf_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = conf_new("/nowhere");
    struct str text = str_of((const char *)data, size);
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (size > 0 && size < 4096) {
        conf_override(c, STR("v"), text);
        (void)conf_expand(c, text, &out, &err);
    }
    buf_release(&out);
    conf_free(c);
    return 0;
}
