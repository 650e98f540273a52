// SPDX-License-Identifier: ISC
// table_address.c: looks an address up under its documented sequence of keys, each in quoted and, where that differs,
// plain form.
//
// Suspends: where the tables do.
#include "lib/mail/address.h"
#include "lib/table/table_impl.h"

struct search {
    struct table_list *list;
    const struct table_address_query *query;
    struct str local, domain;   // of the address
    struct str user, extension; // of the local part; extension.ptr NULL without one
    struct buf key;
    struct buf *value;
    struct err *err;
    bool is_partial; // the full address has been asked: tables for full keys only are passed by from now on
};

static int ask(struct search *s) CO
{
    if (s->key.len == 0 || s->key.len > TABLE_KEY_MAX)
        return 0;
    if (s->is_partial)
        return table_list_lookup_partial(s->list, buf_str(&s->key), s->value, s->err);
    return table_list_lookup(s->list, buf_str(&s->key), s->value, NULL, s->err);
}

// Local part, then "@domain", "@" or nothing: quoted form first.
static int ask_local(struct search *s, struct str local, struct str tail) CO
{
    size_t quoted_len;
    int found;

    buf_clear(&s->key);
    buf_add_str(&s->key, local);
    buf_add_cstr(&s->key, "@x");
    struct buf external = BUF_INIT;
    address_add_external(&external, buf_str(&s->key));
    quoted_len = external.len - 2;
    buf_clear(&s->key);
    buf_add_str(&s->key, str_slice(buf_str(&external), 0, quoted_len));
    buf_release(&external);
    buf_add_str(&s->key, tail);
    found = ask(s);
    if (found != 0 || quoted_len == local.len)
        return found;
    buf_clear(&s->key);
    buf_add_str(&s->key, local);
    buf_add_str(&s->key, tail);
    return ask(s);
}

// With the extension, then without. 2: found without.
static int ask_both(struct search *s, struct str tail) CO
{
    int found = ask_local(s, s->local, tail);

    s->is_partial = true;
    if (found != 0 || s->extension.ptr == NULL)
        return found;
    found = ask_local(s, s->user, tail);
    return found > 0 ? 2 : found;
}

static int ask_text(struct search *s, const char *before, struct str text) CO
{
    buf_clear(&s->key);
    buf_add_cstr(&s->key, before);
    buf_add_str(&s->key, text);
    return ask(s);
}

static int ask_domains(struct search *s) CO
{
    bool is_dotted = s->query->keys & ADDRESS_KEY_PARENTS_DOTTED;
    struct str rest = s->domain;
    int found = ask_text(s, "", rest);

    if (str_starts(s->domain, STR("[")))
        return found; // an address literal has no parents
    while (found == 0) {
        long dot = str_find(str_slice(rest, 1, rest.len), '.');
        if (dot < 0)
            return 0;
        rest = str_slice(rest, (size_t)dot + 2, rest.len);
        if (rest.len == 0)
            return 0;
        found = ask_text(s, is_dotted ? "." : "", rest);
    }
    return found;
}

static int ask_all(struct search *s) CO
{
    unsigned keys = s->query->keys;
    struct str at_domain = s->domain.len > 0 ? str_of(s->domain.ptr - 1, s->domain.len + 1) : STR("");
    int found = 0;

    if ((keys & ADDRESS_KEY_FULL) && s->query->address.len > 0)
        found = ask_both(s, at_domain);
    if (found == 0 && (keys & ADDRESS_KEY_LOCALPART) && s->query->domain_is_local && s->domain.len > 0)
        found = ask_both(s, STR(""));
    if (found == 0 && (keys & ADDRESS_KEY_AT_DOMAIN) && s->domain.len > 0)
        found = ask_text(s, "@", s->domain);
    if (found == 0 && (keys & ADDRESS_KEY_DOMAIN) && s->domain.len > 0)
        found = ask_domains(s);
    if (found == 0 && (keys & ADDRESS_KEY_LOCAL_AT) && s->local.len > 0)
        found = ask_both(s, STR("@"));
    return found;
}

int table_list_lookup_address(struct table_list *l, const struct table_address_query *q, struct buf *value_r,
                              struct str *extension_r, struct err *err)
{
    struct search s = {.list = l, .query = q, .key = BUF_INIT, .value = value_r, .err = err};
    int found;

    buf_clear(value_r);
    if (extension_r != NULL)
        *extension_r = STR_NULL;
    if (table_list_is_empty(l))
        return 0;
    s.local = address_local(q->address);
    s.domain = address_domain(q->address);
    address_split_extension(s.local, q->delimiter, &s.user, &s.extension);
    found = ask_all(&s);
    if (found == 2 && extension_r != NULL) // with its delimiter
        *extension_r = str_of(s.extension.ptr - 1, s.extension.len + 1);
    buf_release(&s.key);
    return found > 0 ? 1 : found;
}
