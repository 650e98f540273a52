// SPDX-License-Identifier: ISC
// address_fuzz.c: SMTP paths, address lists, domains and xtext; what is accepted must survive being written and read
// again.
#include <stdlib.h>

#include "lib/mail/address.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_round_trip(struct str internal, struct arena *arena)
{
    struct buf b = BUF_INIT;
    struct str again, rest;
    buf_add_char(&b, '<');
    address_add_external(&b, internal);
    buf_add_char(&b, '>');
    if (b.len < ADDRESS_MAX &&
        (address_parse_path(buf_str(&b), true, arena, &again, &rest) < 0 || !str_is(again, internal)))
        abort();
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct str text = str_of((const char *)data, size), address, rest, user, extension;
    struct address_list list;
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT;
    if (address_parse_path(text, false, &arena, &address, &rest) == 0) {
        if (!address_is_sane(address))
            abort();
        address_split_extension(address_local(address), STR("+-"), &user, &extension);
        if (address.len > 0)
            check_round_trip(address, &arena);
    }
    if (address_list_parse(text, &arena, &list, &err) == 0)
        for (size_t i = 0; i < list.count; i++)
            address_add_log(&b, list.items[i]);
    (void)address_domain_is_literal(text);
    (void)address_domain_to_ascii(text, &arena, &address);
    buf_release(&b);
    arena_release(&arena);
    return 0;
}
