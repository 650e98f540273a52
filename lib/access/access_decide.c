// SPDX-License-Identifier: ISC
// access_decide.c: which lists a protocol stage runs, and the walk through one list.
// Suspends: in the judges.
#include "lib/access/access_impl.h"

// ---- One list

static const char *result_name(enum access_word word, bool is_temporary)
{
    return word == ACCESS_PERMIT ? "permit" : word == ACCESS_NEXT ? "next" : is_temporary ? "defer" : "reject";
}

static void trace_step(struct access_walk *w, const struct access_rule *r, enum access_word word, size_t effects_before)
{
    struct access_trace *t = w->session->trace;
    const struct access_verdict *v = w->verdict;
    if (t == NULL)
        return;
    if (t->count == t->capacity) {
        t->capacity = t->capacity > 0 ? t->capacity * 2 : 16;
        t->steps = mem_realloc(t->steps, t->capacity * sizeof(*t->steps));
    }
    struct access_reason reason = access_reason_now(w);
    struct access_step step = {.parameter = w->parameter,
                               .depth = w->depth,
                               .position = r->position,
                               .restriction = reason.restriction,
                               .table = w->table,
                               .key = w->key,
                               .result = result_name(word, v->code / 100 == 4)};
    if (word == ACCESS_DENY && v->outcome == ACCESS_HANGUP)
        step.result = "hangup";
    if (w->is_skipped)
        step.result = "skipped";
    if (word == ACCESS_DENY)
        step.text = arena_strf(w->arena, "%d %s %s", v->code, v->status, v->text);
    else if (v->effect_count > effects_before && v->effects[v->effect_count - 1].verb != NULL)
        step.text = arena_strf(w->arena, "%s: " STR_FMT, v->effects[v->effect_count - 1].verb,
                               STR_ARG(v->effects[v->effect_count - 1].text));
    t->steps[t->count++] = step;
}

static enum access_word judge_unknown(struct access_walk *w, const struct access_rule *r)
{
    log_warn("unknown smtpd restriction: \"" STR_FMT "\"", STR_ARG(r->word));
    return access_refuse_config(w);
}

static enum access_word judge_class(struct access_walk *w, const struct access_rule *r) CO
{
    if (w->depth >= ACCESS_DEPTH_MAX) {
        log_warn("smtpd access lists are too deeply nested: " STR_FMT, STR_ARG(r->word));
        return access_refuse_config(w);
    }
    w->depth++;
    enum access_word word = access_walk_list(w, r->class);
    w->depth--;
    return word;
}

static bool has_argument(const struct access_rule *r)
{
    return r->keyword->argument == ARGUMENT_NONE || r->argument.len > 0;
}

static bool needs_network(const struct access_rule *r)
{
    static const char *const types[] = {
        "proxy:", "ldap:", "mysql:", "pgsql:", "redis:", "memcache:", "tcp:", "socketmap:"};
    for (size_t i = 0; r->table != NULL && i < sizeof(types) / sizeof(types[0]); i++)
        if (str_starts(table_name(r->table), str_from(types[i])))
            return true;
    return r->keyword->ahead != NULL;
}

static enum access_word judge_rule(struct access_walk *w, const struct access_rule *r) CO
{
    static const char *const wanted[] = {[ARGUMENT_TABLE] = "maptype:mapname",
                                         [ARGUMENT_DOMAIN] = "domain name",
                                         [ARGUMENT_SERVICE] = "service name",
                                         [ARGUMENT_SECONDS] = "time value"};
    if (r->class != NULL)
        return judge_class(w, r);
    if (r->keyword == NULL)
        return judge_unknown(w, r);
    if (!has_argument(r)) {
        log_warn("restriction " STR_FMT " requires %s argument", STR_ARG(r->word), wanted[r->keyword->argument]);
        return r->keyword->argument == ARGUMENT_DOMAIN ? ACCESS_NEXT : access_refuse_config(w);
    }
    if (r->is_malformed)
        return access_refuse_config(w);
    w->is_skipped = w->session->trace != NULL && w->session->trace->skips_network && needs_network(r);
    if (w->is_skipped)
        return ACCESS_NEXT;
    return r->keyword->judge(w, r);
}

