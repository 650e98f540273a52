// SPDX-License-Identifier: ISC
// smtp_reply.c: gathers a server's reply and reads what it says.
// Trust: the server is hostile; text is made printable before it is kept.
#include "smtp/smtp_reply.h"

#include "lib/mail/smtp_syntax.h"

#define CODE_PREFIX 4 // "250-"

void smtp_reply_clear(struct smtp_reply *r)
{
    r->code = 0;
    r->lines = 0;
    r->is_malformed = false;
    buf_clear(&r->text);
}

void smtp_reply_release(struct smtp_reply *r)
{
    buf_release(&r->text);
}

int smtp_reply_add_line(struct smtp_reply *r, struct raw line)
{
    struct str text;
    int code;
    bool is_last;

    if (smtp_reply_line_parse(raw_unchecked(line), &code, &is_last, &text) < 0 || r->lines == SMTP_REPLY_LINES_MAX) {
        r->is_malformed = true;
        return -1;
    }
    r->lines++;
    if (r->text.len < SMTP_REPLY_KEPT) {
        buf_add_printable(&r->text, str_trim(raw_unchecked(line)), SMTP_REPLY_KEPT - r->text.len);
        buf_add_char(&r->text, '\n');
    }
    r->code = code; // of several, the last one counts
    return is_last;
}

struct str smtp_reply_joined(const struct smtp_reply *r, struct arena *arena)
{
    struct str text = str_trim(buf_str(&r->text));
    char *copy = arena_cstr(arena, text);

    for (size_t i = 0; i < text.len; i++)
        if (copy[i] == '\n')
            copy[i] = ' ';
    return str_of(copy, text.len);
}

struct str smtp_reply_dsn(const struct smtp_reply *r, char class, struct arena *arena)
{
    struct str line, rest = buf_str(&r->text), status, after;
    bool has_own = false;

    str_cut(&rest, '\n', &line);
    if (line.len > CODE_PREFIX)
        has_own = smtp_enhanced_status(str_slice(line, CODE_PREFIX, line.len), &status, &after);
    if (!has_own || status.ptr[0] != (char)('0' + r->code / 100))
        return arena_strf(arena, "%c.0.0", class);
    return arena_strf(arena, "%c" STR_FMT, class, STR_ARG(str_slice(status, 1, status.len)));
}

static unsigned xforward_features(struct str words)
{
    static const struct {
        const char *name;
        unsigned feature;
    } names[] = {{"NAME", SMTP_HAS_XFORWARD_NAME},    {"ADDR", SMTP_HAS_XFORWARD_ADDR},
                 {"PORT", SMTP_HAS_XFORWARD_PORT},    {"PROTO", SMTP_HAS_XFORWARD_PROTO},
                 {"HELO", SMTP_HAS_XFORWARD_HELO},    {"IDENT", SMTP_HAS_XFORWARD_IDENT},
                 {"SOURCE", SMTP_HAS_XFORWARD_SOURCE}};
    unsigned found = 0;
    struct str word;

    while (str_token(&words, " \t", &word))
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (str_is_nocase(word, str_from(names[i].name)))
                found |= names[i].feature;
    return found;
}

static bool is_listed(struct str list, struct str word)
{
    struct str item;

    while (str_token(&list, ", \t\r\n", &item))
        if (str_is_nocase(item, word))
            return true;
    return false;
}

static unsigned keyword_feature(struct str keyword, struct str arguments, int64_t *size_limit_r)
{
    static const struct {
        const char *name;
        unsigned feature;
    } names[] = {{"PIPELINING", SMTP_HAS_PIPELINING}, {"8BITMIME", SMTP_HAS_8BITMIME}, {"DSN", SMTP_HAS_DSN},
                 {"SMTPUTF8", SMTP_HAS_SMTPUTF8},     {"STARTTLS", SMTP_HAS_STARTTLS}, {"AUTH", SMTP_HAS_AUTH},
                 {"REQUIRETLS", SMTP_HAS_REQUIRETLS}};
    struct str word;
    int64_t limit;

    if (str_is_nocase(keyword, STR("SIZE"))) {
        if (str_token(&arguments, " \t", &word) && str_to_i64(word, &limit) == 0 && limit > 0)
            *size_limit_r = limit;
        return SMTP_HAS_SIZE;
    }
    if (str_is_nocase(keyword, STR("XFORWARD")))
        return xforward_features(arguments);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is_nocase(keyword, str_from(names[i].name)))
            return names[i].feature;
    return 0;
}

unsigned smtp_reply_features(const struct smtp_reply *r, struct str discard, int64_t *size_limit_r)
{
    struct str line, keyword, rest = buf_str(&r->text);
    unsigned features = 0;

    *size_limit_r = 0;
    str_cut(&rest, '\n', &line); // the greeting
    while (rest.len > 0) {
        str_cut(&rest, '\n', &line);
        line = str_slice(line, CODE_PREFIX, line.len);
        if (str_starts_nocase(line, STR("AUTH="))) // an old spelling
            line = STR("AUTH");
        if (str_token(&line, " \t", &keyword) && !is_listed(discard, keyword))
            features |= keyword_feature(keyword, line, size_limit_r);
    }
    return features;
}

static void add_new_words(struct buf *list, struct str words)
{
    struct str word, known;

    while (str_token(&words, " \t", &word)) {
        struct str all = buf_str(list);
        bool is_new = true;
        while (is_new && str_token(&all, " ", &known))
            is_new = !str_is_nocase(known, word);
        if (is_new)
            buf_addf(list, "%s" STR_FMT, list->len > 0 ? " " : "", STR_ARG(word));
    }
}

void smtp_reply_add_mechanisms(const struct smtp_reply *r, struct buf *list)
{
    struct str line, rest = buf_str(&r->text);

    str_cut(&rest, '\n', &line); // the greeting
    while (rest.len > 0) {
        str_cut(&rest, '\n', &line);
        line = str_slice(line, CODE_PREFIX, line.len);
        if (str_starts_nocase(line, STR("AUTH ")) || str_starts_nocase(line, STR("AUTH="))) // often both
            add_new_words(list, str_slice(line, 5, line.len));
    }
}

struct str smtp_reply_first_word(const struct smtp_reply *r)
{
    struct str line, word = STR(""), rest = buf_str(&r->text);

    str_cut(&rest, '\n', &line);
    line = str_slice(line, CODE_PREFIX, line.len);
    (void)str_token(&line, " \t", &word);
    return word;
}
