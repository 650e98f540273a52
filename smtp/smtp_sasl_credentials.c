// SPDX-License-Identifier: ISC
// smtp_sasl_credentials.c: user names and passwords from smtp_sasl_password_maps: by sender, by host, by next hop.
// Suspends: table lookups.
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "smtp/smtp_sasl_impl.h"

void smtp_credentials_clear(struct smtp_credentials *c)
{
    buf_wipe(&c->value);
    *c = (struct smtp_credentials){.value = BUF_INIT};
}

static int take(struct smtp_delivery *sd, int found, struct smtp_credentials *c, const struct err *err)
{
    const struct smtp_profile *p = &sd->client->profile;

    if (found < 0) {
        log_warn(STR_FMT ": %s_sasl_password_maps lookup error: %s", STR_ARG(sd->delivery->request.queue_id),
                 p->is_lmtp ? "lmtp" : "smtp", err->text);
    } else if (found > 0) {
        c->password = buf_str(&c->value);
        if (!str_cut(&c->password, p->sasl_password_result_delimiter.ptr[0], &c->username))
            c->password = STR("");
    }
    return found;
}

int smtp_credentials_by_sender(struct smtp_delivery *sd, struct smtp_credentials *c_r)
{
    struct smtp_sasl *sasl = sd->client->sasl;
    const struct settings *set = sd->client->settings;
    struct str sender = sd->delivery->request.sender;
    struct err err = ERR_INIT;

    *c_r = (struct smtp_credentials){.value = BUF_INIT};
    if (sasl == NULL || sasl->local_domains == NULL || sender.len == 0)
        return 0;
    struct str domain = address_domain(sender);
    int is_local = str_is_nocase(domain, set->myorigin) ? 1 : match_list_has(sasl->local_domains, domain, &err);
    if (is_local < 0)
        return take(sd, -1, c_r, &err);
    const struct table_address_query q = {sender, set->recipient_delimiter,
                                          ADDRESS_KEY_FULL | ADDRESS_KEY_LOCALPART | ADDRESS_KEY_AT_DOMAIN,
                                          is_local > 0};
    return take(sd, table_list_lookup_address(sasl->passwords, &q, &c_r->value, NULL, &err), c_r, &err);
}

int smtp_credentials_find(struct smtp_delivery *sd, const struct smtp_session *s, struct smtp_credentials *c_r)
{
    struct err err = ERR_INIT;
    int found = smtp_credentials_by_sender(sd, c_r);

    if (found == 0)
        found = take(sd, table_list_lookup(sd->client->sasl->passwords, str_from(s->name), &c_r->value, NULL, &err),
                     c_r, &err);
    if (found == 0)
        found =
            take(sd, table_list_lookup(sd->client->sasl->passwords, sd->nexthop, &c_r->value, NULL, &err), c_r, &err);
    return found;
}
