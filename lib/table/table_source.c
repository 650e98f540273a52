// SPDX-License-Identifier: ISC
// table_source.c: %-templates for queries and results, the domains a table knows, and its results.
//
// Trust: keys come from the network: every part of one passes through the target's quoting.
#include "lib/base/log.h"
#include "lib/table/table_source_impl.h"

// ---- Templates

bool table_template_is_valid(struct str template)
{
    for (size_t i = 0; i < template.len; i++) {
        if (template.ptr[i] != '%')
            continue;
        if (++i >= template.len || template.ptr[i] == 0 || strchr("%sudSUD123456789", template.ptr[i]) == NULL)
            return false;
    }
    return true;
}

// The local part and domain of an address; without "@" all is local part, and there is no domain.
static void split(struct str address, struct str *local_r, struct str *domain_r)
{
    long at = str_rfind(address, '@');
    *local_r = at < 0 ? address : str_slice(address, 0, (size_t)at);
    *domain_r = at < 0 ? STR("") : str_slice(address, (size_t)at + 1, address.len);
}

static struct str domain_label(struct str domain, unsigned number)
{
    for (; number > 1; number--) {
        long dot = str_rfind(domain, '.');
        if (dot < 0)
            return STR("");
        domain = str_slice(domain, 0, (size_t)dot);
    }
    return str_slice(domain, (size_t)(str_rfind(domain, '.') + 1), domain.len);
}

// What %c stands for; "" when there is no such part.
static struct str part_of(const struct table_expansion *e, char c)
{
    bool is_of_value = e->is_result && (c == 's' || c == 'u' || c == 'd');
    struct str whole = is_of_value ? e->value : e->key, local, domain;

    split(whole, &local, &domain);
    switch (c) {
    case 's':
    case 'S':
        return whole;
    case 'u':
    case 'U':
        return local;
    case 'd':
    case 'D':
        return domain;
    default:
        return domain.len > 0 ? domain_label(domain, (unsigned)(c - '0')) : STR("");
    }
}

int table_template_expand(const struct table_expansion *e, struct buf *out)
{
    for (size_t i = 0; i < e->template.len; i++) {
        struct str part;
        char c = e->template.ptr[i];
        if (c != '%' || i + 1 == e->template.len) {
            buf_add_char(out, c);
            continue;
        }
        c = e->template.ptr[++i];
        if (c == '%') {
            buf_add_char(out, c);
            continue;
        }
        part = part_of(e, c);
        if (part.len == 0)
            return 0;
        if (e->quote == NULL)
            buf_add_str(out, part);
        else if (e->quote(e->context, out, part) < 0)
            return -1;
    }
    return 1;
}

// ---- Sources

int table_source_take_template(struct table_source *s, struct str template, struct str *template_r, struct err *err)
{
    if (!table_template_is_valid(template))
        return err_set(err, ERR_PERMANENT, "%s: invalid template: " STR_FMT, table_config_name(s->config),
                       STR_ARG(template));
    *template_r = template;
    return 0;
}

int table_source_init(struct table_source *s, const char *name, struct err *err)
{
    struct str domain, format;

    *s = (struct table_source){.config = table_config_open(name, err)};
    if (s->config == NULL)
        return -1;
    format = table_config_str(s->config, "result_format", "");
    if (format.len == 0)
        format = table_config_str(s->config, "result_filter", "%s");
    if (table_source_take_template(s, format, &s->result_format, err) < 0 ||
        table_config_int(s->config, "expansion_limit", 0, &s->expansion_limit, err) < 0)
        return -1;
    domain = table_config_str(s->config, "domain", "");
    if (domain.len == 0)
        return 0;
    s->domains = match_list_open(domain, 0, err);
    return s->domains == NULL ? -1 : 0;
}

void table_source_note_owner(struct table *t)
{
    if (t->body[0] == '/' || t->body[0] == '.')
        table_add_watch(t, t->body);
}

void table_source_release(struct table_source *s)
{
    match_list_close(s->domains);
    table_config_close(s->config);
    arena_release(&s->arena);
}

int table_source_take_sql(struct table_source *s, struct err *err)
{
    struct str query = table_config_str(s->config, "query", ""),
               function = table_config_str(s->config, "select_function", "");
    struct str table = table_config_str(s->config, "table", ""),
               select = table_config_str(s->config, "select_field", ""),
               where = table_config_str(s->config, "where_field", "");
    struct buf text = BUF_INIT;
    int rc;

    if (query.len > 0)
        return table_source_take_template(s, query, &s->query, err);
    if (function.len > 0)
        buf_addf(&text, "SELECT " STR_FMT "('%%s')", STR_ARG(function));
    else if (table.len > 0 && select.len > 0 && where.len > 0)
        buf_addf(&text, "SELECT " STR_FMT " FROM " STR_FMT " WHERE " STR_FMT " = '%%s' " STR_FMT, STR_ARG(select),
                 STR_ARG(table), STR_ARG(where), STR_ARG(table_config_str(s->config, "additional_conditions", "")));
    else
        return err_set(err, ERR_PERMANENT, "%s: neither query nor table, select_field and where_field are given",
                       table_config_name(s->config));
    rc = table_source_take_template(s, arena_str(&s->arena, buf_str(&text)), &s->query, err);
    buf_release(&text);
    return rc;
}

// Does the key have all parts that the template takes from it?
static bool has_parts(struct str template, struct str key, bool is_result)
{
    struct table_expansion e = {.template = template, .key = key, .value = STR("u@d"), .is_result = is_result};
    struct buf ignored = BUF_INIT;
    int rc = table_template_expand(&e, &ignored);

    buf_release(&ignored);
    return rc > 0;
}

int table_source_accepts(struct table_source *s, struct str key, struct err *err)
{
    struct str local, domain;

    if (key.len == 0)
        return 0;
    if (s->domains != NULL) {
        int found;
        split(key, &local, &domain);
        if (domain.len == 0)
            return 0;
        found = match_list_has(s->domains, domain, err);
        if (found <= 0)
            return found;
    }
    return has_parts(s->query, key, false) && has_parts(s->result_format, key, true);
}

int table_rows_add(struct table_rows *r, struct str value, struct err *err)
{
    if (r->count >= TABLE_ROWS_MAX || r->bytes.len + value.len >= TABLE_VALUE_MAX)
        return err_set(err, ERR_TEMPORARY, "the result is too large");
    if (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL)
        return err_set(err, ERR_TEMPORARY, "a result holds a NUL byte");
    buf_add_str(&r->bytes, value);
    buf_add_char(&r->bytes, '\0');
    r->count++;
    return 0;
}

int table_source_finish(const struct table_source *s, struct str key, const struct table_rows *rows,
                        struct buf *value_r, struct err *err)
{
    struct table_expansion e = {.template = s->result_format, .key = key, .is_result = true};
    struct buf one = BUF_INIT;
    int64_t results = 0;
    int rc = 0;

    for (size_t at = 0; at < rows->bytes.len && rc >= 0; at += e.value.len + 1) {
        e.value = str_from(rows->bytes.ptr + at);
        buf_clear(&one);
        if (e.value.len == 0 || table_template_expand(&e, &one) <= 0)
            continue;
        if (s->expansion_limit > 0 && ++results > s->expansion_limit) {
            rc = err_set(err, ERR_TEMPORARY, "%s: expansion limit exceeded for key \"" STR_FMT "\"",
                         table_config_name(s->config), STR_ARG(key));
            break;
        }
        if (rc > 0)
            buf_add_char(value_r, ',');
        buf_add_str(value_r, buf_str(&one));
        rc = 1;
    }
    buf_release(&one);
    return rc;
}