// The questions of this list to the name server go out together.
static void ask_ahead(struct access_walk *w, const struct access_list *list, size_t from)
{
    for (size_t i = from; i < list->count; i++) {
        const struct access_rule *r = &list->rules[i];
        if (r->keyword != NULL && r->keyword->ahead != NULL && has_argument(r) && !r->is_malformed)
            r->keyword->ahead(w, r);
    }
}

static bool permits_by_itself(const struct access_rule *r)
{
    return r->keyword != NULL && r->keyword->argument != ARGUMENT_TABLE && r->keyword->argument != ARGUMENT_SERVICE;
}

enum access_word access_walk_list(struct access_walk *w, const struct access_list *list)
{
    const struct access_rule *outer = w->rule;
    bool outer_warns = w->only_warns, has_asked = false;
    enum access_word word = ACCESS_NEXT;
    for (size_t i = 0; i < list->count && word == ACCESS_NEXT; i++) {
        const struct access_rule *r = &list->rules[i];
        size_t effects = w->verdict->effect_count;
        w->rule = r;
        w->only_warns = outer_warns || r->only_warns;
        w->table = w->key = STR_NULL;
        w->is_skipped = false;
        if (w->depth == 0)
            w->position = r->position;
        if (!has_asked && r->keyword != NULL && r->keyword->ahead != NULL) {
            ask_ahead(w, list, i);
            has_asked = true;
        }
        word = judge_rule(w, r);
        if (word == ACCESS_PERMIT && permits_by_itself(r))
            access_log_permit(w, r->word, &w->subject);
        if (word == ACCESS_PERMIT && r->keyword != NULL && r->keyword->identifies)
            w->has_identified = true;
        trace_step(w, r, word, effects);
    }
    w->rule = outer;
    w->only_warns = outer_warns;
    return word;
}

// ---- The lists of a stage

static struct access_subject subject_of(struct access_walk *w, enum access_list_id list)
{
    switch (list) {
    case LIST_CLIENT:
        return access_subject_client(w);
    case LIST_HELO:
        return access_subject_helo(w);
    case LIST_SENDER:
        return access_subject_sender(w);
    case LIST_DATA:
        return (struct access_subject){STR("DATA"), "Data command"};
    case LIST_END_OF_DATA:
        return (struct access_subject){STR("END-OF-MESSAGE"), "End-of-data"};
    case LIST_ETRN:
        return (struct access_subject){w->facts->etrn_domain, "Etrn command"};
    default:
        return access_subject_recipient(w);
    }
}

// True: refused.
static bool run_list(struct access_walk *w, enum access_list_id list) CO
{
    const struct access_list *l = &w->access->lists[list];
    if (w->session->is_dropping)
        return false; // DISCARD ends all checks
    w->list = list;
    w->parameter = l->parameter;
    w->subject = subject_of(w, list);
    w->if_reject = (struct access_deferred){.is_set = false};
    w->position = 0;
    w->rule = NULL;
    enum access_word word = access_walk_list(w, l);
    w->position = 0;
    return word == ACCESS_DENY;
}

static bool is_bare_postmaster(struct str recipient)
{
    return str_is_nocase(recipient, STR("postmaster"));
}

// A rule of our own, outside the lists: named by the setting that asks for it.
static bool run_alone(struct access_walk *w, const char *parameter, const char *keyword) CO
{
    struct access_rule rule = {.keyword = access_keyword_find(str_from(keyword)), .word = str_from(keyword)};
    w->parameter = parameter;
    w->position = 0;
    w->rule = &rule;
    w->only_warns = false;
    w->table = w->key = STR_NULL;
    w->subject = subject_of(w, LIST_RECIPIENT);
    size_t effects = w->verdict->effect_count;
    enum access_word word = rule.keyword->judge(w, &rule);
    trace_step(w, &rule, word, effects);
    w->rule = NULL;
    return word == ACCESS_DENY;
}

// The net under the lists: whatever they say or leave out, mail for a domain that is not ours passes only for our own
// networks, or because a restriction let it pass for who the client is or for where the mail goes.
static bool falls_into_net(struct access_walk *w) CO
{
    if (w->facts->is_mynetworks || w->has_identified || w->session->is_dropping)
        return false;
    return run_alone(w, "mynetworks", "reject_unauth_destination");
}

