// SPDX-License-Identifier: ISC
// table_ldap_impl.h: what the two files of ldap: tables share. Private to lib/table.
#ifndef DROMOS_TABLE_TABLE_LDAP_IMPL_H
#define DROMOS_TABLE_TABLE_LDAP_IMPL_H

#include <ldap.h>

#include "lib/table/table_client_impl.h"

#define LDAP_ATTRIBUTES_MAX 64

enum ldap_kind { LDAP_RESULT, LDAP_TERMINAL, LDAP_LEAF, LDAP_SPECIAL };
enum ldap_bind { LDAP_BIND_SIMPLE, LDAP_BIND_NONE, LDAP_BIND_SASL };

struct ldap_setup {
    struct buf uris;
    struct str base; // template
    int scope;
    enum ldap_bind bind;
    int64_t version, timeout, dereference, size_limit, recursion_limit, sasl_minssf;
    bool chases_referrals, starts_tls, requires_cert;
    char *names[LDAP_ATTRIBUTES_MAX + 1]; // ends with NULL
    enum ldap_kind kinds[LDAP_ATTRIBUTES_MAX];
    unsigned attribute_count;
};

int ldap_table_query(void *connection, struct table_request *r);
int ldap_table_quote_filter(void *context, struct buf *out, struct str text);
int ldap_table_quote_name(void *context, struct buf *out, struct str text);

#endif
