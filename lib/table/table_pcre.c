// SPDX-License-Identifier: ISC
// table_pcre.c: pcre: tables: Perl's regular expressions.
#include "lib/table/table_pattern_impl.h"

// Each letter turns its option over. Defaults: case is ignored, a dot matches newline.
static bool take_flag(char letter, uint32_t *options)
{
    switch (letter) {
    case 'i':
        *options ^= PCRE2_CASELESS;
        return true;
    case 'm':
        *options ^= PCRE2_MULTILINE;
        return true;
    case 's':
        *options ^= PCRE2_DOTALL;
        return true;
    case 'x':
        *options ^= PCRE2_EXTENDED;
        return true;
    case 'A':
        *options ^= PCRE2_ANCHORED;
        return true;
    case 'E':
        *options ^= PCRE2_DOLLAR_ENDONLY;
        return true;
    case 'U':
        *options ^= PCRE2_UNGREEDY;
        return true;
    case 'X':
        return true; // PCRE2 always refuses unknown escapes
    default:
        return false;
    }
}

static bool compile(struct pattern_regex *regex, struct str pattern, struct str flags, struct buf *why_r)
{
    uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C;

    for (size_t i = 0; i < flags.len; i++)
        if (!take_flag(flags.ptr[i], &options)) {
            buf_addf(why_r, "unknown regexp option \"%c\": skipping this rule", flags.ptr[i]);
            return false;
        }
    return pattern_compile(regex, pattern, options, why_r);
}

static void *pcre_open(struct table *t, struct err *err)
{
    static const struct pattern_dialect dialect = {"pcre", "ignoring this rule", compile};
    return pattern_table_open(t, &dialect, err);
}

const struct table_type table_type_pcre = {"pcre",
                                           false,
                                           true,
                                           pcre_open,
                                           pattern_table_lookup,
                                           NULL,
                                           pattern_table_close,
                                           TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_LONG_KEYS | TABLE_TYPE_REPORTS};
