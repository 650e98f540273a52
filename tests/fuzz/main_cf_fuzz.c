// SPDX-License-Identifier: ISC
// main_cf_fuzz.c: any bytes as main.cf, then all settings from it.
#include "lib/base/log.h"
#include "lib/conf/conf_private.h"
#include "lib/conf/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings settings; // too large for a stack frame

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = conf_new("/nowhere");
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    if (conf_parse(c, str_of((const char *)data, size), &err) == 0)
        (void)settings_load(c, "smtpd", &arena, &settings, &err);
    arena_release(&arena);
    conf_free(c);
    return 0;
}
