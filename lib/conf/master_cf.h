// SPDX-License-Identifier: ISC
// master_cf.h: master.cf parsing without files, for tests, fuzzing and postconf.
#ifndef DROMOS_CONF_MASTER_CF_H
#define DROMOS_CONF_MASTER_CF_H

#include "lib/conf/conf.h"

struct master_cf_defaults {
    int64_t process_limit; // what - means in the maxproc column
    bool is_chroot;        // what - means in the chroot column
};
struct master_cf_rows {
    struct master_row *rows;
    size_t count;
    unsigned compat_chroots; // rows that took chroot=y because compatibility_level is below 1
};
int master_cf_parse(struct str text, const char *path, const struct master_cf_defaults *defaults, struct arena *arena,
                    struct master_cf_rows *rows_r, struct err *err);

#endif
