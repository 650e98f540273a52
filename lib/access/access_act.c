// SPDX-License-Identifier: ISC
// access_act.c: what an entry of an access table, or the answer of a policy server, does to the walk.
// Suspends: a list of restrictions as an action.
#include "lib/access/access_action.h"
#include "lib/access/access_impl.h"
#include "lib/mail/header.h"

#define OTHERWISE(text, otherwise) ((text).len > 0 ? (text) : STR(otherwise))

// The text in a log line: "<name>: CLASS text".
static struct str about(struct access_walk *w, const struct access_subject *subject, struct str text)
{
    return arena_strf(w->arena, "<" STR_FMT ">: %s " STR_FMT, STR_ARG(subject->name), subject->class, STR_ARG(text));
}

// Some actions have no meaning before there is a message.
static bool is_available(struct access_walk *w, const struct access_action *a)
{
    bool is_early = w->stage == ACCESS_CONNECT || w->stage == ACCESS_HELO || w->stage == ACCESS_ETRN;
    if (!is_early && (a->kind != ACTION_PREPEND || w->stage != ACCESS_END_OF_DATA))
        return true;
    log_warn("access table " STR_FMT ": action " STR_FMT " is not available in %s", STR_ARG(w->table), STR_ARG(a->word),
             w->parameter);
    return false;
}

static void add(struct access_walk *w, enum access_effect_kind kind, const char *verb, struct str text)
{
    struct access_effect *e = access_add_effect(w, kind, verb);
    e->text = arena_str(w->arena, text);
}

static enum access_word misused(struct access_walk *w, const struct access_action *a, const char *wanted)
{
    log_warn("access table " STR_FMT " entry \"" STR_FMT "\" has " STR_FMT " action without %s", STR_ARG(w->table),
             STR_ARG(w->key), STR_ARG(a->word), wanted);
    return ACCESS_NEXT;
}

// FILTER, REDIRECT, BCC: something with a value.
static enum access_word act_with_value(struct access_walk *w, const struct access_action *a,
                                       const struct access_subject *subject, enum access_effect_kind kind)
{
    static const char *const verbs[] = {
        [ACCESS_FILTER] = "filter", [ACCESS_REDIRECT] = "redirect", [ACCESS_BCC] = "bcc"};
    static const char *const names[] = {
        [ACCESS_FILTER] = "FILTER", [ACCESS_REDIRECT] = "REDIRECT", [ACCESS_BCC] = "BCC"};
    if (!is_available(w, a))
        return ACCESS_NEXT;
    if (a->text.len == 0)
        return misused(w, a, kind == ACCESS_FILTER ? "transport:destination value" : "user@domain value");
    if (kind == ACCESS_FILTER ? str_find(a->text, ':') < 0 : str_find(a->text, '@') < 0)
        return misused(w, a, kind == ACCESS_FILTER ? "transport:destination" : "user@domain");
    add(w, kind, verbs[kind],
        about(w, subject, arena_strf(w->arena, "triggers %s " STR_FMT, names[kind], STR_ARG(a->text))));
    w->verdict->effects[w->verdict->effect_count - 1].value = arena_str(w->arena, a->text);
    return ACCESS_NEXT;
}

static enum access_word act_prepend(struct access_walk *w, const struct access_action *a)
{
    struct str name, rest;
    if (!is_available(w, a))
        return ACCESS_NEXT;
    if (a->text.len == 0)
        return misused(w, a, "header text");
    if (!header_split(a->text, &name, &rest))
        return misused(w, a, "a header label and a colon in front");
    add(w, ACCESS_PREPEND, NULL, STR(""));
    w->verdict->effects[w->verdict->effect_count - 1].value = arena_str(w->arena, a->text);
    return ACCESS_NEXT;
}

static enum access_word act_on_message(struct access_walk *w, const struct access_action *a,
                                       const struct access_subject *subject) CO
{
    if (!is_available(w, a))
        return ACCESS_NEXT;
    if (a->kind == ACTION_HOLD) {
        add(w, ACCESS_HOLD, "hold", about(w, subject, OTHERWISE(a->text, "triggers HOLD action")));
        return ACCESS_NEXT;
    }
    add(w, ACCESS_DROP, "discard", about(w, subject, OTHERWISE(a->text, "triggers DISCARD action")));
    access_log_permit(w, a->word, subject);
    w->session->is_dropping = strcmp(w->facts->state, "VRFY") != 0;
    return ACCESS_PERMIT;
}

