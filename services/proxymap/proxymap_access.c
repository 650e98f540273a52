// SPDX-License-Identifier: ISC
// proxymap_access.c: which tables may be opened: those that the administrator named.
#include "services/proxymap/proxymap.h"

#include "lib/table/table.h"

static struct str without_proxy(struct str name)
{
    while (str_starts(name, STR("proxy:")))
        name = str_slice(name, 6, name.len);
    return name;
}

void proxymap_access_add_list(struct proxymap_access *access, struct str list)
{
    struct str item;

    while (str_token_braced(&list, ", \t\r\n", &item)) {
        if (item.ptr[0] == '{' && item.len > 1) // "{ check_x_access proxy:type:name, ... }"
            proxymap_access_add_list(access, str_slice(item, 1, item.len - 1));
        else if (str_starts(item, STR("proxy:")))
            map_set(&access->names, without_proxy(item), access);
    }
}

void proxymap_access_add_backends(struct proxymap_access *access, struct str text)
{
    struct str item;

    while (str_token_braced(&text, ", \t\r\n", &item)) {
        struct str type, name = without_proxy(item), rest = name;
        long brace = str_find(item, '{');
        if (str_cut(&rest, ':', &type) && table_type_is_backend(type))
            map_set(&access->names, name, access);
        else if (brace >= 0 && item.ptr[item.len - 1] == '}') // "{...}", "unionmap:{...}"
            proxymap_access_add_backends(access, str_slice(item, (size_t)brace + 1, item.len - 1));
    }
}

static void add_expanded(struct proxymap_access *access, const struct conf *conf, struct str value)
{
    struct buf text = BUF_INIT;

    if (conf_expand(conf, value, &text, NULL) == 0)
        proxymap_access_add_backends(access, buf_str(&text));
    buf_release(&text);
}

static void add_row(struct proxymap_access *access, const struct conf *conf, const struct master_row *row)
{
    for (size_t i = 0; i < row->argc; i++) {
        struct str value = row->argv[i], name;
        add_expanded(access, conf, str_cut(&value, '=', &name) ? value : row->argv[i]);
    }
}

int proxymap_access_add_configuration(struct proxymap_access *access, const struct conf *conf, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct buf path = BUF_INIT;
    struct master_row *rows;
    struct conf_entry entry;
    size_t count = 0;
    int rc;

    for (size_t at = 0; conf_next(conf, &at, &entry);)
        add_expanded(access, conf, entry.value);
    buf_addf(&path, "%s/master.cf", conf_dir(conf));
    rc = master_cf_read(conf, buf_cstr(&path), &arena, &rows, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        add_row(access, conf, &rows[i]);
    buf_release(&path);
    arena_release(&arena);
    return rc;
}

bool proxymap_access_allows(const struct proxymap_access *access, struct str type_name)
{
    return map_get(&access->names, without_proxy(type_name)) != NULL;
}

void proxymap_access_release(struct proxymap_access *access)
{
    map_release(&access->names);
}
