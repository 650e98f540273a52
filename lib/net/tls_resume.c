// SPDX-License-Identifier: ISC
// tls_resume.c: the server's memory of sessions: tickets sealed with the keeper's keys, and its cache for clients
// without tickets; and the certificate of the name that a client asks for.
// Suspends: in callbacks of the library during handshakes, when the keeper does.
#include <openssl/core_names.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

void tls_ticket_key_clear(struct tls_ticket_key *k)
{
    OPENSSL_cleanse(k, sizeof *k);
}

static const struct tls_keeper *keeper_of(SSL *ssl)
{
    struct tls *t = SSL_get_app_data(ssl);
    return t->keeper;
}

bool tls_session_is_current(const SSL_SESSION *session)
{
    const X509 *peer = SSL_SESSION_get0_peer((SSL_SESSION *)session); // it is not changed
    return peer == NULL || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0;
}

// ---- Tickets

static EVP_CIPHER *ticket_cipher; // of all contexts; fetched once: looking it up by name costs more than using it

static int key_the_ticket(struct tls_ticket_key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                          bool is_new)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[3] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->hmac, sizeof k->hmac),
                            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) && EVP_CipherInit_ex2(cipher, ticket_cipher, k->aes, iv, is_new, NULL);
}

// 1 sealed or opened, 2 opened but make a new one, 0 no ticket, -1.
/* callback: the parameters are a library's */
static int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                           int is_new)
{
    co_assert_running();
    const struct tls_keeper *keeper = keeper_of(ssl);
    struct tls_ticket_key key;
    int found = keeper->ticket_key(keeper->arg, is_new ? NULL : name, &key);
    ERR_clear_error(); // others have used the thread's queue while this waited
    if (found <= 0)
        return 0;
    if (is_new)
        memcpy(name, key.name, sizeof key.name);
    int rc = 1;
    if (is_new && tls_random(iv, 16) < 0)
        rc = -1;
    if (rc == 1 && !key_the_ticket(&key, iv, cipher, mac, is_new))
        rc = -1;
    tls_ticket_key_clear(&key);
    // TLS 1.3 clients use a ticket once and get another; older ones keep theirs.
    return rc == 1 && !is_new && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : rc;
}