static enum access_word act_list(struct access_walk *w, struct str text, const struct access_subject *subject) CO
{
    struct access_source source = {.list = w->list, .parameter = w->parameter, .may_open = false, .arena = w->arena};
    struct access_subject outer = w->subject;
    struct access_list list;
    if (str_find(text, ':') >= 0) { // tables and servers are opened before the jail: only those of main.cf are
        log_warn("access table " STR_FMT " entry \"" STR_FMT "\" asks for a table or server: \"" STR_FMT
                 "\": use a restriction class",
                 STR_ARG(w->table), STR_ARG(w->key), STR_ARG(text));
        return access_refuse_config(w);
    }
    if (w->depth >= ACCESS_DEPTH_MAX) {
        log_warn("access tables are too deeply nested: " STR_FMT, STR_ARG(text));
        return access_refuse_config(w);
    }
    access_compile(w->access, &source, text, &list);
    w->depth++;
    w->subject = *subject; // refusals speak of what the table was asked about
    enum access_word word = access_walk_list(w, &list);
    w->subject = outer;
    w->depth--;
    return word;
}

void access_log_permit(struct access_walk *w, struct str action, const struct access_subject *subject)
{
    struct err err = ERR_INIT;
    int wanted = w->access->permit_actions == NULL ? 0 : match_list_has(w->access->permit_actions, action, &err);
    if (wanted < 0)
        log_warn("smtpd_log_access_permit_actions: %s", err.text);
    if (wanted <= 0)
        return;
    struct str from = w->table.len > 0 ? arena_strf(w->arena, "from " STR_FMT, STR_ARG(w->table)) : STR("");
    add(w, ACCESS_LOG, "permit",
        arena_strf(w->arena, "action=" STR_FMT " for %s=" STR_FMT " " STR_FMT, STR_ARG(action), subject->class,
                   STR_ARG(subject->name), STR_ARG(from)));
}

enum access_word access_act(struct access_walk *w, struct str value, const struct access_subject *subject)
{
    const struct settings *set = w->access->settings;
    struct access_action a;
    access_action_parse(arena_str(w->arena, value), &a);
    const char *status = a.status[0] != '\0' ? a.status : "4.7.1";
    struct str denied = OTHERWISE(a.text, "Access denied"), unavailable = OTHERWISE(a.text, "Service unavailable");
    switch (a.kind) {
    case ACTION_OK:
        access_log_permit(w, a.word, subject);
        return ACCESS_PERMIT;
    case ACTION_DUNNO:
        return ACCESS_NEXT;
    case ACTION_REJECT:
        return access_refuse(w, subject, REPLY(set->access_map_reject_code, status), STR_FMT, STR_ARG(denied));
    case ACTION_DEFER:
        return access_refuse(w, subject, REPLY(set->access_map_defer_code, status), STR_FMT, STR_ARG(denied));
    case ACTION_CODE:
        return access_refuse(w, subject, REPLY(a.code, status), STR_FMT, STR_ARG(denied));
    case ACTION_DEFER_IF_PERMIT:
        return access_defer_if_permit(w, subject, REPLY(set->access_map_defer_code, status), STR_FMT,
                                      STR_ARG(unavailable));
    case ACTION_DEFER_IF_REJECT:
        return access_defer_if_reject(w, subject, REPLY(set->access_map_defer_code, status), STR_FMT,
                                      STR_ARG(unavailable));
    case ACTION_HANGUP:
        return access_hang_up(w, a.text);
    case ACTION_INFO:
        add(w, ACCESS_LOG, "info", a.text);
        return ACCESS_NEXT;
    case ACTION_WARN:
        add(w, ACCESS_LOG, "warn", a.text);
        return ACCESS_NEXT;
    case ACTION_HOLD:
    case ACTION_DISCARD:
        return act_on_message(w, &a, subject);
    case ACTION_FILTER:
        return act_with_value(w, &a, subject, ACCESS_FILTER);
    case ACTION_REDIRECT:
        return act_with_value(w, &a, subject, ACCESS_REDIRECT);
    case ACTION_BCC:
        return act_with_value(w, &a, subject, ACCESS_BCC);
    case ACTION_PREPEND:
        return act_prepend(w, &a);
    case ACTION_LIST:
        return act_list(w, a.text, subject);
    }
    return ACCESS_NEXT;
}
