// SPDX-License-Identifier: ISC
// table_update.c: changes to tables opened with TABLE_WRITE, in this process or through proxywrite.
//
// Suspends: through proxywrite.
#include "lib/table/table_cache_impl.h"

static int check(struct table *t, struct str key, struct err *err)
{
    if (t->data == NULL)
        return err_status(err, ERR_TEMPORARY, "4.3.0", "%s is unavailable. %s", t->name, t->why.text);
    if (t->type != &table_type_cache && t->type != &table_type_proxy)
        return err_set(err, ERR_PERMANENT, "table %s cannot be changed", t->name);
    if (key.len > TABLE_KEY_MAX || memchr(key.ptr, 0, key.len) != NULL)
        return err_set(err, ERR_PERMANENT, "table %s: the key is too long or holds NUL", t->name);
    return 0;
}

static struct str fold(const struct table *t, struct buf *folded, struct str key)
{
    if (t->flags & TABLE_KEEP_CASE)
        buf_add_str(folded, key);
    else
        buf_add_lower(folded, key);
    return buf_str(folded);
}

int table_update(struct table *t, struct str key, struct str value, struct err *err)
{
    struct buf folded = BUF_INIT;
    int rc = check(t, key, err);

    if (rc == 0 && (value.len > TABLE_VALUE_MAX || memchr(value.ptr, 0, value.len) != NULL))
        rc = err_set(err, ERR_PERMANENT, "table %s: the value is too long or holds NUL", t->name);
    if (rc == 0 && t->type == &table_type_cache)
        rc = table_cache_update(t, fold(t, &folded, key), value, err);
    else if (rc == 0)
        rc = table_proxy_update(t, fold(t, &folded, key), value, err);
    buf_release(&folded);
    return rc;
}

int table_delete(struct table *t, struct str key, struct err *err)
{
    struct buf folded = BUF_INIT;
    int rc = check(t, key, err);

    if (rc == 0 && t->type == &table_type_cache)
        rc = table_cache_delete(t, fold(t, &folded, key), err);
    else if (rc == 0)
        rc = table_proxy_delete(t, fold(t, &folded, key), err);
    buf_release(&folded);
    return rc;
}

int table_next_after(struct table *t, struct str after, struct buf *key_r, struct buf *value_r, struct err *err)
{
    struct buf from = BUF_INIT;
    int rc = check(t, after, err);

    buf_add_str(&from, after); // may be what *key_r holds
    buf_clear(key_r);
    buf_clear(value_r);
    if (rc == 0 && t->type == &table_type_cache)
        rc = table_cache_next(t, buf_str(&from), key_r, value_r, err);
    else if (rc == 0)
        rc = table_proxy_next(t, buf_str(&from), key_r, value_r, err);
    buf_release(&from);
    return rc;
}
