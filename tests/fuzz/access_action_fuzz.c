// SPDX-License-Identifier: ISC
// access_action_fuzz.c: values of access tables and answers of policy servers, reply templates with $-names.
#include "lib/access/access_action.h"
#include "lib/access/access_expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_action(struct str value)
{
    struct access_action a;
    access_action_parse(value, &a);
    if (a.text.len > value.len || strlen(a.status) >= sizeof(a.status))
        bug("an action has more than was given");
    if (a.text.len > 0 && (a.text.ptr < value.ptr || a.text.ptr + a.text.len > value.ptr + value.len))
        bug("an action's text is not of its value");
    if (a.kind == ACTION_CODE && (a.code < 400 || a.code > 599))
        bug("an action has a code that refuses nothing");
}

// Values of clients may hold anything; what they become holds nothing that the filter forbids, and is not expanded
// again.
static void check_expansion(struct str text)
{
    const struct settings set = {.smtpd_expansion_filter = STR("abc\\040"), .myhostname = STR("abc")};
    const struct access_facts facts = {.sender = text, .helo = text, .recipient = text};
    struct access_expansion x = {.settings = &set, .facts = &facts};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (access_expand(&x, text, &out, &err) == 0 && out.len > 3 * 4096)
        bug("an expansion without bounds");
    buf_clear(&out);
    if (access_expand(&x, STR("$sender"), &out, &err) < 0)
        bug("a plain name cannot be expanded");
    for (size_t i = 0; i < out.len; i++)
        if (memchr("abc _<>", out.ptr[i], 7) == NULL)
            bug("a byte went past the filter");
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size + 1); // so that reading past the end is seen
    if (size > 0)
        memcpy(copy, data, size);
    check_action(str_of(copy, size));
    check_expansion(str_of(copy, size));
    mem_free(copy);
    return 0;
}
