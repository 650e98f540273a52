// SPDX-License-Identifier: ISC
// postalias.c: creates and queries alias databases.
#include "commands/postmap.h"

int main(int argc, char **argv)
{
    struct postmap p = {.program = "postalias", .is_alias = true, .flags = TABLE_ALIAS_SOURCE};
    return postmap_main(&p, argc, argv);
}
