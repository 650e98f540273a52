// SPDX-License-Identifier: ISC
// table_template_fuzz.c: %-templates: the template stands before the first newline, the key behind it.
#include "lib/table/table_source_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Brackets around every part: what stands inside is the key's.
static int quote(void *context, struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '[' && text.ptr[i] != ']')
            buf_add_char(out, text.ptr[i]);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str key = str_of((const char *)data, size), template;
    struct buf out = BUF_INIT;
    struct table_expansion e;

    str_cut(&key, '\n', &template);
    if (!table_template_is_valid(template))
        return 0;
    e = (struct table_expansion){.template = template, .key = key, .quote = quote};
    if (table_template_expand(&e, &out) < 0)
        bug("a template failed");
    if (out.len > template.len + template.len / 2 * key.len)
        bug("an expansion is longer than it can be");
    e = (struct table_expansion){.template = template, .key = key, .value = STR("x@y.example"), .is_result = true};
    (void)!table_template_expand(&e, &out);
    buf_release(&out);
    return 0;
}
