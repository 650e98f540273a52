// SPDX-License-Identifier: ISC
// tls_options.c: main.cf's TLS parameters as the options of a TLS context.
#include "lib/ipc/tls_service.h"

void tls_options_from_settings(const struct settings *s, struct buf *groups, struct tls_options *o_r)
{
    buf_clear(groups);
    buf_addf(groups, STR_FMT " " STR_FMT, STR_ARG(s->tls_eecdh_auto_curves), STR_ARG(s->tls_ffdhe_auto_groups));
    *o_r = (struct tls_options){.append_default_ca = s->tls_append_default_CA,
                                .groups = buf_str(groups),
                                .ssl_options = s->tls_ssl_options,
                                .disable_workarounds = s->tls_disable_workarounds,
                                .config_file = s->tls_config_file,
                                .config_name = s->tls_config_name,
                                .prefers_own_order = s->tls_preempt_cipherlist,
                                .wildcards_span_labels = s->tls_wildcard_matches_multiple_labels};
}

int tls_cipher_list(const struct settings *s, const struct tls_ciphers *c, struct buf *list)
{
    struct str word, base;
    if (str_is_nocase(c->grade, STR("high")))
        base = s->tls_high_cipherlist;
    else if (str_is_nocase(c->grade, STR("medium")) || str_is_nocase(c->grade, STR("low")) ||
             str_is_nocase(c->grade, STR("export")))
        base = s->tls_medium_cipherlist; // what was lower is no more
    else if (str_is_nocase(c->grade, STR("null")))
        base = s->tls_null_cipherlist;
    else
        return -1;
    buf_clear(list);
    buf_add_str(list, base);
    for (size_t i = 0; i < sizeof c->excluded / sizeof c->excluded[0]; i++) {
        struct str rest = c->excluded[i];
        while (str_token(&rest, ", \t\r\n:", &word))
            buf_addf(list, ":!" STR_FMT, STR_ARG(word));
    }
    return 0;
}
