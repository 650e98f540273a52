// SPDX-License-Identifier: ISC
// expand.c: $-expansion of configuration values: names, defaults, and conditional expressions.
//
// Limits: CONF_EXPAND_DEPTH nested values or expressions, EXPAND_STEPS references and CONF_VALUE_MAX bytes in one
// expansion.
#include <idn2.h>

#include "lib/conf/conf_private.h"

#define EXPAND_STEPS 100000

struct expander {
    const struct conf *conf;
    struct err *err;
    unsigned depth;
    unsigned steps;
    size_t start; // length of the output before this expansion
};

static int expand_text(struct expander *x, struct str text, struct buf *out);

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t' || s.ptr[0] == '\r' || s.ptr[0] == '\n'))
        s = str_slice(s, 1, s.len);
    return s;
}

static int syntax_error(struct expander *x, const char *what, struct str where)
{
    return err_set(x->err, ERR_PERMANENT, "%s at: \"" STR_FMT "\"", what, STR_ARG(str_slice(where, 0, 100)));
}

// *rest starts with `open`: takes the text up to the matching close. False: there is none.
static bool take_group(struct str *rest, char open, char close, struct str *inside_r)
{
    size_t depth = 0;
    for (size_t i = 0; i < rest->len; i++) {
        if (rest->ptr[i] == open)
            depth++;
        else if (rest->ptr[i] == close && --depth == 0) {
            *inside_r = str_slice(*rest, 1, i);
            *rest = str_slice(*rest, i + 1, rest->len);
            return true;
        }
    }
    return false;
}

static struct str take_name(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && is_name_char(rest->ptr[len]))
        len++;
    struct str name = str_slice(*rest, 0, len);
    *rest = str_slice(*rest, len, rest->len);
    return name;
}

static int expand_name(struct expander *x, struct str name, struct buf *out)
{
    struct str value;
    if (!conf_raw(x->conf, name, &value))
        return 0;
    return expand_text(x, value, out);
}

// What follows a condition: "?text", ":text", "?{a}", ":{b}", "?{a}:{b}".
static int expand_choice(struct expander *x, struct str rest, bool is_true, struct buf *out)
{
    char sign = rest.ptr[0];
    struct str text = str_slice(rest, 1, rest.len), then, otherwise = STR("");
    struct str braced = skip_blanks(text);
    if (braced.len == 0 || braced.ptr[0] != '{')
        return (sign == '?') == is_true ? expand_text(x, text, out) : 0;
    if (!take_group(&braced, '{', '}', &then))
        return syntax_error(x, "missing \"}\"", braced);
    braced = skip_blanks(braced);
    if (sign == ':' && braced.len > 0)
        return syntax_error(x, "unexpected input", braced);
    if (sign == ':')
        return is_true ? 0 : expand_text(x, then, out);
    if (braced.len > 0 && braced.ptr[0] != ':')
        return syntax_error(x, "\":\" expected", braced);
    if (braced.len > 0) {
        otherwise = str_slice(braced, 1, braced.len);
        struct str tail = skip_blanks(otherwise);
        if (tail.len > 0 && tail.ptr[0] == '{') {
            if (!take_group(&tail, '{', '}', &otherwise))
                return syntax_error(x, "missing \"}\"", tail);
            if (skip_blanks(tail).len > 0)
                return syntax_error(x, "unexpected input", tail);
        }
    }
    return expand_text(x, is_true ? then : otherwise, out);
}

enum comparison { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GE, CMP_GT, CMP_NONE };

static enum comparison take_operator(struct str *rest, bool *is_level_r)
{
    static const struct {
        struct str text;
        enum comparison value;
    } operators[] = {{STR("=="), CMP_EQ}, {STR("!="), CMP_NE}, {STR("<="), CMP_LE},
                     {STR(">="), CMP_GE}, {STR("<"), CMP_LT},  {STR(">"), CMP_GT}};
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (!str_starts(*rest, operators[i].text))
            continue;
        *rest = str_slice(*rest, operators[i].text.len, rest->len);
        *is_level_r = str_starts(*rest, STR("level"));
        if (*is_level_r)
            *rest = str_slice(*rest, 5, rest->len);
        return operators[i].value;
    }
    return CMP_NONE;
}

