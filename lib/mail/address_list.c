// SPDX-License-Identifier: ISC
// address_list.c: address lists of headers and command lines: mailboxes, groups, comments, source routes.
// Trust: headers come from peers. Limits: ADDRESS_LIST_MAX addresses of ADDRESS_MAX bytes; comments nest without
// recursion.
#include "lib/mail/address_spec.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

size_t address_skip_comment(struct str text, size_t at)
{
    size_t depth = 0;
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (c == '\\')
            at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0)
            return at + 1;
    }
    return text.len;
}

size_t address_skip_quoted(struct str text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '\\')
            at++;
        else if (text.ptr[at] == '"')
            return at + 1;
    }
    return text.len;
}

// ---- One addr-spec

struct spec {
    struct str text;
    size_t at;
    char *out;
    size_t len;
};

static void spec_put(struct spec *s, char c)
{
    s->out[s->len++] = c;
}

static int spec_quoted(struct spec *s)
{
    for (s->at++; s->at < s->text.len; s->at++) {
        char c = s->text.ptr[s->at];
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c == '\\' && ++s->at == s->text.len)
            return -1;
        c = s->text.ptr[s->at];
        if (c != '\r' && c != '\n')
            spec_put(s, c);
    }
    return -1;
}

static int spec_literal(struct spec *s)
{
    for (; s->at < s->text.len; s->at++) {
        char c = s->text.ptr[s->at];
        if (is_blank(c) || c == '\\' || c == '"')
            return -1;
        spec_put(s, c);
        if (c == ']') {
            s->at++;
            return 0;
        }
    }
    return -1;
}

static int spec_special(struct spec *s)
{
    char c = s->text.ptr[s->at];
    if (c == '\\') {
        if (++s->at == s->text.len)
            return -1;
        spec_put(s, s->text.ptr[s->at++]);
        return 0;
    }
    if (c == '.' || c == '@' || c == ':') {
        spec_put(s, c);
        s->at++;
        return 0;
    }
    return -1;
}

static void spec_atom(struct spec *s)
{
    while (s->at < s->text.len && address_char_is_atom(s->text.ptr[s->at]))
        spec_put(s, s->text.ptr[s->at++]);
}

int address_spec_parse(struct str text, enum address_spec_kind kind, struct arena *arena, struct str *address_r)
{
    struct spec s = {.text = text, .out = arena_alloc(arena, text.len + 1)};
    int rc = 0;
    while (rc == 0 && s.at < text.len) {
        char c = text.ptr[s.at];
        if (address_char_is_atom(c)) {
            spec_atom(&s);
        } else if (c == '"') {
            rc = spec_quoted(&s);
        } else if (c == '[') {
            rc = spec_literal(&s);
        } else if (kind == ADDRESS_SPEC_HEADER && is_blank(c)) {
            s.at++;
        } else if (kind == ADDRESS_SPEC_HEADER && c == '(') {
            s.at = address_skip_comment(text, s.at);
        } else {
            rc = spec_special(&s);
        }
    }
    *address_r = str_of(s.out, s.len);
    return rc;
}

// ---- Lists

void address_scan_init(struct address_scan *scan, struct str text)
{
    *scan = (struct address_scan){.text = text};
}

// Where the <...> that opens at `at` closes: index of '>', or text.len.
static size_t angle_end(struct str text, size_t at)
{
    while (at < text.len && text.ptr[at] != '>') {
        if (text.ptr[at] == '"')
            at = address_skip_quoted(text, at);
        else if (text.ptr[at] == '(')
            at = address_skip_comment(text, at);
        else
            at += text.ptr[at] == '\\' ? 2 : 1;
    }
    return at < text.len ? at : text.len;
}

// The bounds of one mailbox's addr-spec, and whether there is one.
struct mailbox {
    size_t from, to;
    bool is_angle;
    bool has_words;
};

static void mailbox_extend(struct mailbox *m, size_t from, size_t to)
{
    if (m->is_angle)
        return;
    if (!m->has_words)
        m->from = from;
    m->to = to;
    m->has_words = true;
}

// Index after the lexical unit at `at` when it says nothing of a list's structure, else `at`.
static size_t skip_unit(struct str text, size_t at)
{
    char c = text.ptr[at];
    if (c == '(')
        return address_skip_comment(text, at);
    if (c == '"')
        return address_skip_quoted(text, at);
    if (c == '[') { // the colons of an IPv6 literal are no group
        long close = str_find(str_slice(text, at, text.len), ']');
        return close < 0 ? text.len : at + (size_t)close + 1;
    }
    if (c == '\\')
        return at + 2 < text.len ? at + 2 : text.len;
    return c == ',' || c == ';' || c == '<' || c == ':' ? at : at + 1;
}

