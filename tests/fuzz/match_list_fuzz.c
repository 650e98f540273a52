// SPDX-License-Identifier: ISC
// match_list_fuzz.c: match lists without files (no '/' but in prefixes), asked for names and addresses.
#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// No files and no network: a '/' that is not followed by a digit could name a file; tables behind a socket are asked for by name.
static bool is_tame(const uint8_t *data, size_t size)
{
    static const char *const behind_sockets[] = {"tcp:", "socketmap:", "proxy:"};

    for (size_t i = 0; i < sizeof(behind_sockets) / sizeof(behind_sockets[0]); i++)
        if (memmem(data, size, behind_sockets[i], strlen(behind_sockets[i])) != NULL)
            return false;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '/' && (i == 0 || strchr(" ,!{}\t\r\n:", data[i - 1]) != NULL))
            return false;
        if (data[i] == 0)
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
