// SPDX-License-Identifier: ISC
// table_pattern_fuzz.c: inline pcre and regexp tables, opened and asked; the key is what stands behind the first
// newline.
#include "lib/base/log.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"pcre:{", "regexp:{"};
    struct buf name = BUF_INIT, value = BUF_INIT;
    struct str rest, rules;
    struct table *t;

    if (size < 1 || size > 600 || memchr(data, 0, size) != NULL)
        return 0;
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    rest = str_of((const char *)data + 1, size - 1);
    str_cut(&rest, '\n', &rules);
    buf_add_cstr(&name, types[data[0] & 1]);
    buf_add_str(&name, rules);
    buf_add_char(&name, '}');
    t = table_open(buf_str(&name), data[0] & 2 ? TABLE_SENSITIVE : 0);
    if (table_lookup(t, rest, &value, NULL) > 0 && value.len > 0 && memchr(value.ptr, 0, value.len) != NULL)
        bug("a NUL in a result");
    (void)!table_lookup(t, STR("aab a@b.example"), &value, NULL);
    table_close(t);
    buf_release(&name);
    buf_release(&value);
    return 0;
}
