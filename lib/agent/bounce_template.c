// SPDX-License-Identifier: ISC
// bounce_template.c: the texts of notifications: built in, or from bounce_template_file.
// Trust: the file is the administrator's; an unusable one is warned about and the built-in texts stand in.
#include "lib/agent/bounce_template.h"
#include "lib/agent/bounce_client.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

enum { FILE_MAX = 256 * 1024 };

static const struct bounce_template built_in[] = {
    [BOUNCE_NOTICE_FAILURE] = {STR("us-ascii"), STR(""), STR("Undelivered Mail Returned to Sender"),
                               STR("Postmaster Copy: Undelivered Mail"),
                               STR("The mail server $myhostname could not deliver your message to the\n"
                                   "addresses below. No further attempt will be made for them.\n\n"
                                   "Each address is followed by what was reported about it. A report for\n"
                                   "programs is attached, and your message or the top of it.\n\n"
                                   "If the reason tells you nothing, ask the postmaster, and include this\n"
                                   "whole report in your question.\n\n"
                                   "                        $mail_name at $myhostname\n")},
    [BOUNCE_NOTICE_DELAY] = {STR("us-ascii"), STR(""), STR("Delayed Mail (still being retried)"),
                             STR("Postmaster Warning: Delayed Mail"),
                             STR("This is only a warning: THERE IS NO NEED TO SEND YOUR MESSAGE AGAIN.\n\n"
                                 "For $delay_warning_time_hours hour(s) the mail server $myhostname has\n"
                                 "not been able to deliver your message to the addresses below. It will\n"
                                 "go on trying until the message is $maximal_queue_lifetime_days day(s) old.\n\n"
                                 "Each address is followed by what was reported about it last.\n\n"
                                 "                        $mail_name at $myhostname\n")},
    [BOUNCE_NOTICE_SUCCESS] = {STR("us-ascii"), STR(""), STR("Successful Mail Delivery Report"), STR(""),
                               STR("You asked to be told: your message was delivered to the addresses\n"
                                   "below, or handed to a mail system that sends no further reports. Where\n"
                                   "it went to a list or an alias, more reports may follow.\n\n"
                                   "                        $mail_name at $myhostname\n")},
    [BOUNCE_NOTICE_VERIFY] = {STR("us-ascii"), STR(""), STR("Mail Delivery Status Report"), STR(""),
                              STR("Here is the delivery report that you asked the mail server\n"
                                  "$myhostname for.\n\n"
                                  "                        $mail_name at $myhostname\n")},
};

// ---- The file: NAME = <<WORD, header lines, an empty line, the body, WORD.

const char *const bounce_template_names[BOUNCE_TEMPLATE_COUNT] = {
    [BOUNCE_NOTICE_FAILURE] = "failure",
    [BOUNCE_NOTICE_DELAY] = "delay",
    [BOUNCE_NOTICE_SUCCESS] = "success",
    [BOUNCE_NOTICE_VERIFY] = "verify",
};

static int notice_of(struct str name)
{
    if (!str_ends(name, STR("_template")))
        return -1;
    name.len -= strlen("_template");
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++)
        if (str_is(name, str_from(bounce_template_names[i])))
            return i;
    return -1;
}

static void take_header_line(struct bounce_template *t, struct str line)
{
    struct str value = line, name;
    if (!str_cut(&value, ':', &name))
        return;
    value = str_trim(value);
    if (str_is_nocase(name, STR("Charset")))
        t->charset = value;
    else if (str_is_nocase(name, STR("From")))
        t->from = value;
    else if (str_is_nocase(name, STR("Subject")))
        t->subject = value;
    else if (str_is_nocase(name, STR("Postmaster-Subject")))
        t->postmaster_subject = value;
}

static struct bounce_template parse_one(struct str text)
{
    struct bounce_template t = {STR("us-ascii"), STR(""), STR(""), STR(""), STR("")};
    struct str line;
    while (text.len > 0) {
        (void)str_cut(&text, '\n', &line);
        if (str_trim(line).len == 0)
            break;
        take_header_line(&t, line);
    }
    t.body = text;
    return t;
}

