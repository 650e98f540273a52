// SPDX-License-Identifier: ISC
// smtpd_tls.c: the server's TLS context: made from main.cf before the jail, with certificates that tlsmgr gives and
// renews.
// Trust: private keys are not here. Suspends: asking tlsmgr.
#include "smtpd/smtpd_tls.h"
#include "smtpd/smtpd.h"

enum { CHECK_MS = 5000, RETRY_MS = 2000, WAIT_SECONDS = 15 };

static bool is_level(struct str level, const char *name)
{
    return str_is_nocase(level, str_from(name));
}

static void set_level(struct smtpd_tls *t, const struct settings *set)
{
    struct str level = set->smtpd_tls_security_level;
    if (level.len == 0) {
        t->is_required = set->smtpd_enforce_tls;
        t->is_wanted = set->smtpd_use_tls || set->smtpd_enforce_tls;
    } else if (is_level(level, "may")) {
        t->is_wanted = true;
    } else if (!is_level(level, "none")) {
        if (!is_level(level, "encrypt"))
            log_warn("smtpd_tls_security_level: unsupported TLS level \"" STR_FMT "\", using \"encrypt\"",
                     STR_ARG(level));
        t->is_wanted = t->is_required = true;
    }
    t->is_wrapped = set->smtpd_tls_wrappermode;
    if (t->is_wrapped)
        t->is_wanted = t->is_required = true;
    t->requires_certificate = set->smtpd_tls_req_ccert && t->is_required;
    t->asks_certificate = set->smtpd_tls_ask_ccert || t->requires_certificate;
    if (set->smtpd_tls_req_ccert && t->is_wanted && !t->is_required)
        log_warn("Can't require client certs unless TLS is required");
}

// "0" to "4"; what is no number is 0.
static int log_level(struct str text)
{
    return text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9' ? text.ptr[0] - '0' : 0;
}

int smtpd_tls_log_level(struct smtpd_tls *t, struct str client_name, struct str client_address)
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int level = t->log_level;
    int found = table_list_lookup(t->log_level_maps, client_name, &value, NULL, &err);
    if (found == 0)
        found = table_list_lookup(t->log_level_maps, client_address, &value, NULL, &err);
    struct str text = str_trim(buf_str(&value));
    if (found < 0)
        log_warn("smtpd_tls_loglevel_maps: %s", err.text);
    else if (found > 0 && text.len == 1 && text.ptr[0] >= '0' && text.ptr[0] <= '4')
        level = log_level(text);
    else if (found > 0)
        log_warn("smtpd_tls_loglevel_maps: " STR_FMT "[" STR_FMT "]: bad level \"%s\"", STR_ARG(client_name),
                 STR_ARG(client_address), buf_cstr(&value));
    buf_release(&value);
    return level;
}

static struct str protocols_of(const struct smtpd_tls *t, const struct settings *set)
{
    return t->is_required ? set->smtpd_tls_mandatory_protocols : set->smtpd_tls_protocols;
}

static int choose_ciphers(struct smtpd_tls *t, const struct settings *set, struct err *err)
{
    struct tls_ciphers c = {.grade = t->is_required ? set->smtpd_tls_mandatory_ciphers : set->smtpd_tls_ciphers,
                            .excluded = {set->smtpd_tls_exclude_ciphers,
                                         t->is_required ? set->smtpd_tls_mandatory_exclude_ciphers : STR(""),
                                         t->asks_certificate ? STR("aNULL") : STR("")}};
    if (tls_cipher_list(set, &c, &t->ciphers) == 0)
        return 0;
    return err_set(err, ERR_PERMANENT, "smtpd_tls_ciphers: unknown grade \"" STR_FMT "\"", STR_ARG(c.grade));
}

