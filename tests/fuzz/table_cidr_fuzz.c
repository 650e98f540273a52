// SPDX-License-Identifier: ISC
// table_cidr_fuzz.c: inline cidr and inline tables, opened and asked.
#include "lib/base/log.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"cidr:{", "inline:{"};
    struct buf name = BUF_INIT, value = BUF_INIT;
    struct table *t;

    if (size < 1 || memchr(data, 0, size) != NULL)
        return 0;
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    buf_add_cstr(&name, types[data[0] & 1]);
    buf_add(&name, data + 1, size - 1);
    buf_add_char(&name, '}');
    t = table_open(buf_str(&name), 0);
    if (table_lookup(t, STR("10.1.2.3"), &value, NULL) < 0 && table_is_usable(t, NULL))
        bug("a usable table failed");
    if (table_lookup(t, STR("::1"), &value, NULL) < 0 && table_is_usable(t, NULL))
        bug("a usable table failed");
    table_close(t);
    buf_release(&name);
    buf_release(&value);
    return 0;
}
