// SPDX-License-Identifier: ISC
// table_regexp_perl.c: writes POSIX regular expressions (as the GNU C library reads them) in Perl's notation.
//
// Every special character of the output is written by this file: what is literal in the input comes out escaped.
// The C library copies what {n,m} and + repeat, and then walks through every way to skip the copies that may be empty:
// patterns with such copies are told apart here, so that it is never asked to compile them.
#include <ctype.h>

#include "lib/table/table_pattern_impl.h"

#define EXPANDED_MAX   20000 // copied characters
#define PLUS_DEPTH_MAX 4

struct atom {
    size_t start;  // in the output
    bool is_plain; // neither repeated nor with alternatives inside
    unsigned plus; // how deep "+" is nested inside
};

struct translation {
    struct buf *out;
    struct str in;
    size_t at;
    bool is_basic, has_newlines;
    struct atom *groups; // the open ones: what their insides are so far
    size_t depth, capacity;
    struct atom atom; // the last one
    bool has_atom;    // there is one that a repetition may follow
    size_t expanded;
    bool is_heavy;    // for the C library
    bool is_repeated; // it has a repetition already
};

static void start_atom(struct translation *t)
{
    t->atom = (struct atom){.start = t->out->len, .is_plain = true};
    t->has_atom = true;
    t->is_repeated = false;
}

static void put_literal(struct translation *t, char c)
{
    start_atom(t);
    if (c > 0 && !isalnum((unsigned char)c))
        buf_add_char(t->out, '\\');
    buf_add_char(t->out, c);
}

static void put_atom(struct translation *t, const char *text)
{
    start_atom(t);
    buf_add_cstr(t->out, text);
}

// Nothing stands here that could be repeated: at the start, behind an anchor, "(" or "|".
static void put_boundary(struct translation *t, const char *text)
{
    buf_add_cstr(t->out, text);
    t->has_atom = t->is_repeated = false;
}

static void open_group(struct translation *t)
{
    if (t->depth == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->groups = mem_realloc(t->groups, t->capacity * sizeof(struct atom));
    }
    t->groups[t->depth++] = (struct atom){.start = t->out->len, .is_plain = true};
    put_boundary(t, "(");
}

static void close_group(struct translation *t)
{
    if (t->depth == 0) { // an ordinary character
        put_literal(t, ')');
        return;
    }
    t->atom = t->groups[--t->depth];
    t->atom.is_plain &= t->out->len > t->atom.start + 1; // "()" may be empty
    buf_add_char(t->out, ')');
    t->has_atom = true;
    t->is_repeated = false;
    if (t->depth > 0) {
        struct atom *outer = &t->groups[t->depth - 1];
        outer->is_plain &= t->atom.is_plain;
        outer->plus = t->atom.plus > outer->plus ? t->atom.plus : outer->plus;
    }
}

// Notes what a repetition means to the C library. `copies`: the most of {n,m}; 0 for the others.
static void weigh_repetition(struct translation *t, char c, size_t copies)
{
    if (c == '{') {
        t->expanded += copies * (t->out->len - t->atom.start);
        t->is_heavy |= !t->atom.is_plain || t->expanded > EXPANDED_MAX;
    }
    t->atom.plus += c == '+';
    t->is_heavy |= t->atom.plus > PLUS_DEPTH_MAX;
    t->atom.is_plain = false;
    if (t->depth > 0) {
        struct atom *outer = &t->groups[t->depth - 1];
        outer->is_plain = false;
        outer->plus = t->atom.plus > outer->plus ? t->atom.plus : outer->plus;
    }
}

// In Perl a second repetition would change the first one's greed: it gets a group to repeat.
static void put_repetition(struct translation *t, struct str text, size_t copies)
{
    if (!t->has_atom) {
        for (size_t i = 0; i < text.len; i++)
            put_literal(t, text.ptr[i]);
        return;
    }
    weigh_repetition(t, text.ptr[0], copies);
    if (t->is_repeated) {
        size_t size = t->out->len - t->atom.start;
        buf_add_cstr(t->out, "(?:");
        memmove(t->out->ptr + t->atom.start + 3, t->out->ptr + t->atom.start, size);
        memcpy(t->out->ptr + t->atom.start, "(?:", 3);
        buf_add_char(t->out, ')');
    }
    buf_add_str(t->out, text);
    t->is_repeated = true;
}

// "{n}", "{n,}", "{n,m}", "{,m}": `t->at` is behind the brace.
static void put_interval(struct translation *t)
{
    size_t end = t->at;
    struct str inside, most;
    struct buf text = BUF_INIT;
    uint64_t copies = EXPANDED_MAX;

    while (end < t->in.len && (isdigit((unsigned char)t->in.ptr[end]) || t->in.ptr[end] == ','))
        end++;
    inside = str_slice(t->in, t->at, end);
    if (t->is_basic && end < t->in.len && t->in.ptr[end] == '\\')
        end++;
    if (inside.len == 0 || end >= t->in.len || t->in.ptr[end] != '}' || !t->has_atom) {
        put_literal(t, '{');
        return;
    }
    most = inside;
    while (str_find(most, ',') >= 0 && most.len > 1 && most.ptr[most.len - 1] != ',')
        most = str_slice(most, (size_t)str_find(most, ',') + 1, most.len);
    if (most.ptr[most.len - 1] == ',')
        most = str_slice(most, 0, most.len - 1);
    (void)str_to_u64(most, &copies);
    buf_addf(&text, "{%s" STR_FMT "}", inside.ptr[0] == ',' ? "0" : "", STR_ARG(inside));
    put_repetition(t, buf_str(&text), (size_t)(copies < EXPANDED_MAX ? copies : EXPANDED_MAX));
    buf_release(&text);
    t->at = end + 1;
}

