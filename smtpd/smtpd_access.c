// SPDX-License-Identifier: ISC
// smtpd_access.c: asks the decision engine (lib/access) and does what it says: replies, log lines, effects on the
// message.
// Suspends: table and DNS lookups, and for the queue id.
#include <stdio.h>

#include "smtpd/smtpd.h"

static struct str address_text(struct arena *a, const struct net_addr *addr)
{
    struct buf b = BUF_INIT;
    net_addr_add_text(&b, addr);
    struct str text = arena_str(a, buf_str(&b));
    buf_release(&b);
    return text;
}

// The same for all questions about one message, and for no other: process, time and a counter.
static struct str told_instance(const struct access_facts *f)
{
    struct smtpd_session *s = f->owner;
    struct smtpd_transaction *t = &s->transaction;
    int64_t now = clock_wall_us();
    if (t->instance[0] == '\0')
        snprintf(t->instance, sizeof t->instance, "%x.%llx.%llx.%x", (unsigned)log_pid(),
                 (unsigned long long)(now / 1000000), (unsigned long long)(now % 1000000), s->daemon->instances++);
    return str_from(t->instance);
}

static struct str told_queue_id(const struct access_facts *f)
{
    struct smtpd_session *s = f->owner;
    co_assert_running();
    (void)smtpd_queue_id(s);
    return buf_str(&s->queue_id);
}

void smtpd_collect_facts(struct smtpd_session *s, struct str recipient, struct access_facts *f)
{
    const struct smtpd_transaction *t = &s->transaction;
    struct arena *a = &s->transaction_arena;
    *f = (struct access_facts){.state = strcmp(s->stage, "BDAT") == 0 ? "DATA" : s->stage,
                               .protocol = s->protocol,
                               .client = s->client_log,
                               .client_name = s->client_name,
                               .client_reverse = s->client_reverse,
                               .name_status = s->name_status,
                               .reverse_status = s->reverse_status,
                               .client_address = s->client_address,
                               .client_port = s->client_port,
                               .server_address = address_text(a, &s->local),
                               .server_port = arena_strf(a, "%u", net_addr_port(&s->local)),
                               .client_addr = &s->peer,
                               .is_mynetworks = s->is_mynetworks,
                               .has_pipelined = s->has_pipelined,
                               .helo = s->helo,
                               .recipient = recipient,
                               .recipient_count = (unsigned)t->recipient_count,
                               .instance = told_instance,
                               .queue_id = told_queue_id,
                               .owner = s,
                               .etrn_domain = s->etrn_domain,
                               .settings = s->settings,
                               .size = t->content_bytes > 0 ? t->content_bytes : t->declared_size,
                               .tls = s->tls,
                               .sasl = s->sasl};
    if (t->has_sender)
        f->sender = t->sender.ptr != NULL ? t->sender : STR("");
}

static void append(struct smtpd_session *s, struct smtpd_texts *list, struct str text)
{
    struct smtpd_text *item = ARENA_NEW(&s->transaction_arena, struct smtpd_text);
    item->text = text;
    *(list->first == NULL ? &list->first : &list->last->next) = item;
    list->last = item;
}

static void apply(struct smtpd_session *s, const struct access_effect *e)
{
    struct smtpd_transaction *t = &s->transaction;
    struct str value = arena_str(&s->transaction_arena, e->value);
    switch (e->kind) {
    case ACCESS_LOG:
        break;
    case ACCESS_HOLD:
        t->is_held = true;
        break;
    case ACCESS_DROP:
        t->is_dropped = true;
        break;
    case ACCESS_FILTER:
        t->filter = value;
        break;
    case ACCESS_REDIRECT:
        t->redirect = value;
        break;
    case ACCESS_BCC:
        append(s, &t->bcc, value);
        break;
    case ACCESS_PREPEND:
        append(s, &t->prepended, value);
        break;
    }
}

static void carry_out(struct smtpd_session *s, const struct access_verdict *v, struct str recipient) CO
{
    bool has_message = s->transaction.has_sender && s->verb != SMTP_VRFY && s->verb != SMTP_ETRN;
    for (size_t i = 0; i < v->effect_count; i++) {
        const struct access_effect *e = &v->effects[i];
        if (e->verb != NULL)
            smtpd_log_decision(s, e->verb, &e->reason, e->text, recipient);
        if (has_message)
            apply(s, e);
    }
}

struct access_session *smtpd_access_memory(struct smtpd_session *s)
{
    if (s->access == NULL)
        s->access = access_session_new(s->daemon->access);
    return s->access;
}

bool smtpd_rewrites_headers(struct smtpd_session *s)
{
    struct access_facts facts;
    if (s->is_standalone)
        return true;
    smtpd_collect_facts(s, STR_NULL, &facts);
    return access_rewrites_headers(smtpd_access_memory(s), &facts);
}

bool smtpd_allows(struct smtpd_session *s, enum access_stage stage, struct str recipient)
{
    struct access_verdict v;
    struct access_facts facts;
    if (s->is_standalone)
        return true;
    smtpd_collect_facts(s, recipient, &facts);
    access_decide(smtpd_access_memory(s), stage, &facts, &s->transaction_arena, &v);
    carry_out(s, &v, recipient);
    if (v.outcome == ACCESS_REFUSE)
        smtpd_reject(s, &v, recipient);
    if (v.outcome == ACCESS_HANGUP) {
        smtpd_log_decision(s, "hangup", &v.reason, str_from(v.text), recipient);
        s->is_closing = s->command_failed = true;
    }
    return v.outcome == ACCESS_PASS;
}
