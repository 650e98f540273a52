// SPDX-License-Identifier: ISC
// lint_fuzz.c: lint over any main.cf, with a fixed master.cf; no file is opened but by stat.
#include "lib/base/log.h"
#include "lib/conf/conf_private.h"
#include "lib/conf/lint.h"
#include "lib/conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"hash", "static", NULL};
    static const struct master_cf_defaults defaults = {100, false};
    struct lint l = {.arena = ARENA_INIT, .table_types = types, .master_path = "master.cf"};
    struct master_cf_rows rows = {0};
    struct err err = ERR_INIT;
    struct conf *c = conf_new("/nowhere");
    log_open(LOG_TO_FD, -1, "fuzz", "");
    if (size < 4096 && conf_parse(c, str_of((const char *)data, size), &err) == 0 &&
        master_cf_parse(STR("smtp unix - - n - - smtp -o a=$b\n"), "master.cf", &defaults, &l.arena, &rows, &err) ==
            0) {
        l.conf = c;
        l.rows = rows.rows;
        l.row_count = rows.count;
        lint_run(&l);
    }
    lint_release(&l);
    conf_free(c);
    return 0;
}
