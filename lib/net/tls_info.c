// SPDX-License-Identifier: ISC
// tls_info.c: what a finished handshake was: for log lines, the Received: header and access decisions.
// Trust: names come from the peer's certificate: checked and bounded by tls_name_of.
#include <openssl/core_names.h>
#include <openssl/pem.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

static void copy(char *to, size_t size, const char *from)
{
    if (from != NULL)
        snprintf(to, size, "%s", from);
}

static void fill_exchange(struct tls_info *info, SSL *ssl)
{
    EVP_PKEY *key = NULL;
    if (SSL_version(ssl) < TLS1_3_VERSION || !SSL_get_peer_tmp_key(ssl, &key) || key == NULL)
        return;
    char group[32] = "";
    size_t length;
    int type = EVP_PKEY_get_base_id(key);
    if (type == EVP_PKEY_EC) {
        copy(info->exchange, sizeof info->exchange, "ECDHE");
        if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &length))
            copy(info->exchange_group, sizeof info->exchange_group, group);
    } else if (type == EVP_PKEY_DH) {
        copy(info->exchange, sizeof info->exchange, "DHE");
        info->exchange_bits = EVP_PKEY_get_bits(key);
    } else {
        copy(info->exchange, sizeof info->exchange, OBJ_nid2sn(type));
    }
    EVP_PKEY_free(key);
}

static void fill_signature(struct tls_signature *s, EVP_PKEY *key, int type, int digest)
{
    char group[32] = "";
    size_t length;
    if (key == NULL || type == NID_undef)
        return;
    switch (type) {
    case EVP_PKEY_RSA:
        copy(s->name, sizeof s->name, "RSA");
        break;
    case EVP_PKEY_RSA_PSS:
        copy(s->name, sizeof s->name, "RSA-PSS");
        break;
    case EVP_PKEY_EC:
        copy(s->name, sizeof s->name, "ECDSA");
        break;
    default:
        copy(s->name, sizeof s->name, OBJ_nid2sn(type));
        return;
    }
    if (type == EVP_PKEY_EC &&
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &length))
        copy(s->group, sizeof s->group, group);
    else
        s->bits = EVP_PKEY_get_bits(key);
    if (digest != NID_undef)
        copy(s->digest, sizeof s->digest, OBJ_nid2sn(digest));
}

static EVP_PKEY *own_key(SSL *ssl)
{
    return SSL_get_certificate(ssl) != NULL ? X509_get0_pubkey(SSL_get_certificate(ssl)) : NULL;
}

// How TLS 1.3 signs with such a key.
static int signature_type(EVP_PKEY *key)
{
    int type = key != NULL ? EVP_PKEY_get_base_id(key) : NID_undef;
    return type == EVP_PKEY_RSA ? EVP_PKEY_RSA_PSS : type;
}

static void fill_signatures(struct tls_info *info, SSL *ssl, bool is_server)
{
    struct tls_signature *ours = is_server ? &info->server : &info->client,
                         *theirs = is_server ? &info->client : &info->server;
    int type = NID_undef, digest = NID_undef;
    X509 *peer = SSL_get0_peer_certificate(ssl);
    if (SSL_version(ssl) < TLS1_3_VERSION)
        return; // the cipher's name says it
    if (SSL_get_signature_type_nid(ssl, &type)) {
        (void)SSL_get_signature_nid(ssl, &digest);
        fill_signature(ours, own_key(ssl), type, digest);
    } else if (is_server && info->is_resumed) { // as the session that this one goes on from was signed
        fill_signature(ours, own_key(ssl), signature_type(own_key(ssl)), NID_undef);
    }
    type = digest = NID_undef;
    if (peer != NULL && SSL_get_peer_signature_type_nid(ssl, &type)) {
        (void)SSL_get_peer_signature_nid(ssl, &digest);
        fill_signature(theirs, X509_get0_pubkey(peer), type, digest);
    }
}

static void fill_peer(struct tls *t, struct tls_info *info)
{
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    unsigned char *der = NULL;
    if (peer == NULL)
        return;
    info->has_certificate = true;
    tls_name_of(X509_get_subject_name(peer), info->subject);
    info->has_one_name = tls_has_one_name(X509_get_subject_name(peer));
    tls_issuer_name_of(X509_get_issuer_name(peer), info->issuer);
    int size = i2d_X509(peer, &der);
    if (size > 0)
        tls_fingerprint(der, (size_t)size, t->fingerprint_md, info->fingerprint, sizeof info->fingerprint);
    OPENSSL_free(der);
    der = NULL;
    size = X509_get0_pubkey(peer) != NULL ? i2d_PUBKEY(X509_get0_pubkey(peer), &der) : 0;
    if (size > 0)
        tls_fingerprint(der, (size_t)size, t->fingerprint_md, info->key_fingerprint, sizeof info->key_fingerprint);
    OPENSSL_free(der);
    long result = SSL_get_verify_result(t->ssl);
    info->is_trusted = result == X509_V_OK;
    if (!info->is_trusted)
        copy(info->trouble, sizeof info->trouble, X509_verify_cert_error_string(result));
}

