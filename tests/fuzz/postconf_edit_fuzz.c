// SPDX-License-Identifier: ISC
// postconf_edit_fuzz.c: any bytes as main.cf that is edited; the result must read back with the new value.
#include "commands/postconf.h"
#include "lib/conf/conf_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char edit_1[] = "a=1", edit_2[] = "zork = x y";
    char *edits[] = {edit_1, edit_2, NULL};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    struct str value;
    if (postconf_edit_text(str_of((const char *)data, size), POSTCONF_EDIT_SET, edits, &out, &err) == 0) {
        struct conf *c = conf_new("/nowhere");
        if (conf_parse(c, buf_str(&out), &err) == 0 &&
            (!conf_raw(c, STR("zork"), &value) || !str_is(value, STR("x y"))))
            bug("the edited value cannot be read back");
        conf_free(c);
    }
    buf_release(&out);
    return 0;
}
