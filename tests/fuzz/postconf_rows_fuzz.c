// SPDX-License-Identifier: ISC
// postconf_rows_fuzz.c: edits of master.cf: the first line is the change, the rest the file.
#include "commands/postconf.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum postconf_mode modes[] = {POSTCONF_MASTER, POSTCONF_FIELDS, POSTCONF_PARAMS};
    struct str text = str_of((const char *)data, size), change;
    if (size < 3)
        return 0;
    unsigned kind = data[0];
    text = str_slice(text, 1, text.len);
    (void)str_cut(&text, '\n', &change);
    char *names[] = {mem_dup_str(change), NULL};
    struct postconf_options o = {
        .mode = modes[kind % 3], .edit = (enum postconf_edit)(1 + kind / 3 % 3), .names = names};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    log_open(LOG_TO_FD, -1, "fuzz", "");
    (void)postconf_edit_master_text(text, &o, &out, &err);
    buf_release(&out);
    mem_free(names[0]);
    return 0;
}
