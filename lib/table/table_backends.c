// SPDX-License-Identifier: ISC
// table_backends.c: the types that come with large client libraries, for the programs that ask for them.
#include "lib/table/table_impl.h"

extern const struct table_type table_type_cdb, table_type_sqlite, table_type_pgsql, table_type_mysql, table_type_ldap,
    table_type_redis;

static const struct table_type *const backends[] = {
#ifdef TABLE_HAS_LDAP
    &table_type_ldap,
#endif
#ifdef TABLE_HAS_MYSQL
    &table_type_mysql,
#endif
#ifdef TABLE_HAS_PGSQL
    &table_type_pgsql,
#endif
#ifdef TABLE_HAS_REDIS
    &table_type_redis,
#endif
#ifdef TABLE_HAS_SQLITE
    &table_type_sqlite,
#endif
    NULL,
};

void table_use_backends(void)
{
    table_add_types(backends);
}