// What the peer proved lasts no longer than its certificate, and is proved anew once in a while: such a ticket is not
// renewed.
/* callback: the parameters are a library's */
static SSL_TICKET_RETURN ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t size,
                                       SSL_TICKET_STATUS status, void *arg)
{
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!tls_session_is_current(session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    bool is_renewed = status == SSL_TICKET_SUCCESS_RENEW && SSL_SESSION_get0_peer(session) == NULL;
    return is_renewed ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

// ---- The cache

static int put_session(SSL *ssl, SSL_SESSION *session)
{
    co_assert_running();
    const struct tls_keeper *keeper = keeper_of(ssl);
    unsigned char *der = NULL;
    unsigned length = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &length);
    int size = length > 0 && SSL_version(ssl) < TLS1_3_VERSION ? i2d_SSL_SESSION(session, &der) : 0;
    if (size > 0)
        keeper->session_put(keeper->arg, str_of((const char *)id, length), str_of((const char *)der, (size_t)size));
    if (size > 0)
        OPENSSL_clear_free(der, (size_t)size);
    ERR_clear_error();
    return 0;
}

static SSL_SESSION *get_session(SSL *ssl, const unsigned char *id, int length, int *is_copied)
{
    co_assert_running();
    const struct tls_keeper *keeper = keeper_of(ssl);
    struct buf der = BUF_INIT;
    SSL_SESSION *session = NULL;
    *is_copied = 0;
    if (length > 0 && length <= SSL_MAX_SSL_SESSION_ID_LENGTH &&
        keeper->session_get(keeper->arg, str_of((const char *)id, (size_t)length), &der) > 0) {
        const unsigned char *at = (const unsigned char *)der.ptr;
        session = d2i_SSL_SESSION(NULL, &at, (long)der.len);
    }
    if (session != NULL && !tls_session_is_current(session)) {
        SSL_SESSION_free(session);
        session = NULL;
    }
    buf_wipe(&der);
    ERR_clear_error();
    return session;
}

// ---- Names

static int name_callback(SSL *ssl, int *alert, void *arg)
{
    co_assert_running();
    const struct tls_keeper *keeper = keeper_of(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_chain *chains[TLS_CHAINS_MAX];
    size_t count = 0;
    struct err err = ERR_INIT;
    if (name == NULL || name[0] == '\0' || strlen(name) > TLS_NAME_MAX || !str_is_printable(str_from(name)))
        return SSL_TLSEXT_ERR_NOACK;
    int found = keeper->chains_for_name(keeper->arg, str_from(name), chains, &count, &err);
    ERR_clear_error();
    if (found <= 0)
        return SSL_TLSEXT_ERR_NOACK; // the default certificate serves
    SSL_certs_clear(ssl);
    int rc = SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < count && rc == SSL_TLSEXT_ERR_OK; i++)
        if (tls_context_use_chain(NULL, ssl, chains[i], keeper, &err) < 0) {
            *alert = SSL_AD_INTERNAL_ERROR;
            rc = SSL_TLSEXT_ERR_ALERT_FATAL;
        }
    return rc;
}

static EVP_CIPHER *fetch_cipher(struct str name)
{
    struct buf text = BUF_INIT;
    buf_add_str(&text, name);
    EVP_CIPHER *cipher = name.len > 0 && str_is_printable(name) ? EVP_CIPHER_fetch(NULL, buf_cstr(&text), NULL) : NULL;
    buf_release(&text);
    ERR_clear_error();
    return cipher;
}

bool tls_ticket_cipher_is_usable(struct str name)
{
    struct tls_ticket_key key;
    EVP_CIPHER *cipher = fetch_cipher(name);
    bool is_usable = cipher != NULL && EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CBC_MODE &&
                     EVP_CIPHER_get_block_size(cipher) == 16 && EVP_CIPHER_get_iv_length(cipher) == 16 &&
                     EVP_CIPHER_get_key_length(cipher) >= 16 &&
                     EVP_CIPHER_get_key_length(cipher) <= (int)sizeof key.aes;
    EVP_CIPHER_free(cipher);
    return is_usable;
}

void tls_server_resume_init(SSL_CTX *ctx, const struct tls_server_options *o)
{
    const struct tls_keeper *keeper = o->common.keeper;
    if (keeper != NULL && keeper->chains_for_name != NULL)
        SSL_CTX_set_tlsext_servername_callback(ctx, name_callback);
    if (keeper == NULL || o->session_seconds <= 0 || keeper->ticket_key == NULL || o->ticket_cipher.len == 0) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    } else {
        EVP_CIPHER_free(ticket_cipher);
        ticket_cipher = fetch_cipher(o->ticket_cipher);
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_callback);
        SSL_CTX_set_session_ticket_cb(ctx, NULL, ticket_opened, NULL);
        SSL_CTX_set_num_tickets(ctx, 1);
    }
    // Without callbacks nothing is remembered under the ids. Where sessions can be resumed there is always one.
    bool has_ids = o->issues_session_ids || o->session_seconds > 0;
    SSL_CTX_set_session_cache_mode(ctx, has_ids ? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
                                                      SSL_SESS_CACHE_NO_AUTO_CLEAR
                                                : SSL_SESS_CACHE_OFF);
    if (o->session_seconds > 0)
        SSL_CTX_set_timeout(ctx, (long)o->session_seconds);
    if (keeper == NULL || o->session_seconds <= 0 || !o->has_session_cache)
        return;
    SSL_CTX_sess_set_new_cb(ctx, put_session);
    SSL_CTX_sess_set_get_cb(ctx, get_session);
}
