// SPDX-License-Identifier: ISC
// tlsmgr_pem.c: keys and chains out of the contents of files.
// Trust: files are the administrator's; bounded by tls_chain_parse and tls_key_parse.
#include "services/tlsmgr/tlsmgr.h"

void tlsmgr_pair_free(struct tlsmgr_pair *p)
{
    tls_chain_free(p->chain);
    tls_key_free(p->key);
    *p = (struct tlsmgr_pair){NULL, NULL};
}

int tlsmgr_pem_take_pair(struct str cert, struct str key, struct tlsmgr_pair *pair_r, struct err *err)
{
    *pair_r = (struct tlsmgr_pair){tls_chain_parse(cert, err), NULL};
    if (pair_r->chain == NULL)
        return -1;
    pair_r->key = tls_key_parse(key, err);
    if (pair_r->key != NULL && memcmp(tls_key_id(pair_r->key), tls_chain_key_id(pair_r->chain), TLS_KEY_ID_SIZE) != 0)
        err_set(err, ERR_PERMANENT, "the private key is not that of the certificate of %s",
                tls_chain_subject(pair_r->chain));
    else if (pair_r->key != NULL)
        return 0;
    tlsmgr_pair_free(pair_r);
    return -1;
}

// Index of the next "-----BEGIN … PRIVATE KEY-----" at or after `from`, or the length.
static size_t next_key(struct str pem, size_t from)
{
    while (from < pem.len) {
        long at = str_find_str(str_slice(pem, from, pem.len), STR("-----BEGIN "));
        if (at < 0)
            return pem.len;
        struct str line, rest = str_slice(pem, from + (size_t)at, pem.len);
        if (!str_cut(&rest, '\n', &line))
            line = rest;
        if (str_find_str(line, STR("PRIVATE KEY-----")) >= 0)
            return from + (size_t)at;
        from += (size_t)at + 11;
    }
    return pem.len;
}

int tlsmgr_pem_take_all(struct str pem, struct tlsmgr_pair *pairs_r, size_t *count_r, struct err *err)
{
    size_t first = next_key(pem, 0);
    size_t second = first < pem.len ? next_key(pem, first + 11) : pem.len;
    if (first == pem.len)
        return err_set(err, ERR_PERMANENT, "no private key in it");
    for (size_t at = second == pem.len ? 0 : first; at < pem.len;) { // a single key may stand anywhere
        size_t end = second == pem.len ? pem.len : next_key(pem, at + 11);
        struct str part = str_slice(pem, at, end);
        if (*count_r == TLS_CHAINS_MAX)
            return err_set(err, ERR_PERMANENT, "more than %d keys", TLS_CHAINS_MAX);
        if (tlsmgr_pem_take_pair(part, part, &pairs_r[*count_r], err) < 0)
            return -1;
        ++*count_r;
        at = end;
    }
    return 0;
}
