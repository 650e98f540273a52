// SPDX-License-Identifier: ISC
// tls_certificate.c: chains and private keys out of PEM texts, names and fingerprints out of certificates.
// Trust: files are the administrator's; certificates of peers pass through tls_name_of and tls_fingerprint only.
#include <openssl/pem.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

struct tls_key {
    EVP_PKEY *pkey;
    unsigned char id[TLS_KEY_ID_SIZE];
};

int tls_key_id_of(EVP_PKEY *key, unsigned char *id_r)
{
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    unsigned length = 0;
    int done = size > 0 && EVP_Digest(der, (size_t)size, id_r, &length, EVP_sha256(), NULL);
    OPENSSL_free(der);
    return done && length == TLS_KEY_ID_SIZE ? 0 : -1;
}

// A name with a control character, a NUL or bad UTF-8 is no name.
static void take_name(X509_NAME *name, int nid, char *text_r)
{
    unsigned char *utf8 = NULL;
    text_r[0] = '\0';
    int at = name == NULL ? -1 : X509_NAME_get_index_by_NID(name, nid, -1);
    if (at < 0)
        return;
    int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (size <= 0)
        return;
    struct str text = str_of((const char *)utf8, (size_t)size);
    bool is_clean = text.len <= TLS_NAME_MAX && str_is_utf8(text);
    for (size_t i = 0; is_clean && i < text.len; i++)
        is_clean = (unsigned char)text.ptr[i] >= 32 && text.ptr[i] != 127;
    if (is_clean) {
        memcpy(text_r, text.ptr, text.len);
        text_r[text.len] = '\0';
    }
    OPENSSL_free(utf8);
}

void tls_name_of(X509_NAME *name, char *text_r)
{
    take_name(name, NID_commonName, text_r);
}

void tls_issuer_name_of(X509_NAME *name, char *text_r)
{
    take_name(name, NID_commonName, text_r);
    if (text_r[0] == '\0')
        take_name(name, NID_organizationName, text_r);
}

bool tls_has_one_name(X509_NAME *name)
{
    int first = name == NULL ? -1 : X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    return first >= 0 && X509_NAME_get_index_by_NID(name, NID_commonName, first) < 0;
}

void tls_fingerprint(const unsigned char *data, size_t size, const EVP_MD *md, char *text_r, size_t text_size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    text_r[0] = '\0';
    if (!EVP_Digest(data, size, digest, &length, md, NULL) || length * 3 > text_size)
        return;
    for (unsigned i = 0; i < length; i++)
        snprintf(text_r + i * 3, text_size - i * 3, "%02X%s", digest[i], i + 1 < length ? ":" : "");
}

// ---- Chains

static void name_chain(struct tls_chain *c)
{
    tls_name_of(X509_get_subject_name(c->certs[0]), c->subject);
    if (c->subject[0] == '\0')
        strncpy(c->subject, "a certificate without name", sizeof c->subject - 1);
}

struct tls_chain *tls_chain_parse(struct str pem, struct err *err)
{
    if (pem.len > TLS_CHAIN_BYTES_MAX) {
        err_set(err, ERR_PERMANENT, "certificates of more than %d bytes", TLS_CHAIN_BYTES_MAX);
        return NULL;
    }
    tls_library_init();
    ERR_clear_error();
    struct tls_chain *c = MEM_NEW(struct tls_chain);
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert;
    while (bio != NULL && c->count < TLS_CHAIN_CERTS_MAX &&
           (cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL)
        c->certs[c->count++] = cert;
    unsigned long last = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    if (c->count == TLS_CHAIN_CERTS_MAX || c->count == 0 || !is_end) {
        if (is_end || c->count == TLS_CHAIN_CERTS_MAX) {
            err_set(err, ERR_PERMANENT, c->count == 0 ? "no certificate in it" : "too many certificates in it");
            ERR_clear_error();
        } else {
            tls_err(err, "a certificate cannot be read");
        }
        tls_chain_free(c);
        return NULL;
    }
    ERR_clear_error();
    EVP_PKEY *key = X509_get0_pubkey(c->certs[0]);
    if (key == NULL || tls_key_id_of(key, c->key_id) < 0) {
        tls_err(err, "the certificate's public key cannot be read");
        tls_chain_free(c);
        return NULL;
    }
    name_chain(c);
    return c;
}

void tls_chain_free(struct tls_chain *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        X509_free(c->certs[i]);
    mem_free(c);
}

const unsigned char *tls_chain_key_id(const struct tls_chain *c)
{
    return c->key_id;
}

const char *tls_chain_subject(const struct tls_chain *c)
{
    return c->subject;
}

static int64_t wall_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

void tls_chain_dates(const struct tls_chain *c, int64_t *not_before_r, int64_t *not_after_r)
{
    *not_before_r = wall_of(X509_get0_notBefore(c->certs[0]));
    *not_after_r = wall_of(X509_get0_notAfter(c->certs[0]));
}

void tls_chain_add_pem(const struct tls_chain *c, struct buf *pem)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    for (size_t i = 0; bio != NULL && i < c->count; i++)
        PEM_write_bio_X509(bio, c->certs[i]);
    long size = bio == NULL ? 0 : BIO_get_mem_data(bio, &text);
    if (size > 0)
        buf_add(pem, text, (size_t)size);
    BIO_free(bio);
}

