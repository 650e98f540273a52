// SPDX-License-Identifier: ISC
// table_pattern_match.c: compiling and matching with PCRE2, within limits.
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
