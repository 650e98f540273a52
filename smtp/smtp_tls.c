// SPDX-License-Identifier: ISC
// smtp_tls.c: the agent's TLS: tables, authorities, certificates, opened before the jail; and sessions for resumption.
// Trust: files are the administrator's. Limits: SESSIONS_MAX sessions are kept, in this process only.
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "smtp/smtp.h"

#define SESSIONS_MAX   500
#define ANCHORS_MAX    (1024 * 1024)

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
    int result = got < 0 ? err_errno(err, "%s", name) : got > 0 ? err_set(err, ERR_PERMANENT, "%s: too large", name) : 0;
    close(fd);
    mem_free(name);
    return result;
}

// ---- Sessions

struct kept_session {
    struct buf data;
    int64_t expires_ms;
};
struct smtp_tls_sessions {
    struct map map; // "host[addr]:port\nkey" -> struct kept_session
    int64_t seconds;
};

static void session_forget(struct kept_session *k)
{
    if (k == NULL)
        return;
    buf_wipe(&k->data);
    mem_free(k);
}

static void sessions_clear(struct smtp_tls_sessions *sessions)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    while ((entry = map_next(&sessions->map, &it)) != NULL)
        session_forget(entry->value);
    map_release(&sessions->map);
}

bool smtp_tls_sessions_find(struct smtp_tls_sessions *sessions, const char *relay, const char *key, struct buf *data_r)
{
    struct buf name = BUF_INIT;

    if (sessions == NULL)
        return false;
    buf_addf(&name, "%s\n%s", relay, key);
    const struct kept_session *k = map_get(&sessions->map, buf_str(&name));
    bool is_good = k != NULL && k->expires_ms > clock_ms();
    if (is_good)
        buf_add_str(data_r, buf_str(&k->data));
    else
        session_forget(map_remove(&sessions->map, buf_str(&name)));
    buf_release(&name);
    return is_good;
}

void smtp_tls_keep_session(struct smtp_session *s)
{
    struct smtp_tls_sessions *sessions = s->client->tls.sessions;
    const struct tls_info *info = stream_tls_info(s->stream);
    struct buf name = BUF_INIT;

    if (sessions == NULL || info == NULL || s->is_tls_kept)
        return;
    struct kept_session *k = MEM_NEW(struct kept_session);
    if (stream_tls_session(s->stream, &k->data) != 1) {
        session_forget(k);
        return;
    }
    s->is_tls_kept = true;
    k->expires_ms = clock_deadline(sessions->seconds);
    if (sessions->map.count >= SESSIONS_MAX)
        sessions_clear(sessions); // rare: full handshakes cost time, nothing else
    buf_addf(&name, "%s\n%s", s->relay, s->key);
    session_forget(map_set(&sessions->map, buf_str(&name), k));
    buf_release(&name);
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
        return err_set(err, ERR_PERMANENT, "invalid TLS security level: \"" STR_FMT "\"", STR_ARG(p->tls_security_level));
    return 0;
}

static void open_context(struct smtp_client *client)
{
    const struct smtp_profile *p = &client->profile;
    const struct settings *s = client->settings;
    bool names_no_authority = p->tls_CAfile.len == 0 && p->tls_CApath.len == 0;
    const struct tls_options options = {
        .ca_file = p->tls_CAfile,
        .ca_path = p->tls_CApath,
        .append_default_ca = s->tls_append_default_CA || (client->tls.sts != NULL && names_no_authority),
        .groups = arena_strf(&client->arena, STR_FMT " " STR_FMT, STR_ARG(s->tls_eecdh_auto_curves), STR_ARG(s->tls_ffdhe_auto_groups)),
        .ssl_options = s->tls_ssl_options,
        .disable_workarounds = s->tls_disable_workarounds,
        .config_file = s->tls_config_file,
        .config_name = s->tls_config_name,
        .fingerprint_digest = p->tls_fingerprint_digest,
        .verify_depth = (int)p->tls_scert_verifydepth,
    };
    struct err err = ERR_INIT;

    client->tls.context = tls_client_context_open(&options, &err);
    if (client->tls.context == NULL) // who may go without TLS goes on; others are told that it is unavailable
        log_warn("TLS cannot be used: %s", err.text);
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
    open_context(client);
    if (p->tls_session_cache_database.len > 0 && p->tls_session_cache_timeout > 0) {
        tls->sessions = MEM_NEW(struct smtp_tls_sessions);
        tls->sessions->seconds = p->tls_session_cache_timeout;
    }
    return 0;
}

void smtp_tls_close(struct smtp_client *client)
{
    struct smtp_tls *tls = &client->tls;

    if (tls->sessions != NULL) {
        sessions_clear(tls->sessions);
        mem_free(tls->sessions);
    }
    tls_client_context_close(tls->context);
    mta_sts_client_free(tls->sts);
    table_list_close(tls->policy_maps);
    table_list_close(tls->per_site);
    table_list_close(tls->log_level_maps);
    buf_release(&tls->trust_anchors);
}