static void put_class_byte(struct translation *t, char c)
{
    if (isalnum((unsigned char)c))
        buf_add_char(t->out, c);
    else
        buf_addf(t->out, "\\x%02x", (unsigned char)c);
}

// "[:alpha:]", "[.x.]" or "[=x=]" within a bracket expression; false: an ordinary "[".
static bool put_class_name(struct translation *t)
{
    char kind = t->at + 1 < t->in.len ? t->in.ptr[t->at + 1] : 0;
    const char close[3] = {kind, ']', 0};
    struct str rest = str_slice(t->in, t->at + 2, t->in.len);
    long length = kind == ':' || kind == '.' || kind == '=' ? str_find_str(rest, str_from(close)) : -1;

    if (length < 0)
        return false;
    if (kind == ':')
        buf_addf(t->out, "[:" STR_FMT ":]", STR_ARG(str_slice(rest, 0, (size_t)length)));
    else
        for (long i = 0; i < length; i++)
            put_class_byte(t, rest.ptr[i]);
    t->at += (size_t)length + 4;
    return true;
}

// `t->at` is behind the opening bracket.
static void put_brackets(struct translation *t)
{
    bool is_first = true;

    put_atom(t, "[");
    if (t->at < t->in.len && t->in.ptr[t->at] == '^') {
        buf_add_cstr(t->out, t->has_newlines ? "^\\n" : "^");
        t->at++;
    }
    for (; t->at < t->in.len; is_first = false) {
        char c = t->in.ptr[t->at];
        if (c == ']' && !is_first)
            break;
        if (c == '[' && put_class_name(t))
            continue;
        t->at++;
        if (c == '-' && !is_first && t->at < t->in.len && t->in.ptr[t->at] != ']')
            buf_add_char(t->out, '-'); // a range
        else
            put_class_byte(t, c);
    }
    buf_add_char(t->out, ']');
    t->at++;
}

static void put_escape(struct translation *t)
{
    char c = t->at < t->in.len ? t->in.ptr[t->at++] : '\\';
    char text[3] = {'\\', c, 0};

    if (c >= '1' && c <= '9') {
        put_atom(t, "");
        buf_addf(t->out, "\\g{%c}", c);
    } else if (c != 0 && strchr("wWsS", c) != NULL) {
        put_atom(t, text);
    } else if (c == 'b' || c == 'B') {
        put_atom(t, c == 'b' ? "(?:\\b)" : "(?:\\B)");
    } else if (c == '<') {
        put_atom(t, "(?:\\b(?=\\w))");
    } else if (c == '>') {
        put_atom(t, "(?:\\b(?<=\\w))");
    } else if (c == '`') {
        put_atom(t, "(?:\\A)");
    } else if (c == '\'') {
        put_atom(t, "(?:\\z)");
    } else {
        put_literal(t, c);
    }
}

static void put_operator(struct translation *t, char c)
{
    char text[2] = {c, 0};

    switch (c) {
    case '(':
        open_group(t);
        break;
    case ')':
        close_group(t);
        break;
    case '|':
        put_boundary(t, "|");
        if (t->depth > 0)
            t->groups[t->depth - 1].is_plain = false;
        break;
    case '{':
        put_interval(t);
        break;
    case '}':
        put_literal(t, c);
        break;
    default:
        put_repetition(t, str_from(text), 0);
    }
}

static bool starts_branch(const struct translation *t, size_t at)
{
    if (!t->is_basic || at == 0)
        return true;
    return at >= 2 && t->in.ptr[at - 2] == '\\' && strchr("(|", t->in.ptr[at - 1]) != NULL;
}

static bool ends_branch(const struct translation *t)
{
    struct str rest = str_slice(t->in, t->at, t->in.len);
    return !t->is_basic || rest.len == 0 || str_starts(rest, STR("\\)")) || str_starts(rest, STR("\\|"));
}

static void put_one(struct translation *t, char c)
{
    bool is_operator = c != 0 && strchr("(){}|+?", c) != NULL;

    if (c == '\\' && t->is_basic && t->at < t->in.len && t->in.ptr[t->at] != 0 &&
        strchr("(){}|+?", t->in.ptr[t->at]) != NULL)
        put_operator(t, t->in.ptr[t->at++]);
    else if (c == '\\')
        put_escape(t);
    else if (c == '*' || (is_operator && !t->is_basic))
        put_operator(t, c);
    else if (c == '[')
        put_brackets(t);
    else if (c == '.')
        put_atom(t, ".");
    else if (c == '^' && starts_branch(t, t->at - 1))
        put_boundary(t, "^");
    else if (c == '$' && ends_branch(t))
        put_boundary(t, "$");
    else
        put_literal(t, c);
}

bool pattern_translate(struct buf *out, struct str posix, bool is_basic, bool has_newlines)
{
    struct translation t = {.out = out, .in = posix, .is_basic = is_basic, .has_newlines = has_newlines};

    while (t.at < t.in.len) {
        char c = t.in.ptr[t.at++];
        put_one(&t, c);
    }
    mem_free(t.groups);
    return !t.is_heavy;
}