// The sender's list, and whether the sender exists.
static bool run_sender_list(struct access_walk *w) CO
{
    return run_list(w, LIST_SENDER) ||
           (w->access->settings->smtpd_reject_unlisted_sender && w->access->checks_unlisted &&
            !w->session->is_dropping && run_alone(w, "smtpd_reject_unlisted_sender", "reject_unlisted_sender"));
}

static bool run_recipient_lists(struct access_walk *w) CO
{
    static const enum access_list_id delayed[] = {LIST_CLIENT, LIST_HELO, LIST_SENDER};
    bool relay_first = w->access->settings->smtpd_relay_before_recipient_restrictions;
    for (size_t i = 0; i < 3 && w->access->settings->smtpd_delay_reject; i++)
        if (delayed[i] == LIST_SENDER ? run_sender_list(w) : run_list(w, delayed[i]))
            return true;
    w->has_identified = false; // permissions of the lists before do not extend to relaying
    return run_list(w, relay_first ? LIST_RELAY : LIST_RECIPIENT) ||
           run_list(w, relay_first ? LIST_RECIPIENT : LIST_RELAY) || falls_into_net(w);
}

static bool run_unlisted(struct access_walk *w) CO
{
    return w->access->settings->smtpd_reject_unlisted_recipient && w->access->checks_unlisted &&
           !w->session->is_dropping && run_alone(w, "smtpd_reject_unlisted_recipient", "reject_unlisted_recipient");
}

static bool run_stage(struct access_walk *w) CO
{
    bool is_delayed = w->access->settings->smtpd_delay_reject;
    struct access_deferred *carried = w->session->carried;
    bool refused = false;
    switch (w->stage) {
    case ACCESS_CONNECT:
        refused = !is_delayed && run_list(w, LIST_CLIENT);
        carried[0] = carried[1] = carried[2] = w->if_permit;
        return refused;
    case ACCESS_HELO:
        w->if_permit = carried[0];
        refused = !is_delayed && run_list(w, LIST_HELO);
        carried[1] = carried[2] = w->if_permit;
        return refused;
    case ACCESS_MAIL:
        w->if_permit = carried[1];
        refused = !is_delayed && run_sender_list(w);
        carried[2] = w->if_permit;
        return refused;
    case ACCESS_RCPT:
        if (is_bare_postmaster(w->facts->recipient) || w->session->is_dropping)
            return false;
        w->if_permit = carried[2];
        refused = run_recipient_lists(w);
        if (!refused && !w->if_permit.is_set)
            refused = run_unlisted(w);
        break;
    case ACCESS_DATA:
        refused = run_list(w, LIST_DATA);
        break;
    case ACCESS_END_OF_DATA:
        refused = run_list(w, LIST_END_OF_DATA);
        break;
    case ACCESS_ETRN:
        refused = (is_delayed && (run_list(w, LIST_CLIENT) || run_list(w, LIST_HELO))) || run_list(w, LIST_ETRN);
        break;
    }
    if (!refused && w->if_permit.is_set)
        refused = access_apply_deferred(w, &w->if_permit) == ACCESS_DENY;
    return refused;
}

// What is remembered after this call lives as long as the session.
static void keep(struct access_session *as, struct access_deferred *d)
{
    d->text = arena_str(&as->arena, d->text);
    d->reason.restriction = arena_str(&as->arena, d->reason.restriction);
    d->reason.table = arena_str(&as->arena, d->reason.table);
    d->reason.key = arena_str(&as->arena, d->reason.key);
}

void access_decide(struct access_session *as, enum access_stage stage, const struct access_facts *facts,
                   struct arena *arena, struct access_verdict *verdict_r)
{
    struct access_walk w = {
        .access = as->access, .session = as, .facts = facts, .arena = arena, .verdict = verdict_r, .stage = stage};
    *verdict_r = (struct access_verdict){.outcome = ACCESS_PASS};
    access_dns_trim(as);
    (void)run_stage(&w);
    for (size_t i = 0; i < 3 && stage <= ACCESS_MAIL; i++)
        if (as->carried[i].is_set)
            keep(as, &as->carried[i]);
}
