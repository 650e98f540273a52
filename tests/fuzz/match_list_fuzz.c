// SPDX-License-Identifier: ISC
// match_list_fuzz.c: match lists without files (no '/' but in prefixes), asked for names and addresses.
#include <ctype.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The word before the colon at `end` is a type whose tables live in memory, or no word.
static bool is_type_in_memory(const uint8_t *data, size_t end)
{
    static const char *const types[] = {"inline", "static", "fail", "internal", "environ"};
    size_t start = end;
    while (start > 0 && isalpha(data[start - 1]))
        start--;
    struct str word = str_of((const char *)data + start, end - start);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (str_is_nocase(word, str_from(types[i])))
            return true;
    return word.len == 0;
}

// No files and no network: a '/' that is not followed by a digit could name a file, other types reach out.
static bool is_tame(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '/' && (i == 0 || strchr(" ,!{}\t\r\n:", data[i - 1]) != NULL))
            return false;
        if (data[i] == 0 || (data[i] == ':' && !is_type_in_memory(data, i)))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct match_list *m;
    struct net_addr addr;
    struct err err = ERR_INIT;

    if (size < 1 || !is_tame(data, size))
        return 0;
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    m = match_list_open(str_of((const char *)data + 1, size - 1), data[0] & 3, &err);
    if (m == NULL)
        return 0;
    if (net_addr_parse(STR("10.1.2.3"), 0, &addr) == 0 && match_list_has_addr(m, STR("a.b.example"), &addr, &err) > 1)
        bug("answer out of range");
    if (match_list_has(m, STR("mail.example.com"), &err) > 1)
        bug("answer out of range");
    match_list_close(m);
    return 0;
}