// ---- Keys

static int no_pass_phrase(char *text, int size, int writes, void *arg)
{
    return -1;
}

struct tls_key *tls_key_parse(struct str pem, struct err *err)
{
    if (pem.len > TLS_CHAIN_BYTES_MAX) {
        err_set(err, ERR_PERMANENT, "a key file of more than %d bytes", TLS_CHAIN_BYTES_MAX);
        return NULL;
    }
    tls_library_init();
    ERR_clear_error();
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    BIO_free(bio);
    if (pkey == NULL) {
        tls_err(err, "no private key in it that can be read");
        return NULL;
    }
    ERR_clear_error();
    struct tls_key *k = MEM_NEW(struct tls_key);
    k->pkey = pkey;
    if (tls_key_id_of(pkey, k->id) == 0)
        return k;
    tls_err(err, "a private key of an unknown kind");
    tls_key_free(k);
    return NULL;
}

void tls_key_free(struct tls_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->pkey); // wipes the private numbers
    mem_free(k);
}

const unsigned char *tls_key_id(const struct tls_key *k)
{
    return k->id;
}

static bool is_signing_digest(const char *digest)
{
    static const char *const known[] = {"",         "SHA256", "SHA2-256", "SHA384",   "SHA2-384", "SHA512",
                                        "SHA2-512", "SHA1",   "SHA224",   "SHA2-224", "MD5-SHA1"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(digest, known[i]) == 0)
            return true;
    return false;
}

static int sign(EVP_MD_CTX *ctx, const char *algorithm, struct raw input, struct buf *signature_r)
{
    size_t size = 0;
    unsigned char signature[1024];
    if (!EVP_DigestSign(ctx, NULL, &size, input.ptr, input.len) || size > sizeof signature)
        return -1;
    size = sizeof signature;
    if (!EVP_DigestSign(ctx, signature, &size, input.ptr, input.len))
        return -1;
    buf_add(signature_r, signature, size);
    return 0;
}

int tls_key_sign(struct tls_key *k, const char *algorithm, const char *digest, struct raw input,
                 struct buf *signature_r, struct err *err)
{
    bool is_pss = strcmp(algorithm, "rsa-pss") == 0;
    const char *type = is_pss || strcmp(algorithm, "rsa") == 0 ? "RSA"
                       : strcmp(algorithm, "ec") == 0          ? "EC"
                       : strcmp(algorithm, "ed25519") == 0     ? "ED25519"
                       : strcmp(algorithm, "ed448") == 0       ? "ED448"
                                                               : "";
    if (!EVP_PKEY_is_a(k->pkey, type) || !is_signing_digest(digest) || input.len > TLS_SIGN_INPUT_MAX)
        return err_set(err, ERR_PROTOCOL, "unusual request for a signature");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    ERR_clear_error();
    int rc = -1;
    if (ctx != NULL && EVP_DigestSignInit_ex(ctx, &how, digest[0] ? digest : NULL, NULL, NULL, k->pkey, NULL) &&
        (!is_pss || (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0 &&
                     EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) > 0)))
        rc = sign(ctx, algorithm, input, signature_r);
    EVP_MD_CTX_free(ctx);
    return rc == 0 ? 0 : tls_err(err, "signature");
}
