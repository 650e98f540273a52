// SPDX-License-Identifier: ISC
// table_ldap_query.c: one LDAP search and what its entries refer to.
//
// An entry with a terminal attribute gives only that; one with a special attribute (a name or URL) gives what that
// leads to, and no leaf attribute. Limits: recursion_limit deep, expansion_limit and TABLE_ROWS_MAX values,
// SEARCHES_MAX searches.
#include <ctype.h>
#include <strings.h>

#include "lib/table/table_ldap_impl.h"

#define SEARCHES_MAX 10000
#define DEPTH_MAX    100 // of recursion_limit, as each step takes stack

struct search {
    LDAP *ldap;
    const struct ldap_setup *setup;
    struct table_request *request;
    unsigned depth, searches;
};

int ldap_table_quote_filter(void *context, struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c != 0 && strchr("*()\\", c) == NULL)
            buf_add_char(out, (char)c);
        else
            buf_addf(out, "\\%02X", c);
    }
    return 0;
}

int ldap_table_quote_name(void *context, struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c != 0 && strchr(" \t\"#+,;<>=\\", c) == NULL)
            buf_add_char(out, (char)c);
        else
            buf_addf(out, "\\%02X", c);
    }
    return 0;
}

static int find(struct search *s, const char *base, int scope, const char *filter);

// Where a special attribute leads: a name is one entry, a URL is a search of its own on this server.
static int follow(struct search *s, const struct berval *value)
{
    char *text = mem_dup_str(str_of(value->bv_val, value->bv_len));
    LDAPURLDesc *url = NULL;
    int rc;

    if (ldap_is_ldap_url(text) && ldap_url_parse(text, &url) == LDAP_URL_SUCCESS) {
        rc = find(s, url->lud_dn ? url->lud_dn : "",
                  url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : url->lud_scope,
                  url->lud_filter ? url->lud_filter : "(objectClass=*)");
        ldap_free_urldesc(url);
    } else {
        rc = find(s, text, LDAP_SCOPE_BASE, "(objectClass=*)");
    }
    mem_free(text);
    return rc;
}

static int take_values(struct search *s, struct berval **values, bool is_special)
{
    int rc = 0;

    for (size_t i = 0; values != NULL && values[i] != NULL && rc == 0; i++)
        rc = is_special
                 ? follow(s, values[i])
                 : table_rows_add(&s->request->rows, str_of(values[i]->bv_val, values[i]->bv_len), &s->request->err);
    return rc;
}

static bool has_kind(struct search *s, LDAPMessage *entry, enum ldap_kind kind)
{
    for (unsigned i = 0; i < s->setup->attribute_count; i++) {
        struct berval **values;
        if (s->setup->kinds[i] != kind)
            continue;
        values = ldap_get_values_len(s->ldap, entry, s->setup->names[i]);
        if (values != NULL) {
            ldap_value_free_len(values);
            return true;
        }
    }
    return false;
}

static bool is_wanted(enum ldap_kind kind, bool has_terminal, bool has_special)
{
    if (has_terminal)
        return kind == LDAP_TERMINAL;
    return kind != LDAP_LEAF || !has_special;
}

static int take_entry(struct search *s, LDAPMessage *entry)
{
    bool has_terminal = has_kind(s, entry, LDAP_TERMINAL), has_special = has_kind(s, entry, LDAP_SPECIAL);
    int rc = 0;

    for (unsigned i = 0; i < s->setup->attribute_count && rc == 0; i++) {
        struct berval **values;
        if (!is_wanted(s->setup->kinds[i], has_terminal, has_special))
            continue;
        values = ldap_get_values_len(s->ldap, entry, s->setup->names[i]);
        rc = take_values(s, values, s->setup->kinds[i] == LDAP_SPECIAL);
        ldap_value_free_len(values);
    }
    return rc;
}

static bool is_connection_error(int rc)
{
    return rc == LDAP_SERVER_DOWN || rc == LDAP_TIMEOUT || rc == LDAP_CONNECT_ERROR || rc == LDAP_UNAVAILABLE ||
           rc == LDAP_BUSY || rc == LDAP_ENCODING_ERROR || rc == LDAP_DECODING_ERROR || rc == LDAP_LOCAL_ERROR;
}

static int find(struct search *s, const char *base, int scope, const char *filter)
{
    struct timeval patience = {.tv_sec = s->setup->timeout};
    struct table_request *r = s->request;
    LDAPMessage *answer = NULL;
    int rc, taken = 0;

    if (s->depth > s->setup->recursion_limit || s->depth > DEPTH_MAX || ++s->searches > SEARCHES_MAX)
        return err_set(&r->err, ERR_TEMPORARY, "ldap: recursion limit exceeded at \"%.100s\"", base);
    rc = ldap_search_ext_s(s->ldap, base, scope, filter, (char **)(uintptr_t)s->setup->names, 0, NULL, NULL, &patience,
                           (int)s->setup->size_limit, &answer);
    if (rc == LDAP_SUCCESS) {
        s->depth++;
        for (LDAPMessage *e = ldap_first_entry(s->ldap, answer); e != NULL && taken == 0;
             e = ldap_next_entry(s->ldap, e))
            taken = take_entry(s, e);
        s->depth--;
    }
    ldap_msgfree(answer);
    if (rc == LDAP_SUCCESS)
        return taken;
    // A name that was made of the key, or that an entry refers to, may not exist; a fixed search base has to.
    if (rc == LDAP_NO_SUCH_OBJECT && (s->depth > 0 || str_find(s->setup->base, '%') >= 0))
        return 0;
    r->is_lost = is_connection_error(rc);
    return err_set(&r->err, ERR_TEMPORARY, "ldap: search for %.100s below \"%.100s\": %s", filter, base,
                   ldap_err2string(rc));
}

int ldap_table_query(void *connection, struct table_request *r)
{
    struct search s = {.ldap = connection, .setup = r->setup, .request = r};
    struct table_expansion filter = {.template = r->source->query, .key = r->key, .quote = ldap_table_quote_filter};
    struct table_expansion base = {.template = s.setup->base, .key = r->key, .quote = ldap_table_quote_name};
    struct buf filter_text = BUF_INIT, base_text = BUF_INIT;
    int rc = table_template_expand(&filter, &filter_text);

    if (rc > 0)
        rc = table_template_expand(&base, &base_text);
    if (rc > 0)
        rc = find(&s, buf_cstr(&base_text), s.setup->scope, buf_cstr(&filter_text));
    buf_release(&filter_text);
    buf_release(&base_text);
    return rc;
}
