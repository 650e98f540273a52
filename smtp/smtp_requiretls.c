// SPDX-License-Identifier: ISC
// smtp_requiretls.c: messages whose sender asks for TLS all the way (RFC 8689): how strictly, and whether a server will
// do.
//
// smtp_requiretls_policy holds tables, asked in turn with the next hop's domain and its parents (".example.com"), or
// with an address, and words that end the search: enforce, opportunistic+starttls, opportunistic, disable. Suspends:
// the tables.
#include "lib/base/log.h"
#include "smtp/smtp.h"

#define ITEMS_MAX 50

struct item {
    struct table *table; // or NULL:
    enum smtp_requiretls action;
};
struct smtp_requiretls_policy {
    struct item items[ITEMS_MAX];
    size_t count;
};

static int parse_action(struct str word, enum smtp_requiretls *action_r)
{
    static const struct {
        const char *word;
        enum smtp_requiretls action;
    } words[] = {{"disable", SMTP_REQUIRETLS_DISABLE},
                 {"opportunistic", SMTP_REQUIRETLS_OPPORTUNISTIC},
                 {"opportunistic+starttls", SMTP_REQUIRETLS_STARTTLS},
                 {"enforce", SMTP_REQUIRETLS_ENFORCE}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_is_nocase(str_trim(word), str_from(words[i].word))) {
            *action_r = words[i].action;
            return 0;
        }
    return -1;
}

struct smtp_requiretls_policy *smtp_requiretls_open(struct str list, struct err *err)
{
    struct smtp_requiretls_policy *policy = MEM_NEW(struct smtp_requiretls_policy);
    struct str word;

    while (policy->count < ITEMS_MAX && str_token_braced(&list, ", \t\r\n", &word)) {
        struct item *item = &policy->items[policy->count];
        if (str_find(word, ':') > 0) {
            item->table = table_open(word, TABLE_FOLD_KEYS);
        } else if (parse_action(word, &item->action) < 0) {
            smtp_requiretls_close(policy);
            err_set(err, ERR_PERMANENT, "bad REQUIRETLS policy \"" STR_FMT "\"", STR_ARG(word));
            return NULL;
        }
        policy->count++;
    }
    return policy;
}

void smtp_requiretls_close(struct smtp_requiretls_policy *policy)
{
    for (size_t i = 0; policy != NULL && i < policy->count; i++)
        table_close(policy->items[i].table);
    mem_free(policy);
}

// The name, then ".parent" for each of its parents. Tables of patterns and networks see the whole name only.
static int search(struct table *table, struct str name, struct buf *value_r) CO
{
    struct err err = ERR_INIT;
    struct net_addr addr;
    int found = table_lookup(table, name, value_r, &err);
    bool has_parents = table_takes_partial_keys(table) && net_addr_parse(name, 0, &addr) < 0;
    struct str key = name;

    while (found == 0 && has_parents) {
        long dot = key.len > 1 ? str_find(str_slice(key, 1, key.len), '.') : -1;
        if (dot < 0)
            break;
        key = str_slice(key, (size_t)dot + 1, key.len);
        found = table_lookup(table, key, value_r, &err);
    }
    if (found < 0)
        log_warn("REQUIRETLS policy of " STR_FMT ": %s", STR_ARG(name), err.text);
    return found;
}

// Without an answer, and when a table fails, what the sender asked for is enforced.
static enum smtp_requiretls find_action(const struct smtp_delivery *sd) CO
{
    const struct smtp_requiretls_policy *policy = sd->client->requiretls;
    enum smtp_requiretls action = SMTP_REQUIRETLS_ENFORCE;
    struct buf value = BUF_INIT;
    int found = 0;

    for (size_t i = 0; i < policy->count && found == 0; i++) {
        if (policy->items[i].table == NULL) {
            action = policy->items[i].action;
            break;
        }
        found = search(policy->items[i].table, sd->domain, &value);
        if (found > 0 && parse_action(buf_str(&value), &action) < 0)
            log_warn("REQUIRETLS policy of " STR_FMT ": bad value \"%s\"", STR_ARG(sd->domain), buf_cstr(&value));
    }
    buf_release(&value);
    return action;
}

void smtp_requiretls_find(struct smtp_delivery *sd)
{
    bool is_wanted =
        (sd->delivery->request.sendopts & QUEUE_SENDOPT_REQUIRETLS) && sd->client->settings->requiretls_enable;

    sd->requiretls = SMTP_REQUIRETLS_DISABLE;
    if (is_wanted && sd->client->requiretls != NULL && sd->domain.len > 0)
        sd->requiretls = find_action(sd);
}

unsigned smtp_requiretls_unwanted(const struct smtp_delivery *sd)
{
    return sd->requiretls == SMTP_REQUIRETLS_DISABLE ? SMTP_HAS_REQUIRETLS : 0;
}

static void add_status(struct smtp_delivery *sd, struct smtp_session *s, const char *final, bool is_violated)
{
    struct str text =
        arena_strf(sd->arena, "%s/%srequiretls%s%s", s->tls_status, is_violated ? "!" : "", final[0] ? ":" : "", final);

    sd->tls_status = text;
    s->delivery_status = text;
}

struct smtp_failure *smtp_requiretls_check(struct smtp_delivery *sd, struct smtp_session *s)
{
    bool enforces = sd->requiretls == SMTP_REQUIRETLS_ENFORCE, has_tls = stream_tls_info(s->stream) != NULL;
    const char *final = "", *dsn = "5.7.10", *why = NULL;

    s->delivery_status = STR("");
    if (sd->requiretls == SMTP_REQUIRETLS_DISABLE)
        return NULL;
    if (!has_tls) {
        final = (s->features & SMTP_HAS_STARTTLS) ? "noencryption" : "nostarttls";
        why = "TLS is not available with";
    } else if (sd->requiretls != SMTP_REQUIRETLS_STARTTLS && !s->is_tls_matched) {
        final = "nocertmatch";
        why = "the certificate cannot be verified of";
    } else if (!(s->features & SMTP_HAS_REQUIRETLS)) {
        final = "none";
        dsn = "5.7.30";
        why = "REQUIRETLS is not offered by";
    }
    bool is_violated = why != NULL && (enforces || (sd->requiretls == SMTP_REQUIRETLS_STARTTLS && !has_tls));
    add_status(sd, s, final, is_violated);
    if (!is_violated)
        return NULL;
    struct smtp_failure *f =
        smtp_failure_new(sd, true, dsn, "Sender requested REQUIRETLS, but %s host %s", why, s->place);
    f->asks_others = true;
    return smtp_failure_with_session(f, sd, s);
}
