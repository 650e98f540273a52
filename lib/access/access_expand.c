// SPDX-License-Identifier: ISC
// access_expand.c: $-names in replies.
// Limits: EXPAND_DEPTH nested conditions; EXPAND_MAX bytes.
#include "lib/access/access_expand.h"

#include "lib/base/clock.h"
#include "lib/mail/address.h"

#define EXPAND_DEPTH 20
#define EXPAND_MAX   4096

struct expander {
    struct access_expansion *x;
    struct err *err;
    unsigned depth;
    size_t start; // length of the output before
};

// ---- smtpd_expansion_filter: bytes, some as \t or \ooo

static char take_filter_byte(struct str *rest)
{
    static const char escapes[] = "abfnrtv", meant[] = "\a\b\f\n\r\t\v";
    char c = rest->ptr[0];
    *rest = str_slice(*rest, 1, rest->len);
    if (c != '\\' || rest->len == 0)
        return c;
    unsigned value = 0;
    size_t digits = 0;
    while (digits < 3 && digits < rest->len && rest->ptr[digits] >= '0' && rest->ptr[digits] <= '7')
        value = value * 8 + (unsigned)(rest->ptr[digits++] - '0');
    c = digits > 0 ? (char)(value & 255) : rest->ptr[0];
    *rest = str_slice(*rest, digits > 0 ? digits : 1, rest->len);
    const char *escape = digits == 0 && c != '\0' ? strchr(escapes, c) : NULL;
    return escape != NULL ? meant[escape - escapes] : c;
}

static bool filter_allows(struct str filter, char c)
{
    while (filter.len > 0)
        if (take_filter_byte(&filter) == c)
            return true;
    return false;
}

static void add_filtered(struct expander *e, struct str value, struct buf *out)
{
    for (size_t i = 0; i < value.len && out->len - e->start < EXPAND_MAX; i++)
        buf_add_char(out, filter_allows(e->x->settings->smtpd_expansion_filter, value.ptr[i]) ? value.ptr[i] : '_');
}

// ---- Names

static bool find_macro(const struct access_expansion *x, struct str name, struct str *value_r)
{
    const struct access_facts *f = x->facts;
    const struct access_macro known[] = {
        {"client", f->client},
        {"client_address", f->client_address},
        {"client_name", f->client_name},
        {"client_port", f->client_port},
        {"reverse_client_name", f->client_reverse},
        {"helo_name", f->helo},
        {"sender", f->sender.ptr != NULL && f->sender.len == 0 ? STR("<>") : f->sender},
        {"sender_name", f->sender.ptr != NULL && f->sender.len == 0 ? STR("<>") : address_local(f->sender)},
        {"sender_domain", address_domain(f->sender)},
        {"recipient", f->recipient},
        {"recipient_name", address_local(f->recipient)},
        {"recipient_domain", address_domain(f->recipient)},
        {"server_name", x->settings->myhostname},
    };
    for (size_t i = 0; i < x->macro_count; i++)
        if (str_is(name, str_from(x->macros[i].name))) {
            *value_r = x->macros[i].value;
            return true;
        }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_is(name, str_from(known[i].name))) {
            *value_r = known[i].value;
            return true;
        }
    return false;
}

static int expand_text(struct expander *e, struct str text, struct buf *out);

static void add_value(struct expander *e, struct str name, struct buf *out)
{
    struct str value = STR_NULL;
    if (str_is(name, STR("localtime"))) {
        struct buf now = BUF_INIT;
        clock_add_syslog(&now, clock_wall());
        add_filtered(e, buf_str(&now), out);
        buf_release(&now);
    } else if (find_macro(e->x, name, &value)) {
        add_filtered(e, value, out);
    } else {
        e->x->unknown_r = name;
    }
}

static bool has_value(struct expander *e, struct str name)
{
    struct str value = STR_NULL;
    return str_is(name, STR("localtime")) || (find_macro(e->x, name, &value) && value.len > 0);
}

