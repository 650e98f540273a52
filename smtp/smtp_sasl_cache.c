// SPDX-License-Identifier: ISC
// smtp_sasl_cache.c: logins that servers refused (smtp_sasl_auth_cache_name), so that a wrong password does not lock
// the account.
//
// The entry for "host;user" is "time;digest;status;reply": the digest of a password tells whether it has changed, and
// not what it is. Suspends: the cache may be a service's.
#include <openssl/evp.h>

#include "lib/base/log.h"
#include "smtp/smtp_sasl_impl.h"

static void add_key(struct buf *b, const struct smtp_session *s, const struct smtp_credentials *c)
{
    buf_addf(b, "%s;", s->name);
    buf_add_printable(b, c->username, SASL_USER_MAX);
}

static void add_digest(struct buf *b, struct str key, struct str password)
{
    struct buf text = BUF_INIT;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    buf_add_str(&text, key);
    buf_add_char(&text, '\0');
    buf_add_str(&text, password);
    if (EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha256(), NULL) != 1)
        len = 0;
    buf_wipe(&text);
    for (unsigned i = 0; i < len; i++)
        buf_addf(b, "%02x", digest[i]);
}

struct smtp_failure *smtp_sasl_cache_find(struct smtp_delivery *sd, const struct smtp_session *s,
                                          const struct smtp_credentials *c)
{
    struct table *cache = sd->client->sasl->cache;
    const struct smtp_profile *p = &sd->client->profile;
    struct buf key = BUF_INIT, value = BUF_INIT, digest = BUF_INIT;
    struct err err = ERR_INIT;
    struct smtp_failure *f = NULL;
    struct str time, known, status, rest;
    int64_t noted = 0;

    if (cache == NULL)
        return NULL;
    add_key(&key, s, c);
    int found = table_lookup(cache, buf_str(&key), &value, &err);
    rest = buf_str(&value);
    if (found < 0) {
        log_warn("%s_sasl_auth_cache_name: %s", p->is_lmtp ? "lmtp" : "smtp", err.text);
    } else if (found > 0 && str_cut(&rest, ';', &time) && str_cut(&rest, ';', &known) && str_cut(&rest, ';', &status) &&
               str_to_i64(time, &noted) == 0 && status.len > 2 && noted + p->sasl_auth_cache_time > clock_wall()) {
        add_digest(&digest, buf_str(&key), c->password);
        if (digest.len > 0 && str_is(known, buf_str(&digest))) {
            struct str dsn = arena_strf(sd->arena, "%c" STR_FMT, p->sasl_auth_soft_bounce ? '4' : '5',
                                        STR_ARG(str_slice(status, 1, status.len)));
            f = smtp_failure_new(sd, !p->sasl_auth_soft_bounce, dsn.ptr,
                                 "SASL [CACHED] authentication failed; server %s said: " STR_FMT, s->name,
                                 STR_ARG(rest));
        }
    }
    buf_release(&key);
    buf_release(&value);
    buf_release(&digest);
    return f;
}

void smtp_sasl_cache_add(struct smtp_delivery *sd, const struct smtp_session *s, const struct smtp_credentials *c)
{
    struct table *cache = sd->client->sasl->cache;
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct err err = ERR_INIT;

    if (cache == NULL)
        return;
    add_key(&key, s, c);
    buf_addf(&value, "%lld;", (long long)clock_wall());
    add_digest(&value, buf_str(&key), c->password);
    buf_addf(&value, ";" STR_FMT ";" STR_FMT, STR_ARG(smtp_reply_dsn(&s->reply, '5', sd->arena)),
             STR_ARG(smtp_reply_joined(&s->reply, sd->arena)));
    if (table_update(cache, buf_str(&key), buf_str(&value), &err) < 0)
        log_warn("%s_sasl_auth_cache_name: %s", sd->client->profile.is_lmtp ? "lmtp" : "smtp", err.text);
    buf_release(&key);
    buf_release(&value);
}
