// SPDX-License-Identifier: ISC
// table_pattern_impl.h: what regexp: and pcre: tables share: rules in order, if and endif, negation, $number. Private
// to lib/table.
//
// Both are matched by PCRE2 with its JIT compiler: regexp: patterns are translated (POSIX ERE and BRE are subsets once
// written in Perl's notation). The C library's matcher knows no limit and is ten times slower; it is asked only for the
// text of syntax errors and, after a match, for the leftmost-longest parts that $number stands for, which Perl's rules
// may cut otherwise.
// Limits: PATTERN_MATCH_LIMIT steps a match, PATTERN_STACK_MAX bytes of JIT stack; reaching one is a temporary failure.
// Keys are bytes, as in Postfix: a dot matches one byte of a UTF-8 character.
#ifndef DROMOS_TABLE_TABLE_PATTERN_IMPL_H
#define DROMOS_TABLE_TABLE_PATTERN_IMPL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <regex.h>

#include "lib/table/table_impl.h"

#define PATTERN_MATCH_LIMIT 1000000
#define PATTERN_STACK_MAX   (512 * 1024)
#define PATTERN_LENGTH_MAX  (64 * 1024)
#define PATTERN_GROUPS_MAX  512
#define PATTERN_PREFIX_MAX  32

struct pattern_regex {
    pcre2_code *code;
    regex_t *posix; // for leftmost-longest groups; NULL: PCRE2's groups are used
    unsigned groups;
    bool is_jit, folds_case;
    char prefix[PATTERN_PREFIX_MAX]; // what every match starts with (lower case if folds_case): most rules are passed
                                     // over by it
    size_t prefix_length;
};

struct pattern_dialect {
    const char *type;            // "regexp"
    const char *unclosed_action; // what is said to be done with a rule without closing delimiter
    // Compiles `pattern` (NUL-terminated behind its length). False: *why_r says what is wrong, with the action taken.
    bool (*compile)(struct pattern_regex *regex, struct str pattern, struct str flags, struct buf *why_r);
};

void *pattern_table_open(struct table *t, const struct pattern_dialect *dialect, struct err *err);
int pattern_table_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err);
void pattern_table_close(void *data);

// Compiles with JIT and fills regex->code, groups, is_jit. False: *why_r is "error in regex at offset N: TEXT".
bool pattern_compile(struct pattern_regex *regex, struct str pattern, uint32_t options, struct buf *why_r);
void pattern_regex_release(struct pattern_regex *regex);
// 1, 0, -1 (a limit was reached). *groups_r are offsets (start, end) of up to `groups` + 1 parts, valid until the next
// match.
int pattern_match(const struct pattern_regex *regex, struct str text, const PCRE2_SIZE **groups_r, int *code_r);

// Writes a POSIX regular expression in Perl's notation. False: the C library would take too long to compile it.
bool pattern_translate(struct buf *out, struct str posix, bool is_basic, bool has_newlines);

#endif
