// SPDX-License-Identifier: ISC
// sendmail_options.c: the command line of sendmail, mailq and newaliases.
//
// Trust: arguments come from programs that pass on what strangers typed: everything is checked or carried as data.
#include "commands/sendmail.h"

// Letters that take an argument (attached, or the next word), and letters that take none.
static const char with_argument[] = "ABCFLNORXbefhopr";
static const char without_argument[] = "GIUcimtvxn";

struct parser {
    int argc, at;
    char *const *argv;
    struct sendmail_options *o;
    struct err *err;
};

static bool has_letter(const char *letters, char c)
{
    return c != '\0' && strchr(letters, c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int set_mode(struct parser *p, struct str value)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {{'d', SENDMAIL_DAEMON},  {'l', SENDMAIL_DAEMON},  {'h', SENDMAIL_NOTHING}, {'H', SENDMAIL_NOTHING},
                 {'i', SENDMAIL_ALIASES}, {'m', SENDMAIL_ENQUEUE}, {'p', SENDMAIL_LIST},    {'s', SENDMAIL_STANDALONE}};
    char letter = value.len > 0 ? value.ptr[0] : '\0';
    if (letter == 'v') {
        p->o->mode = SENDMAIL_ENQUEUE;
        p->o->trace_flags |= TRACE_PROBE;
        return 0;
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (modes[i].letter == letter) {
            p->o->mode = modes[i].mode;
            return 0;
        }
    return err_set(p->err, ERR_PERMANENT, "unsupported: -b" STR_FMT, STR_ARG(value));
}

static void warn(struct parser *p, const char *what, struct str value)
{
    buf_addf(&p->o->warnings, "%s: " STR_FMT "\n", what, STR_ARG(value));
}

static void set_notify(struct parser *p, struct str value)
{
    static const struct {
        struct str word;
        int flag;
    } words[] = {{STR("success"), NOTIFY_SUCCESS}, {STR("failure"), NOTIFY_FAILURE}, {STR("delay"), NOTIFY_DELAY}};
    struct str rest = value, word;
    int flags = 0;
    if (str_is_nocase(value, STR("never"))) {
        p->o->notify = NOTIFY_NEVER;
        return;
    }
    while (str_token(&rest, ", ", &word)) {
        int flag = 0;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (str_is_nocase(word, words[i].word))
                flag = words[i].flag;
        if (flag == 0) {
            warn(p, "bad -N option value -- ignored", value);
            return;
        }
        flags |= flag;
    }
    p->o->notify = flags;
}

static void set_ret(struct parser *p, struct str value)
{
    if (str_is_nocase(value, STR("full")))
        p->o->ret_flags = 1;
    else if (str_is_nocase(value, STR("hdrs")))
        p->o->ret_flags = 2;
    else
        warn(p, "bad -R option value -- ignored", value);
}

static int set_encoding(struct parser *p, struct str value)
{
    if (str_is_nocase(value, STR("8BITMIME")))
        p->o->encoding = STR("8bit");
    else if (str_is_nocase(value, STR("7BIT")))
        p->o->encoding = STR("7bit");
    else
        return err_set(p->err, ERR_PERMANENT, "-B option needs 7BIT or 8BITMIME");
    return 0;
}

static int set_sendopt(struct parser *p, struct str value)
{
    struct str rest = value, name;
    if (!str_cut(&rest, '=', &name))
        return 0;
    int flag = str_is_nocase(name, STR("REQUIRETLS")) ? SENDOPT_REQUIRETLS
               : str_is_nocase(name, STR("SMTPUTF8")) ? SENDOPT_SMTPUTF8
                                                      : 0;
    if (flag == 0) // other options of other mailers
        return 0;
    if (str_is_nocase(rest, STR("yes")))
        p->o->sendopts |= flag;
    else if (str_is_nocase(rest, STR("no")))
        p->o->sendopts &= ~flag;
    else
        return err_set(p->err, ERR_PERMANENT, "bad -O option value: " STR_FMT, STR_ARG(value));
    return 0;
}

static int set_other(struct parser *p, struct str value)
{
    char letter = value.len > 0 ? value.ptr[0] : '\0';
    if (letter == 'i')
        p->o->keeps_dot = true;
    else if (letter == 'A' && value.len > 1)
        p->o->alias_file = str_slice(value, 1, value.len);
    return 0;
}

static int set_verp(struct parser *p, struct str value)
{
    if (value.len == 0 || value.ptr[0] != 'V')
        return err_set(p->err, ERR_PERMANENT, "unsupported: -X" STR_FMT, STR_ARG(value));
    if (value.len != 1 && value.len != 3)
        return err_set(p->err, ERR_PERMANENT, "-XV needs no or two delimiter characters");
    p->o->verp = str_slice(value, 1, value.len);
    return 0;
}

// -V envid; two characters mean VERP, as they did before DSN existed.
static void set_envelope_id(struct parser *p, struct str attached)
{
    struct str value = attached;
    bool is_word = attached.len == 0;
    if (is_word && p->at < p->argc)
        value = str_from(p->argv[p->at]);
    if (value.len == 2 || value.len == 0) {
        warn(p, "option -V is deprecated with Postfix 2.3; specify -XV instead", value);
        p->o->verp = is_word ? STR("") : value; // a separate word stays a recipient
        return;
    }
    if (is_word)
        p->at++;
    if (value.len > 100 || !str_is_printable(value))
        warn(p, "bad -V option value (at most 100 printable characters) -- ignored", value);
    else
        p->o->envelope_id = value;
}

static int set_queue_run(struct parser *p, struct str value)
{
    struct sendmail_options *o = p->o;
    char letter = value.len > 0 ? value.ptr[0] : '\0';
    if (is_digit(letter)) { // a queue run interval: the queue manager has its own
        if (o->mode != SENDMAIL_DAEMON)
            o->mode = SENDMAIL_NOTHING;
        return 0;
    }
    o->mode = SENDMAIL_FLUSH;
    o->flush_what = letter == 'I' ? STR("-i") : letter == 'R' ? STR("-s") : STR("-f");
    o->flush_arg = str_slice(value, 1, value.len);
    if (letter == '\0' || ((letter == 'I' || letter == 'R') && o->flush_arg.len > 0))
        return 0;
    return err_set(p->err, ERR_PERMANENT, "-q" STR_FMT " is not implemented", STR_ARG(value));
}

static int apply_flag(struct parser *p, char letter)
{
    struct sendmail_options *o = p->o;
    if (letter == 'n')
        return err_set(p->err, ERR_PERMANENT, "-n option not supported");
    if (letter == 'G')
        o->is_gateway = true;
    else if (letter == 'I')
        o->mode = SENDMAIL_ALIASES;
    else if (letter == 'i')
        o->keeps_dot = true;
    else if (letter == 't')
        o->extracts = true;
    else if (letter == 'v')
        o->verbose++;
    return 0; // U c m x mean nothing here
}

static int apply_option(struct parser *p, char letter, struct str value)
{
    struct sendmail_options *o = p->o;
    switch (letter) {
    case 'B':
        return set_encoding(p, value);
    case 'C':
        o->config_dir = str_ends(value, STR("main.cf")) ? str_slice(value, 0, value.len - 7) : value;
        while (o->config_dir.len > 1 && str_ends(o->config_dir, STR("/")))
            o->config_dir.len--;
        return 0;
    case 'F':
        o->fullname = value;
        return 0;
    case 'N':
        set_notify(p, value);
        return 0;
    case 'O':
        return set_sendopt(p, value);
    case 'R':
        set_ret(p, value);
        return 0;
    case 'X':
        return set_verp(p, value);
    case 'b':
        return set_mode(p, value);
    case 'f':
    case 'r':
        o->sender = value;
        return 0;
    case 'o':
        return set_other(p, value);
    default: // A L e h p mean nothing here
        return 0;
    }
}

// One word that starts with '-': several flags may share it.
static int parse_word(struct parser *p, struct str word)
{
    for (size_t i = 1; i < word.len; i++) {
        char letter = word.ptr[i];
        struct str value = str_slice(word, i + 1, word.len);
        if (has_letter(without_argument, letter)) {
            if (apply_flag(p, letter) != 0)
                return -1;
            continue;
        }
        if (letter == 'q')
            return set_queue_run(p, value);
        if (letter == 'V') {
            set_envelope_id(p, value);
            return 0;
        }
        if (!has_letter(with_argument, letter))
            return err_set(p->err, ERR_PERMANENT, "unknown option -%c: usage: sendmail [options] [recipient ...]",
                           letter);
        if (value.len == 0) {
            if (p->at >= p->argc)
                return err_set(p->err, ERR_PERMANENT, "option -%c needs an argument", letter);
            value = str_from(p->argv[p->at++]);
        }
        return apply_option(p, letter, value);
    }
    return 0;
}

static int check_combination(const struct sendmail_options *o, struct err *err)
{
    static const struct {
        enum sendmail_mode mode;
        const char *text;
    } alone[] = {{SENDMAIL_DAEMON, "daemon mode"},
                 {SENDMAIL_ALIASES, "alias initialization mode"},
                 {SENDMAIL_LIST, "display queue mode"},
                 {SENDMAIL_STANDALONE, "stand-alone mode"},
                 {SENDMAIL_FLUSH, "flush queue mode"}};
    for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
        if (o->mode == alone[i].mode && o->recipient_count > 0)
            return err_set(err, ERR_PERMANENT, "%s requires no recipient", alone[i].text);
    if (o->trace_flags & TRACE_PROBE) {
        if (o->extracts)
            return err_set(err, ERR_PERMANENT, "-t option cannot be used with -bv");
        if (o->notify != 0)
            return err_set(err, ERR_PERMANENT, "-N option cannot be used with -bv");
        if (o->ret_flags != 0)
            return err_set(err, ERR_PERMANENT, "-R option cannot be used with -bv");
        if (o->verbose == 1)
            return err_set(err, ERR_PERMANENT, "-v option cannot be used with -bv");
    }
    return 0;
}

int sendmail_options_parse(int argc, char *const *argv, struct arena *arena, struct sendmail_options *o_r,
                           struct err *err)
{
    struct parser p = {argc, 1, argv, o_r, err};
    bool only_recipients = false;
    *o_r = (struct sendmail_options){.mode = SENDMAIL_ENQUEUE};
    o_r->recipients = ARENA_ARRAY(arena, struct str, (size_t)argc + 1);
    const char *name = argc > 0 ? argv[0] : "sendmail", *slash = strrchr(name, '/');
    name = slash != NULL ? slash + 1 : name;
    if (strcmp(name, "mailq") == 0)
        o_r->mode = SENDMAIL_LIST;
    else if (strcmp(name, "newaliases") == 0)
        o_r->mode = SENDMAIL_ALIASES;
    else if (strcmp(name, "smtpd") == 0)
        o_r->mode = SENDMAIL_DAEMON;
    while (p.at < argc) {
        struct str word = str_from(argv[p.at++]);
        if (only_recipients || word.len < 2 || word.ptr[0] != '-')
            o_r->recipients[o_r->recipient_count++] = word;
        else if (str_is(word, STR("--")))
            only_recipients = true;
        else if (parse_word(&p, word) != 0)
            return -1;
    }
    if (o_r->verbose == 1 && o_r->mode == SENDMAIL_ENQUEUE && !(o_r->trace_flags & TRACE_PROBE))
        o_r->trace_flags |= TRACE_RECORD;
    return check_combination(o_r, err);
}
