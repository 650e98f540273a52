// SPDX-License-Identifier: ISC
// proxy_protocol_fuzz.c: headers of the PROXY protocol: what is taken stays within the input, and a shorter piece never
// says otherwise.
#include <stdlib.h>

#include "lib/net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, piece;
    size_t used = 0, used_piece = 0;
    struct err err = ERR_INIT;
    int rc = proxy_protocol_parse((struct raw){data, size}, &whole, &used, &err);
    if (rc < 0 && err.text[0] == '\0')
        abort();
    if (rc == 1 && (used > size || used == 0 || used > PROXY_PROTOCOL_MAX))
        abort();
    for (size_t cut = 0; cut < size && cut < 120; cut++) {
        int early = proxy_protocol_parse((struct raw){data, cut}, &piece, &used_piece, &err);
        if (early > 0 && (rc != 1 || used_piece != used))
            abort();
        if (early < 0 && rc > 0)
            abort();
    }
    return 0;
}
