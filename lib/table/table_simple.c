// SPDX-License-Identifier: ISC
// table_simple.c: the types without a file: static, inline, fail, environ, internal, nis.
#include <stdlib.h>
#include <unistd.h>

#include "lib/table/table_impl.h"

static void close_nothing(void *data)
{
}

static void close_memory(void *data)
{
    table_memory_free(data);
}

static int memory_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    const struct table_memory_value *v = table_memory_get(t->data, key);
    if (v == NULL)
        return 0;
    buf_add_str(value_r, v->value);
    return 1;
}

static int memory_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    return table_memory_next(t->data, cursor, key_r, value_r);
}

// ---- static:TEXT or static:{text with blanks}: any key gives the text.
static void *static_open(struct table *t, struct err *err)
{
    return t->body;
}

static int static_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct str text = str_from(t->body);
    if (!table_unbrace(text, &text))
        text = str_from(t->body);
    buf_add_str(value_r, text);
    return 1;
}

// ---- inline:{key=value, {key = value with blanks}}
static void *inline_open(struct table *t, struct err *err)
{
    struct table_memory *m;
    struct str rest, item;

    if (!table_unbrace(str_from(t->body), &rest) || rest.len == 0) {
        err_set(err, ERR_TEMPORARY, "bad syntax: \"%s\"; need \"inline:{name=value...}\"", t->name);
        return NULL;
    }
    m = table_memory_new();
    while (table_inline_item(&rest, &item)) {
        struct str key, value = item;
        struct buf folded = BUF_INIT;
        if (!str_cut(&value, '=', &key) || str_trim(key).len == 0) {
            err_set(err, ERR_TEMPORARY, "missing '=' after attribute name: \"%s\"; need \"inline:{name=value...}\"",
                    t->name);
            table_memory_free(m);
            return NULL;
        }
        key = str_trim(key);
        if (t->flags & TABLE_KEEP_CASE)
            buf_add_str(&folded, key);
        else
            buf_add_lower(&folded, key);
        table_memory_add(m, buf_str(&folded), str_trim(value));
        buf_release(&folded);
    }
    return m;
}

// ---- fail:TEXT: every query fails (tests).
static void *fail_open(struct table *t, struct err *err)
{
    return t->body;
}

static int fail_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    return err_set(err, ERR_TEMPORARY, "table %s: query error: Application error", t->name);
}

// ---- environ:x: this process's environment, as it was when the table was opened.
extern char **environ;

static void *environ_open(struct table *t, struct err *err)
{
    struct table_memory *m = table_memory_new();
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        struct str value = str_from(*e), key;
        if (str_cut(&value, '=', &key))
            table_memory_add(m, key, value);
    }
    return m;
}

// ---- internal:x: empty at start.
static void *internal_open(struct table *t, struct err *err)
{
    return table_memory_new();
}

// ---- nis:MAP stands in the default of alias_maps. Without a NIS domain (nearly everywhere) it is an empty table; with
// one every query fails until NIS is supported, so that no mail bounces for want of it.
static void *nis_open(struct table *t, struct err *err)
{
    char domain[256] = "";

    if (getdomainname(domain, sizeof(domain) - 1) == 0 && domain[0] != '\0' && strcmp(domain, "(none)") != 0) {
        err_set(err, ERR_TEMPORARY, "NIS domain %s: NIS tables are not supported", domain);
        return NULL;
    }
    return t->body;
}

static int nis_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    return 0;
}

const struct table_type table_type_static = {"static",      false, false,         static_open,
                                             static_lookup, NULL,  close_nothing, 0};
const struct table_type table_type_inline = {"inline",      true,        false,        inline_open,
                                             memory_lookup, memory_next, close_memory, 0};
const struct table_type table_type_fail = {"fail", true, false, fail_open, fail_lookup, NULL, close_nothing, 0};
const struct table_type table_type_environ = {"environ",     true,        false,        environ_open,
                                              memory_lookup, memory_next, close_memory, 0};
const struct table_type table_type_internal = {"internal",    true,        false,        internal_open,
                                               memory_lookup, memory_next, close_memory, 0};
const struct table_type table_type_nis = {"nis", true, false, nis_open, nis_lookup, NULL, close_nothing, 0};
