// SPDX-License-Identifier: ISC
// smtp_tls.c: the agent's TLS: tables and authorities, opened before the jail; certificates and sessions, held by
// tlsmgr.
// Trust: files are the administrator's. Suspends: asking tlsmgr.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "smtp/smtp.h"

#define ANCHORS_MAX    (1024 * 1024)
#define CHAINS_SECONDS 60 // between two questions whether our certificates have changed

int smtp_tls_read_file(struct str path, struct buf *text_r, struct err *err)
{
    char *name = mem_dup_str(path);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = 0;

    if (fd < 0) {
        err_errno(err, "%s", name);
        mem_free(name);
        return -1;
    }
    do {
        buf_reserve(text_r, 16384);
        got = read(fd, text_r->ptr + text_r->len, 16384);
        if (got > 0)
            text_r->len += (size_t)got;
    } while (got > 0 && text_r->len <= ANCHORS_MAX);
    buf_add_cstr(text_r, "");
    int result = got < 0   ? err_errno(err, "%s", name)
                 : got > 0 ? err_set(err, ERR_PERMANENT, "%s: too large", name)
                           : 0;
    close(fd);
    mem_free(name);
    return result;
}

// ---- Sessions, which tlsmgr remembers

bool smtp_tls_find_session(struct smtp_session *s, const struct tls_client_start *start, struct buf *data_r)
{
    struct buf key = BUF_INIT;

    if (!s->client->tls.keeps_sessions)
        return false;
    buf_addf(&key, "%s\n%s\n", s->relay, s->key);
    tls_client_context_add_trust(s->client->tls.context, start, &key);
    mem_free(s->tls_session);
    s->tls_session = mem_dup_str(buf_str(&key));
    buf_release(&key);
    return tls_service_session_get(s->client->tls.service, str_from(s->tls_session), data_r) == 1;
}

void smtp_tls_keep_session(struct smtp_session *s)
{
    struct buf data = BUF_INIT;

    if (s->tls_session == NULL || stream_tls_info(s->stream) == NULL || stream_tls_session(s->stream, &data) != 1)
        return;
    tls_service_session_put(s->client->tls.service, str_from(s->tls_session), buf_str(&data));
    mem_free(s->tls_session);
    s->tls_session = NULL;
    buf_wipe(&data);
}

// ---- Our own certificates, if any: tlsmgr reads the files, and knows when they have changed

void smtp_tls_refresh_chains(struct smtp_client *client)
{
    const struct smtp_profile *p = &client->profile;
    const struct tls_chain_files files = {p->tls_chain_files, p->tls_cert_file,   p->tls_key_file,  p->tls_dcert_file,
                                          p->tls_dkey_file,   p->tls_eccert_file, p->tls_eckey_file};
    struct smtp_tls *tls = &client->tls;
    struct tls_chain *chains[TLS_CHAINS_MAX];
    struct err err = ERR_INIT;
    size_t count = 0;

    if ((files.chain_files.len == 0 && files.cert.len == 0 && files.dcert.len == 0 && files.eccert.len == 0) ||
        clock_ms() < tls->next_refresh_ms)
        return;
    tls->next_refresh_ms = clock_deadline(CHAINS_SECONDS);
    int changed = tls_service_chains(tls->service, &files, &tls->generation, chains, &count, &err);
    if (changed < 0 || (changed > 0 && tls_client_context_set_chains(tls->context, chains, count, &err) < 0))
        log_warn("cannot use our client certificate: %s", err.text);
    for (size_t i = 0; changed > 0 && i < count; i++)
        tls_chain_free(chains[i]);
}

// ---- Opening

static int read_level(const struct smtp_profile *p, enum tls_level *level_r, struct err *err)
{
    if (p->tls_security_level.len == 0) {
        *level_r = !p->enforce_tls ? (p->use_tls ? TLS_LEVEL_MAY : TLS_LEVEL_NONE)
                                   : (p->tls_enforce_peername ? TLS_LEVEL_VERIFY : TLS_LEVEL_ENCRYPT);
        return 0;
    }
    if (tls_level_parse(p->tls_security_level, level_r) < 0)
        return err_set(err, ERR_PERMANENT, "invalid TLS security level: \"" STR_FMT "\"",
                       STR_ARG(p->tls_security_level));
    return 0;
}

