// SPDX-License-Identifier: ISC
// table_pattern_match.c: compiling and matching with PCRE2, within limits.
#include <ctype.h>

#include "lib/table/table_pattern_impl.h"

#define STACK_START (32 * 1024)

// Of the process: one match at a time, as nothing suspends during one.
static struct {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
} process;

static void prepare(void)
{
    if (process.context != NULL)
        return;
    process.context = pcre2_match_context_create(NULL);
    process.data = pcre2_match_data_create(PATTERN_GROUPS_MAX + 1, NULL);
    process.stack = pcre2_jit_stack_create(STACK_START, PATTERN_STACK_MAX, NULL);
    if (process.context == NULL || process.data == NULL)
        die("out of memory");
    pcre2_set_match_limit(process.context, PATTERN_MATCH_LIMIT);
    pcre2_set_depth_limit(process.context, PATTERN_MATCH_LIMIT);
    pcre2_set_heap_limit(process.context, PATTERN_STACK_MAX / 1024 * 8);
    if (process.stack != NULL)
        pcre2_jit_stack_assign(process.context, NULL, process.stack);
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

// Alternatives outside parentheses: the text may start with any of them. Doubt counts as yes.
static bool has_alternatives(struct str pattern)
{
    size_t depth = 0;
    bool is_class = false;

    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i];
        if (c == '\\' && i + 1 < pattern.len && pattern.ptr[i + 1] == 'Q')
            return true;
        if (c == '\\')
            i++;
        else if (c == '[' && !is_class)
            is_class = i + 1 < pattern.len && pattern.ptr[i + 1] != ']';
        else if (c == ']')
            is_class = false;
        else if (c == '|' && (depth == 0 || is_class))
            return true;
        else if (!is_class && (c == '(' || c == ')'))
            depth += c == '(' ? 1 : depth > 0 ? (size_t)-1 : 0;
    }
    return false;
}

// The literal text behind the "^" of a pattern.
static void find_prefix(struct pattern_regex *regex, struct str pattern, uint32_t options)
{
    size_t at = 1;

    regex->folds_case = (options & PCRE2_CASELESS) != 0;
    if (pattern.len < 2 || pattern.ptr[0] != '^' || (options & (PCRE2_MULTILINE | PCRE2_EXTENDED)) ||
        has_alternatives(pattern))
        return;
    while (at < pattern.len && regex->prefix_length < PATTERN_PREFIX_MAX) {
        char c = pattern.ptr[at];
        bool is_escaped = c == '\\' && at + 1 < pattern.len && ispunct((unsigned char)pattern.ptr[at + 1]);
        if (is_escaped)
            c = pattern.ptr[at + 1];
        else if (!isalnum((unsigned char)c) && (c == 0 || strchr(" @_-:,<>=!~\"'%&/;", c) == NULL))
            break;
        at += is_escaped ? 2 : 1;
        if (at < pattern.len && strchr("*?{", pattern.ptr[at]) != NULL)
            break;
        regex->prefix[regex->prefix_length++] = regex->folds_case ? lower(c) : c;
    }
}

static bool has_prefix(const struct pattern_regex *regex, struct str text)
{
    if (text.len < regex->prefix_length)
        return false;
    for (size_t i = 0; i < regex->prefix_length; i++)
        if (regex->prefix[i] != (regex->folds_case ? lower(text.ptr[i]) : text.ptr[i]))
            return false;
    return true;
}

bool pattern_compile(struct pattern_regex *regex, struct str pattern, uint32_t options, struct buf *why_r)
{
    PCRE2_SIZE offset = 0, jit_size = 0;
    int code = 0;
    uint32_t groups = 0;
    unsigned char text[256];

    prepare();
    regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset, NULL);
    if (regex->code == NULL) {
        pcre2_get_error_message(code, text, sizeof(text));
        buf_addf(why_r, "error in regex at offset %zu: %s", (size_t)offset, (const char *)text);
        return false;
    }
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    pcre2_pattern_info(regex->code, PCRE2_INFO_JITSIZE, &jit_size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    regex->is_jit = jit_size > 0;
    regex->groups = groups;
    find_prefix(regex, pattern, options);
    return true;
}

void pattern_regex_release(struct pattern_regex *regex)
{
    if (regex->code != NULL)
        pcre2_code_free(regex->code);
    if (regex->posix != NULL) {
        regfree(regex->posix);
        mem_free(regex->posix);
    }
    *regex = (struct pattern_regex){0};
}

int pattern_match(const struct pattern_regex *regex, struct str text, const PCRE2_SIZE **groups_r, int *code_r)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.ptr ? text.ptr : "");
    int rc;

    *code_r = PCRE2_ERROR_NOMATCH;
    *groups_r = NULL;
    if (!has_prefix(regex, text))
        return 0;
    if (regex->is_jit)
        rc = pcre2_jit_match(regex->code, subject, text.len, 0, 0, process.data, process.context);
    else
        rc = pcre2_match(regex->code, subject, text.len, 0, PCRE2_NO_UTF_CHECK, process.data, process.context);
    *code_r = rc;
    *groups_r = pcre2_get_ovector_pointer(process.data);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    return rc < 0 ? -1 : 1;
}