static size_t name_length(struct str s)
{
    size_t n = 0;
    while (n < s.len && ((s.ptr[n] >= 'a' && s.ptr[n] <= 'z') || (s.ptr[n] >= 'A' && s.ptr[n] <= 'Z') ||
                         (s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '_'))
        n++;
    return n;
}

// The length of the group that s starts with, brackets included; 0: it does not end.
static size_t group_length(struct str s, char open, char close)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == open)
            depth++;
        else if (s.ptr[i] == close && --depth == 0)
            return i + 1;
    }
    return 0;
}

// "?text", ":text", "?{a}", "?{a}:{b}", ":{b}" behind a name.
static int expand_choice(struct expander *e, struct str name, struct str rest, struct buf *out)
{
    bool wants_value = rest.ptr[0] == '?', has = has_value(e, name);
    struct str text = str_slice(rest, 1, rest.len), other = STR_NULL;
    if (text.len > 0 && text.ptr[0] == '{') {
        size_t length = group_length(text, '{', '}');
        if (length == 0)
            return err_set(e->err, ERR_PERMANENT, "missing \"}\" in \"" STR_FMT "\"", STR_ARG(rest));
        other = str_trim(str_slice(text, length, text.len));
        text = str_slice(text, 1, length - 1);
        if (other.len > 0 && other.ptr[0] == ':')
            other = str_trim(str_slice(other, 1, other.len));
        if (other.len > 1 && other.ptr[0] == '{' && other.ptr[other.len - 1] == '}')
            other = str_slice(other, 1, other.len - 1);
    }
    return expand_text(e, has == wants_value ? text : other, out);
}

// What stands behind a '$'. *rest is moved behind it.
static int expand_reference(struct expander *e, struct str *rest, struct buf *out)
{
    char open = rest->len > 0 ? rest->ptr[0] : '\0';
    if (open == '$') {
        buf_add_char(out, '$');
        *rest = str_slice(*rest, 1, rest->len);
        return 0;
    }
    if (open != '{' && open != '(') {
        size_t length = name_length(*rest);
        if (length == 0)
            return err_set(e->err, ERR_PERMANENT, "a name is missing behind \"$\" at \"" STR_FMT "\"", STR_ARG(*rest));
        add_value(e, str_slice(*rest, 0, length), out);
        *rest = str_slice(*rest, length, rest->len);
        return 0;
    }
    size_t length = group_length(*rest, open, open == '{' ? '}' : ')');
    if (length == 0)
        return err_set(e->err, ERR_PERMANENT, "no end of \"$" STR_FMT "\"", STR_ARG(*rest));
    struct str inside = str_trim(str_slice(*rest, 1, length - 1));
    *rest = str_slice(*rest, length, rest->len);
    size_t n = name_length(inside);
    struct str name = str_slice(inside, 0, n), tail = str_slice(inside, n, inside.len);
    if (n == 0 || (tail.len > 0 && tail.ptr[0] != '?' && tail.ptr[0] != ':'))
        return err_set(e->err, ERR_PERMANENT, "bad macro \"" STR_FMT "\"", STR_ARG(inside));
    if (tail.len > 0)
        return expand_choice(e, name, tail, out);
    add_value(e, name, out);
    return 0;
}

static int expand_text(struct expander *e, struct str text, struct buf *out)
{
    struct str rest = text, plain;
    int rc = 0;
    if (++e->depth > EXPAND_DEPTH)
        return err_set(e->err, ERR_PERMANENT, "conditions nested too deeply");
    while (rc == 0 && out->len - e->start < EXPAND_MAX) {
        bool has_reference = str_cut(&rest, '$', &plain);
        buf_add_str(out, str_slice(plain, 0, EXPAND_MAX));
        if (!has_reference)
            break;
        rc = expand_reference(e, &rest, out);
    }
    e->depth--;
    return rc;
}

int access_expand(struct access_expansion *x, struct str text, struct buf *out, struct err *err)
{
    struct expander e = {.x = x, .err = err, .start = out->len};
    x->unknown_r = STR("");
    return expand_text(&e, text, out);
}
