// SPDX-License-Identifier: ISC
// address.c: mail addresses: SMTP paths, internal and external forms, domains.
// Trust: everything here comes from peers or users. Limits: ADDRESS_MAX.
#include "lib/mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <netinet/in.h>
#include <stdio.h>

#include "lib/mail/address_spec.h"

static bool is_control(unsigned char c)
{
    return c < 32 || c == 127;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_control((unsigned char)s.ptr[i]))
            return true;
    return false;
}

bool address_char_is_atom(char c)
{
    unsigned char u = (unsigned char)c;
    if (u >= 128)
        return true;
    return u > 32 && u < 127 && strchr("()<>[]:;@\\,.\"", c) == NULL;
}

static bool is_dot_string(struct str s)
{
    if (s.len == 0 || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' && s.ptr[i - 1] == '.')
            return false;
        if (s.ptr[i] != '.' && !address_char_is_atom(s.ptr[i]))
            return false;
    }
    return true;
}

// Only what can stand unquoted after an @: a parser further on must not see another address in it.
static bool domain_is_plain(struct str domain)
{
    bool is_literal = domain.len > 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']';
    if (is_literal)
        domain = str_slice(domain, 1, domain.len - 1);
    for (size_t i = 0; i < domain.len; i++)
        if (!address_char_is_atom(domain.ptr[i]) && domain.ptr[i] != '.' && !(is_literal && domain.ptr[i] == ':'))
            return false;
    return true;
}

// ---- SMTP paths

// Index just after the end of a path: '>' at the top level, or (bare form) the first blank. 0: unbalanced.
static size_t path_end(struct str text, bool is_bracketed)
{
    bool in_quotes = false;
    for (size_t i = is_bracketed ? 1 : 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\')
            i++;
        else if (c == '"')
            in_quotes = !in_quotes;
        else if (!in_quotes && is_bracketed && c == '>')
            return i + 1;
        else if (!in_quotes && !is_bracketed && (c == ' ' || c == '\t'))
            return i;
    }
    return is_bracketed || in_quotes ? 0 : text.len;
}

// "@a,@b:" in front of an address: what follows it.
static struct str drop_source_route(struct str path)
{
    if (path.len == 0 || path.ptr[0] != '@')
        return path;
    long colon = str_find(path, ':');
    return colon < 0 ? path : str_slice(path, (size_t)colon + 1, path.len);
}

int address_parse_path(struct str text, bool is_strict, struct arena *arena, struct str *address_r, struct str *rest_r)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = str_slice(text, 1, text.len);
    if (text.len == 0)
        return -1;
    bool is_bracketed = text.ptr[0] == '<';
    if (is_strict && !is_bracketed)
        return -1;
    size_t end = path_end(text, is_bracketed);
    if (end == 0 || end > ADDRESS_MAX)
        return -1;
    struct str rest = str_slice(text, end, text.len);
    if (rest.len > 0 && rest.ptr[0] != ' ' && rest.ptr[0] != '\t')
        return -1;
    struct str path = is_bracketed ? str_slice(text, 1, end - 1) : str_slice(text, 0, end);
    struct str address = STR("");
    if (path.len > 0) {
        path = drop_source_route(path);
        if (has_control(path) || address_spec_parse(path, ADDRESS_SPEC_SMTP, arena, &address) < 0)
            return -1;
        if (address.len == 0 || !address_is_sane(address) || !domain_is_plain(address_domain(address)))
            return -1;
    }
    *address_r = address;
    *rest_r = str_trim(rest);
    return 0;
}

bool address_is_sane(struct str internal)
{
    if (internal.len > ADDRESS_MAX || has_control(internal))
        return false;
    return address_domain(internal).len <= ADDRESS_DOMAIN_MAX && address_local(internal).len <= ADDRESS_LOCAL_MAX;
}

// ---- Parts

struct str address_local(struct str internal)
{
    long at = str_rfind(internal, '@');
    return at < 0 ? internal : str_slice(internal, 0, (size_t)at);
}

struct str address_domain(struct str internal)
{
    long at = str_rfind(internal, '@');
    return at < 0 ? STR("") : str_slice(internal, (size_t)at + 1, internal.len);
}