// Do the words at scan->at belong to a name in front of <...> or to a group's name? Looks ahead once per element.
static bool is_in_phrase(struct address_scan *scan)
{
    if (scan->at >= scan->structure_at) {
        size_t at = scan->at, next;
        while (at < scan->text.len && (next = skip_unit(scan->text, at)) > at)
            at = next;
        scan->structure_at = at < scan->text.len ? at : SIZE_MAX;
        scan->has_phrase = at < scan->text.len && (scan->text.ptr[at] == '<' || scan->text.ptr[at] == ':');
    }
    return scan->has_phrase;
}

// "a b": two addresses, unless an operator joins them or they are a name.
static bool begins_another(struct address_scan *scan, const struct mailbox *m)
{
    size_t before = scan->at, last = m->to;
    char c = scan->text.ptr[before];
    if (m->is_angle)
        return true;
    if (!m->has_words || before == last || c == '.' || c == '@' || c == ':' || c == '<')
        return false;
    char end = scan->text.ptr[last - 1];
    return end != '.' && end != '@' && !is_in_phrase(scan);
}

// Takes one lexical unit at scan->at into *m. False: the mailbox has ended.
static bool mailbox_step(struct address_scan *scan, struct mailbox *m)
{
    struct str text = scan->text;
    size_t at = scan->at;
    char c = text.ptr[at];
    if (c == ',' || c == ';') {
        scan->at++;
        return !m->has_words && !m->is_angle; // empty element: go on
    }
    if (is_blank(c)) {
        scan->at++;
    } else if (c == '(') {
        scan->at = address_skip_comment(text, at);
    } else if (begins_another(scan, m)) {
        return false;
    } else if (c == '<') {
        size_t end = angle_end(text, at + 1);
        *m = (struct mailbox){.from = at + 1, .to = end, .is_angle = true};
        scan->at = end < text.len ? end + 1 : end;
    } else if (c == ':') {
        *m = (struct mailbox){.from = 0}; // what stood before was a group's name
        scan->at++;
    } else {
        size_t next = skip_unit(text, at);
        scan->at = next > at ? next : at + 1; // a stray structural character
        mailbox_extend(m, at, scan->at);
    }
    return true;
}

static struct str trim_route(struct str spec)
{
    spec = str_trim(spec);
    long colon = spec.len > 0 && spec.ptr[0] == '@' ? str_find(spec, ':') : -1;
    return colon < 0 ? spec : str_slice(spec, (size_t)colon + 1, spec.len);
}

int address_scan_next(struct address_scan *scan, struct arena *arena, struct address_span *span_r)
{
    struct mailbox m = {0};
    while (scan->at < scan->text.len)
        if (!mailbox_step(scan, &m))
            break;
    if (!m.has_words && !m.is_angle)
        return 0;
    struct str spec = str_slice(scan->text, m.from, m.to);
    *span_r = (struct address_span){.from = m.from, .to = m.to, .is_angle = m.is_angle, .address = STR("")};
    if (spec.len <= ADDRESS_MAX &&
        address_spec_parse(trim_route(spec), ADDRESS_SPEC_HEADER, arena, &span_r->address) == 0 &&
        address_is_sane(span_r->address))
        span_r->is_valid = true;
    return 1;
}

int address_list_parse(struct str text, struct arena *arena, struct address_list *list_r, struct err *err)
{
    struct address_scan scan;
    struct address_span span;
    struct str *items = NULL;
    size_t count = 0, room = 0;
    int rc = 0;
    address_scan_init(&scan, text);
    while (rc == 0 && address_scan_next(&scan, arena, &span) > 0) {
        if (!span.is_valid) {
            rc = err_status(err, ERR_PERMANENT, "5.1.3", "malformed address in a list");
        } else if (count == ADDRESS_LIST_MAX) {
            rc = err_set(err, ERR_PERMANENT, "more than %d addresses in a list", ADDRESS_LIST_MAX);
        } else if (span.address.len > 0) {
            if (count == room) {
                room = room ? room * 2 : 8;
                items = mem_realloc(items, room * sizeof *items);
            }
            items[count++] = span.address;
        }
    }
    list_r->count = rc == 0 ? count : 0;
    list_r->items = ARENA_ARRAY(arena, struct str, count ? count : 1);
    if (count > 0)
        memcpy(list_r->items, items, count * sizeof *items);
    mem_free(items);
    return rc;
}
