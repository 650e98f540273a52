// SPDX-License-Identifier: ISC
// table_types.c: the registry of table types, and which of them a process serves itself.
//
// Types with large client libraries (table_backends.c) are linked into the programs that call table_use_backends:
// commands and the proxymap service. Every other process asks that service, so daemons stay small, jailed and without
// passwords, and database connections are shared. proxy: sends the other types with a server there, too; for files it
// is passed over, as each daemon maps the same file.
#include "lib/table/table_cache_impl.h"

static const struct table_type *const types[] = {
#ifdef TABLE_HAS_CDB
    &table_type_cdb,
#endif
    &table_type_btree,    &table_type_cidr,   &table_type_environ,
    &table_type_fail,     &table_type_hash,   &table_type_inline,
    &table_type_internal, &table_type_lmdb,   &table_type_memcache,
    &table_type_nis,      &table_type_pcre,   &table_type_pipemap,
    &table_type_randmap,  &table_type_regexp, &table_type_socketmap,
    &table_type_static,   &table_type_tcp,    &table_type_texthash,
    &table_type_unionmap, &table_type_unix,   NULL,
};

// As `postconf -m` lists them.
static const char *const type_names[] = {
    "btree",
#ifdef TABLE_HAS_CDB
    "cdb",
#endif
    "cidr",    "environ",   "fail",     "hash",     "inline", "internal",
#ifdef TABLE_HAS_LDAP
    "ldap",
#endif
    "lmdb",    "memcache",
#ifdef TABLE_HAS_MYSQL
    "mysql",
#endif
    "nis",     "pcre",
#ifdef TABLE_HAS_PGSQL
    "pgsql",
#endif
    "pipemap", "proxy",     "randmap",
#ifdef TABLE_HAS_REDIS
    "redis",
#endif
    "regexp",  "socketmap",
#ifdef TABLE_HAS_SQLITE
    "sqlite",
#endif
    "static",  "tcp",       "texthash", "unionmap", "unix",   NULL,
};

static const struct table_type *const *backends; // ends with NULL; NULL: this process asks the proxymap service

void table_add_types(const struct table_type *const *more)
{
    backends = more;
}

const char *const *table_types(void)
{
    return type_names;
}

bool table_type_is_backend(struct str name)
{
    static const char *const names[] = {"ldap", "mysql", "pgsql", "redis", "sqlite"};
    bool is_known = false;

    for (size_t i = 0; type_names[i] != NULL; i++)
        is_known |= str_is(name, str_from(type_names[i]));
    for (size_t i = 0; is_known && i < sizeof(names) / sizeof(names[0]); i++)
        if (str_is(name, str_from(names[i])))
            return true;
    return false;
}

static const struct table_type *find(const struct table_type *const *list, struct str name)
{
    for (; list != NULL && *list != NULL; list++)
        if (str_is(name, str_from((*list)->name)))
            return *list;
    return NULL;
}

static const struct table_type *choose_writable(struct str name, bool is_proxied, struct err *err)
{
    if (!str_is(name, STR("lmdb")) && !str_is(name, STR("hash")) && !str_is(name, STR("btree"))) {
        err_set(err, ERR_TEMPORARY, STR_FMT " tables cannot be changed", STR_ARG(name));
        return NULL;
    }
    return is_proxied && backends == NULL ? &table_type_proxy : &table_type_cache;
}

const struct table_type *table_type_choose(struct str name, bool is_proxied, unsigned flags, struct err *err)
{
    const struct table_type *type = find(types, name);

    if (flags & TABLE_WRITE)
        return choose_writable(name, is_proxied, err);
    if (type == NULL)
        type = find(backends, name);
    if (type == NULL && table_type_is_backend(name)) {
        if ((flags & TABLE_SENSITIVE) == 0)
            return &table_type_proxy;
        err_set(err, ERR_TEMPORARY, STR_FMT " tables for security-sensitive data are not part of this program",
                STR_ARG(name));
    } else if (type == NULL) {
        err_set(err, ERR_TEMPORARY, "unsupported dictionary type: " STR_FMT, STR_ARG(name));
    } else if ((flags & TABLE_SENSITIVE) && (type->traits & TABLE_TYPE_OTHERS)) {
        err_set(err, ERR_TEMPORARY, "%s map is not allowed for security-sensitive data", type->name);
        type = NULL;
    } else if (is_proxied && backends == NULL && (type->traits & TABLE_TYPE_OTHERS)) {
        return type->takes_partial_keys ? &table_type_proxy : &table_type_proxy_full;
    }
    return type;
}
