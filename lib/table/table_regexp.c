// SPDX-License-Identifier: ISC
// table_regexp.c: regexp: tables: POSIX regular expressions, extended unless the flag x makes them basic.
#include "lib/table/table_pattern_impl.h"

struct posix_flags {
    bool folds_case, is_basic, has_newlines;
};

static bool take_flags(struct str text, struct posix_flags *flags_r, struct buf *why_r)
{
    *flags_r = (struct posix_flags){.folds_case = true};
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case 'i':
            flags_r->folds_case = !flags_r->folds_case;
            break;
        case 'x':
            flags_r->is_basic = !flags_r->is_basic;
            break;
        case 'm':
            flags_r->has_newlines = !flags_r->has_newlines;
            break;
        default:
            buf_addf(why_r, "unknown regexp option \"%c\": skipping this rule", text.ptr[i]);
            return false;
        }
    }
    return true;
}

static bool compile_posix(struct pattern_regex *regex, const char *pattern, const struct posix_flags *flags,
                          struct buf *why_r)
{
    regex_t *posix = MEM_NEW(regex_t);
    int rc = regcomp(posix, pattern,
                     (flags->folds_case ? REG_ICASE : 0) | (flags->is_basic ? 0 : REG_EXTENDED) |
                         (flags->has_newlines ? REG_NEWLINE : 0));
    char text[256];

    if (rc == 0) {
        regex->posix = posix;
        return true;
    }
    regerror(rc, posix, text, sizeof(text));
    buf_add_cstr(why_r, text);
    mem_free(posix);
    return false;
}

static bool has_back_reference(struct str pattern)
{
    for (size_t i = 0; i + 1 < pattern.len; i++)
        if (pattern.ptr[i] == '\\') {
            i++;
            if (pattern.ptr[i] >= '1' && pattern.ptr[i] <= '9')
                return true;
        }
    return false;
}

static bool compile(struct pattern_regex *regex, struct str pattern, struct str flag_text, struct buf *why_r)
{
    struct posix_flags flags;
    struct buf perl = BUF_INIT, why = BUF_INIT;
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    bool works, is_light;

    if (!take_flags(flag_text, &flags, why_r))
        return false;
    options |= flags.folds_case ? PCRE2_CASELESS : 0;
    options |= flags.has_newlines ? PCRE2_MULTILINE | PCRE2_ALT_CIRCUMFLEX : PCRE2_DOTALL;
    if (flags.has_newlines)
        options &= ~(uint32_t)PCRE2_DOLLAR_ENDONLY;
    is_light = pattern_translate(&perl, pattern, flags.is_basic, flags.has_newlines);
    works = pattern_compile(regex, buf_str(&perl), options, &why);
    if (is_light && !compile_posix(regex, pattern.ptr, &flags, why_r))
        works = false;
    else if (!works)
        buf_add_str(why_r, buf_str(&why));
    if (works && is_light && has_back_reference(pattern)) { // which the C library follows without limit
        regfree(regex->posix);
        mem_free(regex->posix);
        regex->posix = NULL;
    }
    buf_release(&perl);
    buf_release(&why);
    return works;
}

static void *regexp_open(struct table *t, struct err *err)
{
    static const struct pattern_dialect dialect = {"regexp", "skipping this rule", compile};
    return pattern_table_open(t, &dialect, err);
}

const struct table_type table_type_regexp = {"regexp",
                                             false,
                                             true,
                                             regexp_open,
                                             pattern_table_lookup,
                                             NULL,
                                             pattern_table_close,
                                             TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_LONG_KEYS | TABLE_TYPE_REPORTS};
