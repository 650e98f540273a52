// SPDX-License-Identifier: ISC
// postsim_print.c: the outcome of a simulation as text and as JSON.
#include <stdio.h>

#include "commands/postqueue.h"
#include "commands/postsim.h"

static void put(const struct buf *b)
{
    (void)!fwrite(buf_cstr(b), 1, b->len, stdout);
}

static bool has_skipped(const struct postsim_result *r)
{
    for (size_t i = 0; i < r->trace.count; i++)
        if (strcmp(r->trace.steps[i].result, "skipped") == 0)
            return true;
    return false;
}

// ---- Text

static void add_reply(struct buf *b, const struct access_verdict *v)
{
    if (v->outcome == ACCESS_PASS)
        buf_add_cstr(b, "ok");
    else if (v->outcome == ACCESS_HANGUP)
        buf_add_cstr(b, "the connection is closed");
    else
        buf_addf(b, "%d %s %s", v->code, v->status, v->text);
}

static void add_step(struct buf *b, const struct access_step *step)
{
    buf_addf(b, "  %*s%s", (int)step->depth * 2, "", step->parameter);
    if (step->position > 0 && step->depth == 0)
        buf_addf(b, "[%u]", step->position);
    buf_addf(b, " " STR_FMT ": %s", STR_ARG(step->restriction), step->result);
    if (step->table.len > 0)
        buf_addf(b, ", table=" STR_FMT " key=" STR_FMT, STR_ARG(step->table), STR_ARG(step->key));
    if (step->text.len > 0)
        buf_addf(b, " (" STR_FMT ")", STR_ARG(step->text));
    buf_add_char(b, '\n');
}

static void add_stage(struct buf *b, const struct postsim_result *r, const struct postsim_stage *s)
{
    buf_add_cstr(b, s->name);
    if (strcmp(s->name, "RCPT") == 0)
        buf_addf(b, " <" STR_FMT ">", STR_ARG(s->recipient));
    buf_add_cstr(b, ": ");
    add_reply(b, &s->verdict);
    buf_add_char(b, '\n');
    for (size_t i = s->first_step; i < s->end_step; i++)
        add_step(b, &r->trace.steps[i]);
    for (size_t i = 0; i < s->verdict.effect_count; i++)
        if (s->verdict.effects[i].kind != ACCESS_LOG)
            buf_addf(b, "  the message: %s" STR_FMT "\n",
                     s->verdict.effects[i].verb != NULL ? s->verdict.effects[i].verb : "prepend ",
                     STR_ARG(s->verdict.effects[i].verb != NULL ? STR("") : s->verdict.effects[i].value));
    if (s->verdict.outcome == ACCESS_PASS)
        return;
    buf_add_cstr(b, "  decided by ");
    access_reason_add(b, &s->verdict.reason);
    buf_add_char(b, '\n');
}

static void print_text(const struct postsim *p, const struct postsim_result *r)
{
    static const char *const outcomes[] = {"accepted", "refused", "refused for now"};
    struct buf b = BUF_INIT;
    buf_addf(&b, "client " STR_FMT ", helo <%s>, from <%s>\n", STR_ARG(r->client), p->helo != NULL ? p->helo : "",
             p->sender != NULL ? p->sender : "");
    for (size_t i = 0; i < r->stage_count; i++)
        add_stage(&b, r, &r->stages[i]);
    if (has_skipped(r))
        buf_add_cstr(&b, "not asked: policy servers and address probes (--ask-policy), limits by client, delays\n");
    buf_addf(&b, "%s\n", outcomes[r->status]);
    put(&b);
    buf_release(&b);
}

// ---- JSON: one object

static void add_pair(struct buf *b, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    buf_add_cstr(b, ", ");
    buf_add_json_pair(b, name, value);
}

static void add_json_step(struct buf *b, const struct access_step *step)
{
    buf_add_char(b, '{');
    buf_add_json_pair(b, "parameter", str_from(step->parameter));
    buf_addf(b, ", \"position\": %u, \"depth\": %u", step->position, step->depth);
    add_pair(b, "restriction", step->restriction);
    add_pair(b, "result", str_from(step->result));
    add_pair(b, "table", step->table);
    add_pair(b, "key", step->key);
    add_pair(b, "text", step->text);
    buf_add_char(b, '}');
}

static void add_json_effects(struct buf *b, const struct access_verdict *v)
{
    buf_add_cstr(b, ", \"effects\": [");
    for (size_t i = 0; i < v->effect_count; i++) {
        buf_add_cstr(b, i > 0 ? ", {" : "{");
        buf_add_json_pair(b, "verb", str_from(v->effects[i].verb != NULL ? v->effects[i].verb : "prepend"));
        add_pair(b, "text", v->effects[i].text);
        add_pair(b, "value", v->effects[i].value);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void add_json_stage(struct buf *b, const struct postsim_result *r, const struct postsim_stage *s)
{
    const struct access_verdict *v = &s->verdict;
    struct buf reason = BUF_INIT;
    buf_add_char(b, '{');
    buf_add_json_pair(b, "stage", str_from(s->name));
    add_pair(b, "recipient", s->recipient);
    add_pair(b, "outcome",
             str_from(v->outcome == ACCESS_PASS     ? "accepted"
                      : v->outcome == ACCESS_HANGUP ? "hangup"
                      : v->code / 100 == 4          ? "temporary"
                                                    : "refused"));
    if (v->outcome == ACCESS_REFUSE)
        buf_addf(b, ", \"code\": %d", v->code);
    add_pair(b, "status", v->outcome == ACCESS_REFUSE ? str_from(v->status) : STR(""));
    add_pair(b, "text", v->outcome == ACCESS_REFUSE ? str_from(v->text) : STR(""));
    access_reason_add(&reason, &v->reason);
    add_pair(b, "decided_by", buf_str(&reason));
    buf_release(&reason);
    add_json_effects(b, v);
    buf_add_cstr(b, ", \"steps\": [");
    for (size_t i = s->first_step; i < s->end_step; i++) {
        if (i > s->first_step)
            buf_add_cstr(b, ", ");
        add_json_step(b, &r->trace.steps[i]);
    }
    buf_add_cstr(b, "]}");
}

static void print_json(const struct postsim *p, const struct postsim_result *r)
{
    static const char *const outcomes[] = {"accepted", "refused", "temporary"};
    struct buf b = BUF_INIT;
    buf_add_char(&b, '{');
    buf_add_json_pair(&b, "client", r->client);
    add_pair(&b, "helo", str_from(p->helo != NULL ? p->helo : ""));
    buf_add_cstr(&b, ", ");
    buf_add_json_pair(&b, "sender", str_from(p->sender != NULL ? p->sender : ""));
    buf_addf(&b, ", \"outcome\": \"%s\", \"policy_asked\": %s, \"stages\": [", outcomes[r->status],
             p->asks_policy ? "true" : "false");
    for (size_t i = 0; i < r->stage_count; i++) {
        if (i > 0)
            buf_add_cstr(&b, ", ");
        add_json_stage(&b, r, &r->stages[i]);
    }
    buf_add_cstr(&b, "]}\n");
    put(&b);
    buf_release(&b);
}

void postsim_print(const struct postsim *p, const struct postsim_result *r)
{
    if (p->is_json)
        print_json(p, r);
    else
        print_text(p, r);
}