static void open_context(struct smtp_client *client)
{
    const struct smtp_profile *p = &client->profile;
    const struct settings *s = client->settings;
    bool names_no_authority = p->tls_CAfile.len == 0 && p->tls_CApath.len == 0;
    struct tls_options options;
    struct err err = ERR_INIT;

    tls_options_from_settings(s, &client->tls.groups, &options);
    options.ca_file = p->tls_CAfile;
    options.ca_path = p->tls_CApath;
    options.append_default_ca = s->tls_append_default_CA || (client->tls.sts != NULL && names_no_authority);
    options.fingerprint_digest = p->tls_fingerprint_digest;
    options.verify_depth = (int)p->tls_scert_verifydepth;
    options.keeper = tls_service_keeper(client->tls.service);
    client->tls.context = tls_client_context_open(&options, &err);
    if (client->tls.context == NULL) // who may go without TLS goes on; others are told that it is unavailable
        log_warn("TLS cannot be used: %s", err.text);
}

void smtp_tls_tell_of_raw_keys(struct smtp_client *client, const char *parameter)
{
    if (!client->tls.has_told_of_raw_keys)
        log_warn("%s: " TLS_NO_RAW_KEYS, parameter);
    client->tls.has_told_of_raw_keys = true;
}

int smtp_tls_open(struct smtp_client *client, struct err *err)
{
    const struct smtp_profile *p = &client->profile;
    struct smtp_tls *tls = &client->tls;
    int64_t log_level;

    if (read_level(p, &tls->level, err) < 0)
        return -1;
    if (str_to_i64(p->tls_loglevel, &log_level) < 0 || log_level < 0)
        return err_set(err, ERR_PERMANENT, "bad TLS log level \"" STR_FMT "\"", STR_ARG(p->tls_loglevel));
    tls->log_level = log_level > SMTP_TLS_LOG_LEVEL_MAX ? SMTP_TLS_LOG_LEVEL_MAX : (int)log_level;
    tls->policy_maps = table_list_open(p->tls_policy_maps, TABLE_FOLD_KEYS);
    tls->per_site = table_list_open(p->tls_per_site, TABLE_FOLD_KEYS);
    tls->log_level_maps = table_list_open(p->tls_loglevel_maps, TABLE_FOLD_KEYS);
    if (p->tls_trust_anchor_file.len > 0 && smtp_tls_read_file(p->tls_trust_anchor_file, &tls->trust_anchors, err) < 0)
        return -1;
    if (client->settings->smtp_mta_sts && !p->is_lmtp)
        tls->sts = mta_sts_client_new(client->settings->smtp_mta_sts_timeout);
    if (tls->level == TLS_LEVEL_NONE && table_list_is_empty(tls->policy_maps) && table_list_is_empty(tls->per_site))
        return 0;
    tls->service = tls_service_new(client->settings, p->is_lmtp ? "lmtp" : "smtp");
    tls->keeps_sessions = p->tls_session_cache_database.len > 0 && p->tls_session_cache_timeout > 0;
    open_context(client);
    if (p->tls_enable_rpk)
        smtp_tls_tell_of_raw_keys(client, p->is_lmtp ? "lmtp_tls_enable_rpk" : "smtp_tls_enable_rpk");
    return 0;
}

void smtp_tls_close(struct smtp_client *client)
{
    struct smtp_tls *tls = &client->tls;

    tls_client_context_close(tls->context);
    tls_service_free(tls->service);
    buf_release(&tls->groups);
    mta_sts_client_free(tls->sts);
    table_list_close(tls->policy_maps);
    table_list_close(tls->per_site);
    table_list_close(tls->log_level_maps);
    buf_release(&tls->trust_anchors);
}