void tls_info_fill(struct tls *t)
{
    struct tls_info *info = t->info = MEM_NEW(struct tls_info);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    int bits = 0;
    info->is_resumed = SSL_session_reused(t->ssl) == 1;
    copy(info->protocol, sizeof info->protocol, SSL_get_version(t->ssl));
    copy(info->cipher, sizeof info->cipher, cipher != NULL ? SSL_CIPHER_get_name(cipher) : "");
    info->bits_used = cipher != NULL ? SSL_CIPHER_get_bits(cipher, &bits) : 0;
    info->bits_algorithm = bits;
    const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    if (name != NULL && strlen(name) <= TLS_NAME_MAX && str_is_printable(str_from(name)))
        copy(info->server_name, sizeof info->server_name, name);
    fill_exchange(info, t->ssl);
    fill_signatures(info, t->ssl, t->is_server);
    fill_peer(t, info);
    ERR_clear_error();
}

static void add_signature(struct buf *line, const char *side, const struct tls_signature *s)
{
    if (s->name[0] == '\0')
        return;
    buf_addf(line, " %s-signature %s", side, s->name);
    if (s->group[0])
        buf_addf(line, " (%s)", s->group);
    else if (s->bits > 0)
        buf_addf(line, " (%d bits)", s->bits);
    if (s->digest[0])
        buf_addf(line, " %s-digest %s", side, s->digest);
}

void tls_info_add_summary(const struct tls_info *info, struct buf *line)
{
    buf_addf(line, "%s with cipher %s (%d/%d bits)", info->protocol, info->cipher, info->bits_used,
             info->bits_algorithm);
    if (info->exchange[0])
        buf_addf(line, " key-exchange %s", info->exchange);
    if (info->exchange_group[0])
        buf_addf(line, " (%s)", info->exchange_group);
    else if (info->exchange[0] && info->exchange_bits > 0)
        buf_addf(line, " (%d bits)", info->exchange_bits);
    add_signature(line, "server", &info->server);
    add_signature(line, "client", &info->client);
}

static void add_digest(struct buf *text, const char *what, int size, unsigned char *der, const EVP_MD *md)
{
    char digest[200] = "";

    if (size > 0)
        tls_fingerprint(der, (size_t)size, md, digest, sizeof digest);
    buf_addf(text, "%s%s\n", what, digest);
    OPENSSL_free(der);
}

static void add_certificate(struct buf *text, int number, X509 *cert, const EVP_MD *md)
{
    char *subject = X509_NAME_oneline(X509_get_subject_name(cert), NULL, 0);
    char *issuer = X509_NAME_oneline(X509_get_issuer_name(cert), NULL, 0);
    unsigned char *der = NULL, *key = NULL;
    BIO *pem = BIO_new(BIO_s_mem());
    char *data;

    buf_addf(text, "%2d subject: ", number);
    buf_add_printable(text, str_from(subject != NULL ? subject : ""), TLS_NAME_MAX);
    buf_add_cstr(text, "\n    issuer: ");
    buf_add_printable(text, str_from(issuer != NULL ? issuer : ""), TLS_NAME_MAX);
    buf_add_char(text, '\n');
    int size = i2d_X509(cert, &der);
    add_digest(text, "   cert digest=", size, der, md);
    size = X509_get0_pubkey(cert) != NULL ? i2d_PUBKEY(X509_get0_pubkey(cert), &key) : 0;
    add_digest(text, "   pkey digest=", size, key, md);
    if (pem != NULL && PEM_write_bio_X509(pem, cert)) {
        long length = BIO_get_mem_data(pem, &data);
        buf_add(text, data, (size_t)length);
    }
    BIO_free(pem);
    OPENSSL_free(subject);
    OPENSSL_free(issuer);
}

void stream_tls_add_chain(const struct stream *s, struct buf *text)
{
    const struct tls *t = stream_tls(s);
    STACK_OF(X509) *chain = t != NULL ? SSL_get_peer_cert_chain(t->ssl) : NULL;

    for (int i = 0; i < sk_X509_num(chain) && i < TLS_CHAIN_CERTS_MAX; i++)
        add_certificate(text, i, sk_X509_value(chain, i), t->fingerprint_md);
    ERR_clear_error();
}
