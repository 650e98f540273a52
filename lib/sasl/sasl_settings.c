// SPDX-License-Identifier: ISC
// sasl_settings.c: what parameters of server and client say about mechanisms and files.
#include "lib/sasl/sasl.h"

int sasl_security_parse(struct str options, unsigned *flags_r, struct err *err)
{
    static const struct {
        const char *name;
        unsigned flag;
    } words[] = {{"noplaintext", SASL_NO_PLAINTEXT},        {"noactive", SASL_NO_ACTIVE},
                 {"nodictionary", SASL_NO_DICTIONARY},      {"noanonymous", SASL_NO_ANONYMOUS},
                 {"forward_secrecy", SASL_FORWARD_SECRECY}, {"mutual_auth", SASL_MUTUAL_AUTH}};
    struct str word;

    *flags_r = 0;
    while (str_token(&options, ", \t\r\n", &word)) {
        size_t i = 0, count = sizeof words / sizeof words[0];
        while (i < count && !str_is_nocase(word, str_from(words[i].name)))
            i++;
        if (i == count)
            return err_set(err, ERR_PERMANENT, "unknown SASL security option \"" STR_FMT "\"", STR_ARG(word));
        *flags_r |= words[i].flag;
    }
    return 0;
}

void sasl_config_path(const struct settings *set, struct buf *path_r)
{
    buf_clear(path_r);
    if (set->cyrus_sasl_config_path.len > 0)
        buf_add_str(path_r, set->cyrus_sasl_config_path);
    else
        buf_addf(path_r, STR_FMT "/sasl:/usr/lib/sasl2:/usr/lib/sasl:/etc/sasl2", STR_ARG(set->config_directory));
}
