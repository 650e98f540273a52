// SPDX-License-Identifier: ISC
// alias_target_fuzz.c: alias values taken apart.
#include "local/local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct local_targets targets = {.rest = str_of((const char *)data, size), .arena = &arena};
    struct local_target target;

    while (size < 100000 && local_targets_next(&targets, &target, NULL) > 0)
        if (target.kind == LOCAL_TARGET_FILE &&
            (target.text.len == 0 || (target.text.ptr[0] != '/' && target.text.ptr[0] != '~')))
            bug("a file without a path");
    arena_release(&arena);
    return 0;
}
