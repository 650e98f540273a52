// SPDX-License-Identifier: ISC
// table_source_impl.h: what the tables with a configuration file share: its keys, %-templates, domains, results.
// Private to lib/table.
//
// Templates: %s key, %u local part (or the whole key), %d domain, %1 … %9 domain labels from the right, %% a percent
// sign; a text that needs a part which is missing gives nothing. In result_format %s %u %d are of the result, %S %U %D
// %1 … %9 of the key.
#ifndef DROMOS_TABLE_TABLE_SOURCE_IMPL_H
#define DROMOS_TABLE_TABLE_SOURCE_IMPL_H

#include "lib/table/table_impl.h"

// ---- The configuration: FILE.cf, or for a name without a path the main.cf parameters NAME_key.
struct table_config;
struct table_config *table_config_open(const char *name, struct err *err);
void table_config_close(struct table_config *c); // overwrites the values: there are passwords among them
const char *table_config_name(const struct table_config *c);
bool table_config_has(struct table_config *c, const char *key);
struct str table_config_str(struct table_config *c, const char *key,
                            const char *otherwise); // NUL-terminated, lives as long as c
int table_config_int(struct table_config *c, const char *key, int64_t otherwise, int64_t *value_r, struct err *err);
int table_config_bool(struct table_config *c, const char *key, bool otherwise, bool *value_r, struct err *err);

// ---- Templates
bool table_template_is_valid(struct str template);
// Adds text escaped for its target; -1: it cannot be.
typedef int table_quote(void *context, struct buf *out, struct str text);
struct table_expansion {
    struct str template;
    struct str key;
    struct str value; // of result_format
    bool is_result;
    table_quote *quote; // NULL: as it is
    void *context;
};
int table_template_expand(const struct table_expansion *e, struct buf *out); // 1, 0 a part is missing, -1 quote failed

// ---- A table's source
struct table_source {
    struct table_config *config;
    struct str query; // or what the type calls it; "" when it has several
    struct str result_format;
    struct match_list *domains; // NULL: any key
    int64_t expansion_limit;    // 0: none
    struct arena arena;
};
int table_source_init(struct table_source *s, const char *name,
                      struct err *err);        // domain, result_format, expansion_limit
void table_source_note_owner(struct table *t); // whoever owns the file could name any server: the table's owner
void table_source_release(struct table_source *s);
int table_source_take_template(struct table_source *s, struct str template, struct str *template_r, struct err *err);
// query, or "SELECT select_field FROM table WHERE where_field = '%s' additional_conditions"; "" when neither is set.
int table_source_take_sql(struct table_source *s, struct err *err);
// May this key be asked? 1, 0 (no such key here), -1.
int table_source_accepts(struct table_source *s, struct str key, struct err *err) CO;

// What a server found. Filled in a job, read afterwards.
#define TABLE_ROWS_MAX 10000
struct table_rows {
    struct buf bytes; // each value followed by a NUL
    size_t count;
};
int table_rows_add(struct table_rows *r, struct str value, struct err *err); // -1: too many, or a NUL inside
// Formats and joins with commas. 1, 0 nothing, -1 over a limit.
int table_source_finish(const struct table_source *s, struct str key, const struct table_rows *rows,
                        struct buf *value_r, struct err *err);

#endif
