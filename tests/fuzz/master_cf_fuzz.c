// SPDX-License-Identifier: ISC
// master_cf_fuzz.c: any bytes as master.cf.
#include "lib/conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct master_cf_defaults defaults = {100, true};
    struct master_cf_rows rows = {0};
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    (void)master_cf_parse(str_of((const char *)data, size), "master.cf", &defaults, &arena, &rows, &err);
    arena_release(&arena);
    return 0;
}
