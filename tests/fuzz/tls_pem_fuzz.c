// SPDX-License-Identifier: ISC
// tls_pem_fuzz.c: key and certificate files as tlsmgr reads them, and lists of protocols.
#include <stdlib.h>

#include "services/tlsmgr/tlsmgr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct tlsmgr_pair pairs[TLS_CHAINS_MAX] = {{NULL, NULL}};
    size_t count = 0;
    struct err err = ERR_INIT;
    int rc = tlsmgr_pem_take_all(text, pairs, &count, &err);

    if (count > TLS_CHAINS_MAX || (rc == 0 && count == 0) || (rc < 0 && err.text[0] == '\0'))
        abort();
    for (size_t i = 0; i < count; i++) { // what was taken is whole
        if (memcmp(tls_chain_key_id(pairs[i].chain), tls_key_id(pairs[i].key), TLS_KEY_ID_SIZE) != 0)
            abort();
        tlsmgr_pair_free(&pairs[i]);
    }
    if (size < 1000)
        (void)tls_protocols_are_valid(text);
    return 0;
}