static bool is_kept_whole(struct str local, struct str delimiters)
{
    static const char *const reserved[] = {"mailer-daemon", "double-bounce", "postmaster"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (str_is_nocase(local, str_from(reserved[i])))
            return true;
    if (str_find(delimiters, '-') < 0)
        return false;
    return str_starts_nocase(local, STR("owner-")) || str_ends_nocase(local, STR("-request"));
}

void address_split_extension(struct str local, struct str delimiters, struct str *user_r, struct str *extension_r)
{
    *user_r = local;
    *extension_r = STR_NULL;
    if (delimiters.len == 0 || is_kept_whole(local, delimiters))
        return;
    for (size_t i = 0; i < local.len; i++) {
        if (str_find(delimiters, local.ptr[i]) < 0)
            continue;
        if (i == 0)
            return;
        *user_r = str_slice(local, 0, i);
        *extension_r = str_slice(local, i + 1, local.len);
        return;
    }
}

// ---- External form

static void add_quoted_local(struct buf *b, struct str local)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, local.ptr[i]);
    }
    buf_add_char(b, '"');
}

void address_add_external(struct buf *b, struct str internal)
{
    struct str local = address_local(internal);
    if (internal.len == 0 || is_dot_string(local)) {
        buf_add_str(b, internal);
        return;
    }
    add_quoted_local(b, local);
    buf_add_str(b, str_slice(internal, local.len, internal.len));
}

void address_add_log(struct buf *b, struct str internal)
{
    struct buf external = BUF_INIT;
    struct str local = address_local(internal);
    if (str_is_printable(internal) && (internal.len == 0 || is_dot_string(local))) {
        buf_add_str(b, internal); // nearly every address
        return;
    }
    address_add_external(&external, internal);
    buf_add_printable(b, buf_str(&external), 0);
    buf_release(&external);
}

struct str address_lower_domain(struct arena *arena, struct str internal)
{
    struct str copy = arena_str(arena, internal);
    char *out = (char *)(uintptr_t)copy.ptr; // just allocated: ours to write
    for (size_t i = address_local(internal).len; i < copy.len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] + 32);
    return copy;
}

// ---- Domains

static bool label_is_valid(struct str label)
{
    if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        unsigned char c = (unsigned char)label.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 128;
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return true;
}

bool address_domain_is_valid(struct str domain)
{
    if (domain.len == 0 || domain.len > ADDRESS_DOMAIN_MAX)
        return false;
    if (!str_is_ascii(domain) && !str_is_utf8(domain))
        return false;
    bool is_numeric = true;
    for (size_t i = 0; i < domain.len; i++)
        if (domain.ptr[i] != '.' && (domain.ptr[i] < '0' || domain.ptr[i] > '9'))
            is_numeric = false;
    if (is_numeric || domain.ptr[domain.len - 1] == '.')
        return false;
    struct str rest = domain, label;
    for (bool more = true; more;) {
        more = str_cut(&rest, '.', &label);
        if (!label_is_valid(label))
            return false;
    }
    return true;
}

bool address_domain_is_literal(struct str domain)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr addr;
    if (domain.len < 3 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']')
        return false;
    struct str inner = str_slice(domain, 1, domain.len - 1);
    int family = AF_INET;
    if (str_starts_nocase(inner, STR("IPv6:"))) {
        inner = str_slice(inner, 5, inner.len);
        family = AF_INET6;
    }
    if (inner.len >= sizeof text || memchr(inner.ptr, '\0', inner.len) != NULL)
        return false;
    memcpy(text, inner.ptr, inner.len);
    text[inner.len] = '\0';
    return inet_pton(family, text, &addr) == 1;
}

int address_domain_to_ascii(struct str domain, struct arena *arena, struct str *ascii_r)
{
    if (str_is_ascii(domain)) {
        *ascii_r = arena_str(arena, domain);
        return 0;
    }
    if (!address_domain_is_valid(domain))
        return -1;
    uint8_t *ascii = NULL;
    char *utf8 = arena_cstr(arena, domain);
    if (idn2_lookup_u8((const uint8_t *)utf8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return -1;
    *ascii_r = arena_str(arena, str_from((const char *)ascii));
    idn2_free(ascii);
    return address_domain_is_valid(*ascii_r) ? 0 : -1;
}