static int open_context(struct smtpd_tls *t, const struct settings *set, struct err *err)
{
    struct tls_server_options o = {.asks_certificate = t->asks_certificate,
                                   .trusts_server_certificates = set->tls_trust_server_ccerts,
                                   .issues_session_ids = set->smtpd_tls_always_issue_session_ids,
                                   .session_seconds = set->smtpd_tls_session_cache_timeout,
                                   .has_session_cache = set->smtpd_tls_session_cache_database.len > 0};
    if (choose_ciphers(t, set, err) < 0)
        return -1;
    if (tls_ticket_cipher_is_usable(set->tls_session_ticket_cipher))
        o.ticket_cipher = set->tls_session_ticket_cipher;
    else if (set->tls_session_ticket_cipher.len > 0)
        log_warn("tls_session_ticket_cipher: \"" STR_FMT
                 "\" is no CBC cipher with blocks of 128 bits and a key of 128 to 256: no session tickets",
                 STR_ARG(set->tls_session_ticket_cipher));
    tls_options_from_settings(set, &t->groups, &o.common);
    o.common.ciphers = buf_str(&t->ciphers);
    o.common.protocols = protocols_of(t, set);
    o.common.fingerprint_digest = set->smtpd_tls_fingerprint_digest;
    o.common.verify_depth = (int)set->smtpd_tls_ccert_verifydepth;
    o.common.keeper = tls_service_keeper(t->service);
    if (t->asks_certificate) {
        o.common.ca_file = set->smtpd_tls_CAfile;
        o.common.ca_path = set->smtpd_tls_CApath;
    } else {
        o.common.append_default_ca = false; // nobody is verified
    }
    t->context = tls_server_context_open(&o, err);
    return t->context != NULL ? 0 : -1;
}

struct smtpd_tls *smtpd_tls_open(const struct settings *set)
{
    struct smtpd_tls *t = MEM_NEW(struct smtpd_tls);
    struct buf text = BUF_INIT;
    struct err err = ERR_INIT;
    co_event_init(&t->checked);
    set_level(t, set);
    t->log_level = log_level(set->smtpd_tls_loglevel);
    t->log_level_maps = table_list_open(set->smtpd_tls_loglevel_maps, TABLE_FOLD_KEYS);
    if (!t->is_wanted)
        return t;
    if (set->smtpd_tls_enable_rpk)
        log_warn("smtpd_tls_enable_rpk: " TLS_NO_RAW_KEYS);
    if (t->log_level >= 2)
        log_info("initializing the server-side TLS engine");
    t->service = tls_service_new(set, "smtpd");
    t->files = TLS_CHAIN_FILES(set, smtpd_tls);
    tls_chain_files_add_text(&t->files, &text);
    t->has_files = text.len > 0 || str_is(t->files.cert, STR("none"));
    buf_release(&text);
    if (!t->has_files)
        log_warn("No server certs available. TLS won't be enabled");
    else if (open_context(t, set, &err) < 0)
        log_warn("TLS is not available: %s", err.text);
    return t;
}

void smtpd_tls_close(struct smtpd_tls *t)
{
    if (t == NULL)
        return;
    tls_server_context_close(t->context);
    tls_service_free(t->service);
    table_list_close(t->log_level_maps);
    buf_release(&t->groups);
    buf_release(&t->ciphers);
    mem_free(t);
}

// ---- Certificates

static void check(struct smtpd_tls *t) CO
{
    struct tls_chain *chains[TLS_CHAINS_MAX];
    size_t count = 0;
    struct err err = ERR_INIT;
    int rc = tls_service_chains(t->service, &t->files, &t->generation, chains, &count, &err);
    if (rc > 0 && count > 0)
        rc = tls_server_context_set_chains(t->context, chains, count, &err);
    for (size_t i = 0; i < count; i++)
        tls_chain_free(chains[i]);
    if (rc < 0 && !t->has_failed)
        log_warn("%s: %s",
                 tls_server_context_has_chains(t->context) ? "cannot renew the TLS certificates"
                                                           : "TLS is not available",
                 err.text);
    t->has_failed = rc < 0;
    t->next_check = clock_ms() + (rc < 0 ? RETRY_MS : CHECK_MS);
}

// One session asks, the others wait for it only if there is nothing to go on with.
struct tls_server_context *smtpd_tls_context(struct smtpd_tls *t)
{
    int64_t deadline = clock_deadline(WAIT_SECONDS);
    if (t->context == NULL)
        return NULL;
    if (clock_ms() >= t->next_check && !t->is_checking) {
        t->is_checking = true;
        check(t);
        t->is_checking = false;
        co_event_broadcast(&t->checked);
    }
    while (t->is_checking && !tls_server_context_has_chains(t->context))
        if (co_event_wait(&t->checked, deadline) < 0)
            return NULL;
    bool is_anonymous = str_is(t->files.cert, STR("none")) && t->files.chain_files.len == 0;
    return tls_server_context_has_chains(t->context) || is_anonymous ? t->context : NULL;
}
