// SPDX-License-Identifier: ISC
// tls_ciphers.c: from a grade and exclusions to the list that OpenSSL reads.
#include "lib/tlspolicy/tls_ciphers.h"

int tls_ciphers_add(struct buf *b, const struct settings *settings, struct str grade, struct str exclude, struct err *err)
{
    const struct {
        const char *grade;
        struct str list;
    } grades[] = {
        {"high", settings->tls_high_cipherlist},  {"medium", settings->tls_medium_cipherlist},
        {"low", settings->tls_medium_cipherlist}, {"export", settings->tls_medium_cipherlist},
        {"null", settings->tls_null_cipherlist},
    };
    struct str word;

    for (size_t i = 0; i < sizeof grades / sizeof grades[0]; i++) {
        if (!str_is_nocase(grade, str_from(grades[i].grade)))
            continue;
        buf_add_str(b, grades[i].list);
        while (str_token(&exclude, ":, \t\r\n", &word)) {
            buf_add_cstr(b, ":!");
            buf_add_str(b, word);
        }
        return 0;
    }
    return err_set(err, ERR_PERMANENT, "invalid cipher grade: \"" STR_FMT "\"", STR_ARG(grade));
}
