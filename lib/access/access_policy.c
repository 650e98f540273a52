// SPDX-License-Identifier: ISC
// access_policy.c: check_policy_service: what a policy server is told, and its action.
//
// Trust: facts come from clients (the codec cleans them); the action is judged like an access table's.
// Suspends: the question.
#include "lib/access/access_impl.h"
#include "lib/access/policy_client.h"
#include "lib/mail/address.h"

#define ATTRIBUTES_MAX 40

struct telling {
    struct access_walk *walk;
    struct policy_attribute attributes[ATTRIBUTES_MAX];
    size_t count;
};

static void tell(struct telling *t, const char *name, struct str value)
{
    if (t->count == ATTRIBUTES_MAX)
        bug("policy request: too many attributes");
    t->attributes[t->count++] = (struct policy_attribute){name, value.ptr != NULL ? value : STR("")};
}

static void tell_number(struct telling *t, const char *name, int64_t value)
{
    tell(t, name, arena_strf(t->walk->arena, "%lld", (long long)value));
}

static void tell_xtext(struct telling *t, const char *name, struct str value)
{
    struct buf text = BUF_INIT;
    address_xtext_add(&text, value);
    tell(t, name, arena_str(t->walk->arena, buf_str(&text)));
    buf_release(&text);
}

static void tell_tls(struct telling *t, const struct access_tls *tls)
{
    bool is_named = tls->has_certificate && tls->is_trusted;
    tell_xtext(t, "ccert_subject", is_named ? tls->subject : STR(""));
    tell_xtext(t, "ccert_issuer", is_named ? tls->issuer : STR(""));
    tell(t, "ccert_fingerprint", tls->certificate_fingerprint);
    tell(t, "ccert_pubkey_fingerprint", tls->public_key_fingerprint);
    tell(t, "encryption_protocol", tls->protocol);
    tell(t, "encryption_cipher", tls->cipher);
    tell_number(t, "encryption_keysize", tls->is_on ? tls->cipher_bits : 0);
    tell(t, "tls_sni", tls->server_name);
}

// Names and order are those of the protocol. Of several recipients none is named; questions before the first recipient,
// and VRFY, are about no message: they have no instance.
static void tell_all(struct telling *t, const struct access_facts *f) CO
{
    bool has_message = t->walk->stage >= ACCESS_RCPT && f->sender.ptr != NULL;
    bool is_after_recipients = t->walk->stage == ACCESS_DATA || t->walk->stage == ACCESS_END_OF_DATA;
    tell(t, "protocol_state", strcmp(f->state, "BDAT") == 0 ? STR("DATA") : str_from(f->state));
    tell(t, "protocol_name", str_from(f->protocol));
    tell(t, "client_address", f->client_address);
    tell(t, "client_name", f->client_name);
    tell(t, "client_port", f->client_port);
    tell(t, "reverse_client_name", f->client_reverse);
    tell(t, "server_address", f->server_address);
    tell(t, "server_port", f->server_port);
    tell(t, "helo_name", f->helo);
    tell(t, "sender", f->sender);
    tell(t, "recipient", is_after_recipients && f->recipient_count > 1 ? STR("") : f->recipient);
    tell_number(t, "recipient_count", is_after_recipients ? f->recipient_count : 0);
    tell(t, "queue_id", f->queue_id != NULL ? f->queue_id(f) : STR_NULL);
    tell(t, "instance", has_message && f->instance != NULL ? f->instance(f) : STR(""));
    tell_number(t, "size", f->size);
    tell(t, "etrn_domain", f->etrn_domain);
    tell(t, "stress", access_settings_now(t->walk)->stress);
    tell(t, "sasl_method", f->sasl.method);
    tell(t, "sasl_username", f->sasl.username);
    tell(t, "sasl_sender", f->sasl.sender);
    tell_tls(t, &f->tls);
}

int access_ask_policy(struct access_walk *w, const struct access_rule *r, struct buf *action_r, struct err *err)
{
    struct telling *t = ARENA_NEW(w->arena, struct telling);
    t->walk = w;
    tell_all(t, w->facts);
    const struct policy_question question = {t->attributes, t->count};
    return policy_ask(r->server, &question, action_r, err);
}

enum access_word judge_policy(struct access_walk *w, const struct access_rule *r)
{
    struct buf action = BUF_INIT;
    struct err err = ERR_INIT;
    w->is_skipped = w->session->trace != NULL && !w->session->trace->asks_policy;
    if (w->is_skipped)
        return ACCESS_NEXT;
    if (r->server == NULL)
        return access_refuse_config(w);
    int answered = access_ask_policy(w, r, &action, &err);
    w->table = policy_server_name(r->server);
    w->key = STR("policy query");
    enum access_word word =
        answered < 0 ? access_refuse_lookup(w, w->table) : access_act(w, buf_str(&action), &w->subject);
    buf_release(&action);
    return word;
}