// Cuts the text up to the line that is `end` alone. False: there is none.
static bool cut_here_document(struct str *rest, struct str end, struct str *text_r)
{
    const char *begin = rest->ptr;
    struct str line;
    while (rest->len > 0) {
        const char *line_begin = rest->ptr;
        (void)str_cut(rest, '\n', &line);
        if (str_is(str_trim(line), end)) {
            *text_r = str_of(begin, (size_t)(line_begin - begin));
            return true;
        }
    }
    return false;
}

bool bounce_templates_parse(struct bounce_templates *t, struct str text, struct arena *arena, struct err *err)
{
    text = arena_str(arena, text);
    struct str line, name, end, body;
    while (text.len > 0) {
        (void)str_cut(&text, '\n', &line);
        end = str_trim(line);
        if (end.len == 0 || end.ptr[0] == '#')
            continue;
        if (!str_cut(&end, '=', &name) || !str_starts(str_trim(end), STR("<<")))
            return err_set(err, ERR_PERMANENT, "expected NAME = <<WORD, found: " STR_FMT, STR_ARG(line)) == 0;
        end = str_trim(str_slice(str_trim(end), 2, end.len));
        int notice = notice_of(str_trim(name));
        if (notice < 0 || end.len == 0)
            return err_set(err, ERR_PERMANENT, "unknown template: " STR_FMT, STR_ARG(name)) == 0;
        if (!cut_here_document(&text, end, &body))
            return err_set(err, ERR_PERMANENT, "template without end: " STR_FMT, STR_ARG(name)) == 0;
        struct bounce_template one = parse_one(body);
        if (str_is_nocase(one.charset, STR("us-ascii")) && !str_is_ascii(body))
            log_warn("8-bit message text in %s template, whose charset is us-ascii: the built-in one is used",
                     bounce_template_names[notice]);
        else
            t->of[notice] = one;
    }
    return true;
}

// ---- Expansion

static bool is_used(const struct bounce_templates *t, struct str name)
{
    bool found = false;
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++)
        found |= str_find_str(t->of[i].body, name) >= 0;
    return found;
}

static void define_times(const struct bounce_templates *t, struct conf *conf, const char *parameter, int64_t seconds)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"seconds", 1}, {"minutes", 60}, {"hours", 3600}, {"days", 86400}, {"weeks", 604800}};
    struct buf name = BUF_INIT, value = BUF_INIT;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        buf_clear(&name);
        buf_clear(&value);
        buf_addf(&name, "%s_%s", parameter, units[i].name);
        int64_t rounded = (seconds + units[i].seconds / 2) / units[i].seconds;
        if (rounded == 0 && seconds > 0 && is_used(t, buf_str(&name)))
            log_warn("zero result in delay template conversion of parameter \"%s\"", buf_cstr(&name));
        buf_add_u64(&value, (uint64_t)rounded);
        (void)conf_override(conf, buf_str(&name), buf_str(&value));
    }
    buf_release(&name);
    buf_release(&value);
}

static void expand_body(struct bounce_template *t, struct conf *conf, struct arena *arena)
{
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (conf_expand(conf, t->body, &out, &err) < 0)
        log_warn("cannot expand a notification's text: %s", err.text);
    else
        t->body = arena_str(arena, buf_str(&out));
    buf_release(&out);
}

void bounce_templates_read(struct bounce_templates *t, const char *path, struct arena *arena)
{
    memcpy(t->of, built_in, sizeof built_in);
    if (path[0] == '\0')
        return;
    struct buf text = BUF_INIT;
    struct err err = ERR_INIT;
    if (sys_read_file(path, FILE_MAX, &text, &err) < 0 || !bounce_templates_parse(t, buf_str(&text), arena, &err)) {
        log_warn("bounce_template_file: %s; the built-in texts are used", err.text);
        memcpy(t->of, built_in, sizeof built_in);
    }
    buf_release(&text);
}

void bounce_templates_expand(struct bounce_templates *t, struct conf *conf, const struct settings *settings,
                             struct arena *arena)
{
    define_times(t, conf, "delay_warning_time", settings->delay_warning_time);
    define_times(t, conf, "maximal_queue_lifetime", settings->maximal_queue_lifetime);
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++)
        expand_body(&t->of[i], conf, arena);
}

void bounce_templates_load(struct bounce_templates *t, struct conf *conf, const struct settings *settings,
                           struct arena *arena)
{
    const struct str path = settings->bounce_template_file;
    bounce_templates_read(t, path.len > 0 ? path.ptr : "", arena);
    bounce_templates_expand(t, conf, settings, arena);
}