static bool is_number(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

int conf_parse_level(struct str text, int64_t *level_r)
{
    int64_t level = 0, part;
    struct str rest = text, piece;
    for (int i = 0; i < 3; i++) {
        bool has_more = str_cut(&rest, '.', &piece);
        if (!is_number(piece) || str_to_i64(piece, &part) != 0 || part > 999999)
            return -1;
        level = level * 1000000 + part;
        if (has_more)
            continue;
        for (i++; i < 3; i++)
            level *= 1000000;
        *level_r = level;
        return 0;
    }
    return -1;
}

static int compare_operands(struct expander *x, struct str left, struct str right, bool is_level, int *order_r)
{
    int64_t a, b;
    if (is_level) {
        if (conf_parse_level(left, &a) != 0)
            return syntax_error(x, "malformed compatibility level syntax", left);
        if (conf_parse_level(right, &b) != 0)
            return syntax_error(x, "malformed compatibility level syntax", right);
    } else if (is_number(left) && is_number(right)) {
        if (str_to_i64(left, &a) != 0 || str_to_i64(right, &b) != 0)
            return syntax_error(x, "number out of range", left);
    } else {
        *order_r = str_compare(left, right);
        return 0;
    }
    *order_r = a < b ? -1 : a > b;
    return 0;
}

static bool comparison_holds(enum comparison comparison, int order)
{
    switch (comparison) {
    case CMP_EQ:
        return order == 0;
    case CMP_NE:
        return order != 0;
    case CMP_LT:
        return order < 0;
    case CMP_LE:
        return order <= 0;
    case CMP_GE:
        return order >= 0;
    case CMP_GT:
        return order > 0;
    case CMP_NONE:
        break;
    }
    return false;
}

static int take_operand(struct expander *x, struct str *rest, struct buf *value)
{
    struct str inside;
    *rest = skip_blanks(*rest);
    if (rest->len == 0 || rest->ptr[0] != '{' || !take_group(rest, '{', '}', &inside))
        return syntax_error(x, "\"{expression}\" expected", *rest);
    return expand_text(x, inside, value);
}

// "{left} operator {right} ..." leaves *rest behind the right operand.
static int evaluate_condition(struct expander *x, struct str *rest, bool *is_true_r)
{
    struct buf left = BUF_INIT, right = BUF_INIT;
    bool is_level = false;
    int order = 0, status = -1;
    enum comparison comparison = CMP_NONE;
    if (take_operand(x, rest, &left) != 0)
        goto out;
    *rest = skip_blanks(*rest);
    comparison = take_operator(rest, &is_level);
    if (comparison == CMP_NONE) {
        syntax_error(x, "comparison operator (== != < <= >= >) expected", *rest);
        goto out;
    }
    if (take_operand(x, rest, &right) != 0)
        goto out;
    status = compare_operands(x, buf_str(&left), buf_str(&right), is_level, &order);
    *is_true_r = comparison_holds(comparison, order);
out:
    buf_release(&left);
    buf_release(&right);
    return status;
}

// The ASCII form of a domain name; text that is none is kept as it is.
static void add_ascii_domain(struct buf *out, const struct buf *domain)
{
    uint8_t *ascii = NULL;
    const uint8_t *text = (const uint8_t *)buf_cstr(domain);
    if (str_is_ascii(buf_str(domain)))
        buf_add_lower(out, buf_str(domain));
    else if (idn2_lookup_u8(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK)
        buf_add_cstr(out, (const char *)ascii);
    else
        buf_add_str(out, buf_str(domain));
    idn2_free(ascii);
}

// The one function: ${domain_to_ascii{text}}; *rest starts at its argument.
static int expand_call(struct expander *x, struct str name, struct str rest, struct buf *out)
{
    struct str argument;
    struct buf domain = BUF_INIT;
    if (!str_is(name, STR("domain_to_ascii")))
        return syntax_error(x, "unknown function", name);
    if (!take_group(&rest, '{', '}', &argument) || skip_blanks(rest).len > 0)
        return syntax_error(x, "unexpected input", rest);
    int status = expand_text(x, argument, &domain);
    if (status == 0)
        add_ascii_domain(out, &domain);
    buf_release(&domain);
    return status;
}

// The inside of ${...} or $(...).
static int expand_braced(struct expander *x, struct str inside, struct buf *out)
{
    struct str rest = skip_blanks(inside), name = STR_NULL, value;
    bool is_true = false, is_condition = rest.len > 0 && rest.ptr[0] == '{';
    if (is_condition) {
        if (evaluate_condition(x, &rest, &is_true) != 0)
            return -1;
    } else {
        name = take_name(&rest);
        if (name.len == 0)
            return syntax_error(x, "empty macro name", inside);
        is_true = conf_raw(x->conf, name, &value) && value.len > 0;
    }
    rest = skip_blanks(rest);
    if (rest.len == 0 && !is_condition)
        return expand_name(x, name, out);
    if (rest.len > 0 && rest.ptr[0] == '{' && !is_condition)
        return expand_call(x, name, rest, out);
    if (rest.len == 0 || (rest.ptr[0] != '?' && rest.ptr[0] != ':'))
        return syntax_error(x, is_condition ? "\"?\" or \":\" expected" : "attribute name syntax error", rest);
    return expand_choice(x, rest, is_true, out);
}

// *rest starts behind the '$'.
static int expand_reference(struct expander *x, struct str *rest, struct buf *out)
{
    struct str inside, whole = *rest;
    if (++x->steps > EXPAND_STEPS)
        return err_set(x->err, ERR_PERMANENT, "more than %d $name references in one value", EXPAND_STEPS);
    char first = rest->len > 0 ? rest->ptr[0] : '\0';
    if (first == '$') {
        buf_add_char(out, '$');
        *rest = str_slice(*rest, 1, rest->len);
        return 0;
    }
    if (first == '{' || first == '(') {
        if (!take_group(rest, first, first == '{' ? '}' : ')', &inside))
            return syntax_error(x, "truncated macro reference", whole);
        return expand_braced(x, inside, out);
    }
    inside = take_name(rest);
    if (inside.len == 0)
        return syntax_error(x, "empty macro name after \"$\"", whole);
    return expand_name(x, inside, out);
}

static int expand_text(struct expander *x, struct str text, struct buf *out)
{
    if (x->depth >= CONF_EXPAND_DEPTH)
        return err_set(x->err, ERR_PERMANENT, "unreasonable macro call nesting: \"" STR_FMT "\"",
                       STR_ARG(str_slice(text, 0, 100)));
    x->depth++;
    int status = 0;
    while (status == 0 && text.len > 0) {
        long dollar = str_find(text, '$');
        size_t literal = dollar < 0 ? text.len : (size_t)dollar;
        buf_add(out, text.ptr, literal);
        text = str_slice(text, literal, text.len);
        if (text.len > 0) {
            text = str_slice(text, 1, text.len);
            status = expand_reference(x, &text, out);
        }
        if (out->len - x->start > CONF_VALUE_MAX)
            status = err_set(x->err, ERR_PERMANENT, "expanded value is longer than %d bytes", CONF_VALUE_MAX);
    }
    x->depth--;
    return status;
}

int conf_expand(const struct conf *c, struct str text, struct buf *out, struct err *err)
{
    struct expander x = {.conf = c, .err = err, .start = out->len};
    return expand_text(&x, text, out);
}
