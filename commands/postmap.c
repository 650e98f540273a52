// SPDX-License-Identifier: ISC
// postmap.c: creates and queries lookup tables.
#include "commands/postmap.h"

int main(int argc, char **argv)
{
    struct postmap p = {.program = "postmap"};
    return postmap_main(&p, argc, argv);
}
