// SPDX-License-Identifier: ISC
// access_table.c: the keys under which access tables are asked, in their order, and the restrictions that only ask a
// table.
// Trust: keys are made of what clients say. Suspends: table lookups.
#include "lib/access/access_impl.h"
#include "lib/mail/address.h"

// One key. *word_r is what its entry does. 1 found, 0 absent, -1 the table failed.
static int try_key(struct access_lookup *l, struct str key, bool is_partial) CO
{
    struct access_walk *w = l->walk;
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    if (key.len == 0 || key.len > TABLE_KEY_MAX || (is_partial && !table_takes_partial_keys(l->table)))
        return 0;
    int found = table_lookup(l->table, key, &value, &err);
    if (found != 0) {
        w->table = table_name(l->table);
        w->key = arena_str(w->arena, key);
    }
    if (found > 0)
        l->word = access_act(w, buf_str(&value), &l->subject);
    if (found < 0) { // as an entry that refuses: so warn_if_reject can be tried on it
        log_warn("access table " STR_FMT ": " STR_FMT ": %s", STR_ARG(w->table), STR_ARG(key), err.text);
        l->word = access_refuse(w, &l->subject, REPLY(451, "4.3.5"), "Server configuration error");
    }
    buf_release(&value);
    return found;
}

int access_try_domain(struct access_lookup *l, struct str domain)
{
    int found = try_key(l, domain, false);
    struct str rest = domain;
    if (domain.len > 0 && domain.ptr[0] == '[')
        return found;
    for (long dot; found == 0 && (dot = str_find(rest, '.')) >= 0;) {
        struct str dotted = str_slice(rest, (size_t)dot, rest.len);
        rest = str_slice(dotted, 1, dotted.len);
        found = try_key(l, l->walk->access->parents_bare ? rest : dotted, true);
    }
    return found;
}

int access_try_address(struct access_lookup *l, struct str address)
{
    char separator = str_find(address, ':') >= 0 ? ':' : '.';
    int found = try_key(l, address, false);
    for (long end; found == 0 && (end = str_rfind(address, separator)) > 0;) {
        address = str_slice(address, 0, (size_t)end);
        found = try_key(l, address, true);
    }
    return found;
}

// user@domain without an extension, if it has one.
static struct str without_extension(struct access_walk *w, struct str address)
{
    struct str user, extension, domain = address_domain(address);
    address_split_extension(address_local(address), w->access->settings->recipient_delimiter, &user, &extension);
    if (extension.ptr == NULL)
        return STR("");
    return domain.len > 0 ? arena_strf(w->arena, STR_FMT "@" STR_FMT, STR_ARG(user), STR_ARG(domain)) : user;
}

// "user@": the user at any domain.
static int try_user(struct access_lookup *l, struct str address) CO
{
    struct str local = address_local(address);
    return local.len == 0 ? 0 : try_key(l, arena_strf(l->walk->arena, STR_FMT "@", STR_ARG(local)), true);
}

static int try_mail_address(struct access_lookup *l, struct str address) CO
{
    struct access_walk *w = l->walk;
    if (address.len == 0)
        return try_key(l, w->access->settings->smtpd_null_access_lookup_key, false);
    struct str plain = without_extension(w, address), domain = address_domain(address);
    int found = try_key(l, address, false);
    if (found == 0)
        found = try_key(l, plain, true);
    if (found == 0 && domain.len > 0)
        found = access_try_domain(l, domain);
    if (found == 0)
        found = try_user(l, address);
    if (found == 0 && plain.len > 0)
        found = try_user(l, plain);
    return found;
}

// Permissions by names that the other side's name server makes up are refused: anybody could give them to himself.
enum access_word access_no_permit(struct access_lookup *l)
{
    struct access_walk *w = l->walk;
    if (l->word != ACCESS_PERMIT || w->session->is_dropping)
        return l->word;
    log_warn("restriction " STR_FMT " returns OK for " STR_FMT
             ": this is not allowed for security reasons, use DUNNO instead of OK",
             STR_ARG(w->rule->word), STR_ARG(l->subject.name));
    return access_refuse_config(w);
}

bool access_is_unknown(struct str name)
{
    return name.len == 0 || str_is_nocase(name, STR("unknown"));
}

static enum access_word judge_client_table(struct access_walk *w, struct access_lookup *l, bool is_reverse) CO
{
    const struct access_facts *f = w->facts;
    l->subject = is_reverse ? access_subject_reverse(w) : access_subject_client(w);
    int found = access_try_domain(l, is_reverse ? f->client_reverse : f->client_name);
    if (found == 0)
        found = access_try_address(l, f->client_address);
    return is_reverse && found > 0 ? access_no_permit(l) : l->word;
}

static enum access_word judge_certificate_table(struct access_walk *w, struct access_lookup *l) CO
{
    const struct access_tls *tls = &w->facts->tls;
    struct str order = access_rule_option(w->rule, STR("search_order")), word;
    struct str name = tls->subject.len > 0 ? tls->subject : STR("");
    int found = 0;
    if (!tls->has_certificate)
        return ACCESS_NEXT;
    l->subject = (struct access_subject){name, "Client certificate"};
    if (order.len == 0)
        order = STR("cert_fingerprint pubkey_fingerprint");
    while (found == 0 && str_token(&order, ACCESS_SEPARATORS, &word)) {
        bool is_key = str_is_nocase(word, STR("pubkey_fingerprint"));
        if (!is_key && !str_is_nocase(word, STR("cert_fingerprint"))) {
            log_warn("check_ccert_access: unknown search_order \"" STR_FMT "\"", STR_ARG(word));
            return access_refuse_config(w);
        }
        found = try_key(l, is_key ? tls->public_key_fingerprint : tls->certificate_fingerprint, false);
    }
    return l->word;
}

static enum access_word judge_recipient_table(struct access_walk *w, struct access_lookup *l) CO
{
    struct str local = address_local(w->facts->recipient);
    l->subject = access_subject_recipient(w);
    (void)try_mail_address(l, w->facts->recipient);
    bool is_routed = str_find(local, '%') >= 0 || str_find(local, '!') >= 0 || str_find(local, '@') >= 0;
    return l->word == ACCESS_PERMIT && is_routed && !w->access->settings->allow_untrusted_routing &&
                   !w->session->is_dropping
               ? ACCESS_NEXT
               : l->word;
}

enum access_word judge_table(struct access_walk *w, const struct access_rule *r)
{
    const struct access_facts *f = w->facts;
    struct access_lookup l = {.walk = w, .table = r->table, .word = ACCESS_NEXT};
    if (r->table == NULL) {
        log_warn(STR_FMT ": table " STR_FMT " was not open when the server started: use a restriction class",
                 STR_ARG(r->word), STR_ARG(r->argument));
        return access_refuse_config(w);
    }
    switch ((enum table_subject)r->keyword->detail) {
    case TABLE_CLIENT:
        return judge_client_table(w, &l, false);
    case TABLE_REVERSE:
        return judge_client_table(w, &l, true);
    case TABLE_HELO:
        l.subject = access_subject_helo(w);
        (void)access_try_domain(&l, f->helo);
        break;
    case TABLE_SENDER:
        l.subject = access_subject_sender(w);
        if (f->sender.ptr != NULL)
            (void)try_mail_address(&l, f->sender);
        break;
    case TABLE_RECIPIENT:
        if (f->recipient.ptr != NULL)
            return judge_recipient_table(w, &l);
        break;
    case TABLE_ETRN:
        l.subject = (struct access_subject){f->etrn_domain, "Etrn command"};
        (void)access_try_domain(&l, f->etrn_domain);
        break;
    case TABLE_LOGIN:
        l.subject = (struct access_subject){f->sasl.username, "SASL login name"};
        if (f->sasl.method.len > 0)
            (void)try_key(&l, f->sasl.username, false);
        break;
    case TABLE_CERTIFICATE:
        return judge_certificate_table(w, &l);
    }
    return l.word;
}

// permit_tls_clientcerts: the fingerprint of the certificate or of its key is in relay_clientcerts.
enum access_word judge_client_certificate(struct access_walk *w, const struct access_rule *r)
{
    const struct access_tls *tls = &w->facts->tls;
    const struct str keys[] = {tls->public_key_fingerprint, tls->certificate_fingerprint};
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = 0;
    for (size_t i = 0; tls->has_certificate && found == 0 && i < 2; i++) {
        struct table *table = NULL;
        found = keys[i].len > 0 ? table_list_lookup(w->access->relay_clientcerts, keys[i], &value, &table, &err) : 0;
        if (found > 0 && table != NULL)
            w->table = table_name(table);
        w->key = found > 0 ? arena_str(w->arena, keys[i]) : STR_NULL;
    }
    buf_release(&value);
    if (found >= 0)
        return found > 0 ? ACCESS_PERMIT : ACCESS_NEXT;
    log_warn("relay_clientcerts: %s", err.text);
    return access_refuse_lookup(w, w->facts->client);
}
