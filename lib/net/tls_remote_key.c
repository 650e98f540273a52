// SPDX-License-Identifier: ISC
// tls_remote_key.c: private keys that are elsewhere: an OpenSSL provider with keys that are public, and signatures that
// ask a keeper.
//
// The provider has key management and signatures for RSA, EC, ED25519 and ED448 and nothing else. A key wraps the
// public key of the default provider. Exporting the private half fails, so OpenSSL comes back here to sign, with what
// is to be signed whole.
// Suspends: signing, inside SSL_do_handshake: the library keeps no lock and no thread state but its error queue there.
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

#define PROVIDER_NAME "dromos"
#define IMPORT_PARAM  "dromos-key" // carries a struct remote_key pointer

struct remote_key {
    EVP_PKEY *public_key;
    const struct tls_keeper *keeper;
    unsigned char id[TLS_KEY_ID_SIZE];
};

// ---- Key management

static void *key_new(void *provctx)
{
    return OPENSSL_zalloc(sizeof(struct remote_key));
}

static void key_free(void *data)
{
    struct remote_key *k = data;
    if (k != NULL)
        EVP_PKEY_free(k->public_key);
    OPENSSL_free(k);
}

static int key_has(const void *data, int selection)
{
    const struct remote_key *k = data;
    return k != NULL && k->public_key != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct remote_key *one = a, *other = b;
    return EVP_PKEY_eq(one->public_key, other->public_key) == 1;
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_ptr(IMPORT_PARAM, NULL, 0), OSSL_PARAM_END};
    return types;
}

static int key_import(void *data, int selection, const OSSL_PARAM params[])
{
    struct remote_key *k = data;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, IMPORT_PARAM);
    const void *from = NULL;
    size_t size;
    if (p == NULL || !OSSL_PARAM_get_octet_ptr(p, &from, &size) || size != sizeof(struct remote_key))
        return 0;
    const struct remote_key *source = from;
    if (!EVP_PKEY_up_ref(source->public_key))
        return 0;
    *k = *source;
    return 1;
}

static const OSSL_PARAM *key_export_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) ? NULL : types;
}

static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg)
{
    struct remote_key *k = data;
    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
        return 0;
    return EVP_PKEY_export(k->public_key, selection, callback, arg);
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
    struct remote_key *k = data;
    return EVP_PKEY_get_params(k->public_key, params);
}

static const OSSL_PARAM *key_gettable_params(void *provctx)
{
    static const OSSL_PARAM gettable[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                                          OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                                          OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                                          OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                          OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
                                          OSSL_PARAM_END};
    return gettable;
}

static const char *ec_signature_name(int operation)
{
    return "ECDSA";
}

#define FN(id, function)                                                                                               \
    {                                                                                                                  \
        id, (void (*)(void))(function)                                                                                 \
    }
#define KEY_FUNCTIONS                                                                                                  \
    FN(OSSL_FUNC_KEYMGMT_NEW, key_new), FN(OSSL_FUNC_KEYMGMT_FREE, key_free), FN(OSSL_FUNC_KEYMGMT_HAS, key_has),      \
        FN(OSSL_FUNC_KEYMGMT_MATCH, key_match), FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                              \
        FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types), FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                \
        FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types), FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),        \
        FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params)
static const OSSL_DISPATCH key_functions[] = {KEY_FUNCTIONS, {0, NULL}};
static const OSSL_DISPATCH ec_key_functions[] = {
    KEY_FUNCTIONS, FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_signature_name), {0, NULL}};

// ---- Signatures

struct signing {
    struct remote_key *key; // borrowed: OpenSSL keeps the EVP_PKEY while its context lives
    char digest[32];
    bool is_pss;
    struct buf input;
};

static void *signing_new(void *provctx, const char *propq)
{
    return OPENSSL_zalloc(sizeof(struct signing));
}

static void signing_free(void *data)
{
    struct signing *s = data;
    buf_release(&s->input);
    OPENSSL_free(s);
}

static int signing_set_params(void *data, const OSSL_PARAM params[])
{
    struct signing *s = data;
    if (params == NULL)
        return 1;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    int mode = 0;
    if (p != NULL && p->data_type == OSSL_PARAM_UTF8_STRING)
        s->is_pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
    else if (p != NULL && OSSL_PARAM_get_int(p, &mode))
        s->is_pss = mode == RSA_PKCS1_PSS_PADDING;
    return 1; // the salt is always as long as the digest, as TLS wants it
}

static const OSSL_PARAM *signing_settable(void *data, void *provctx)
{
    static const OSSL_PARAM settable[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
                                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                                          OSSL_PARAM_END};
    return settable;
}

static int signing_init(void *data, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct signing *s = data;
    if (key != NULL)
        s->key = key;
    buf_clear(&s->input);
    s->digest[0] = '\0';
    if (digest != NULL) {
        EVP_MD *md = EVP_MD_fetch(NULL, digest, NULL); // its one name, whatever alias was used
        if (md == NULL || strlen(EVP_MD_get0_name(md)) >= sizeof s->digest) {
            EVP_MD_free(md);
            return 0;
        }
        strncpy(s->digest, EVP_MD_get0_name(md), sizeof s->digest - 1);
        EVP_MD_free(md);
    }
    return s->key != NULL && signing_set_params(s, params);
}

static const char *algorithm_of(const struct signing *s)
{
    if (EVP_PKEY_is_a(s->key->public_key, "RSA"))
        return s->is_pss ? "rsa-pss" : "rsa";
    if (EVP_PKEY_is_a(s->key->public_key, "EC"))
        return "ec";
    return EVP_PKEY_is_a(s->key->public_key, "ED25519") ? "ed25519" : "ed448";
}

static int signing_run(struct signing *s, unsigned char *signature, size_t *length, size_t room)
{
    co_assert_running();
    struct tls_sign_request request = {.algorithm = algorithm_of(s),
                                       .digest = s->digest,
                                       .input = {(const unsigned char *)s->input.ptr, s->input.len}};
    struct buf made = BUF_INIT;
    struct err err = ERR_INIT;
    const struct tls_keeper *keeper = s->key->keeper;
    memcpy(request.key_id, s->key->id, TLS_KEY_ID_SIZE);
    int rc = keeper->sign != NULL ? keeper->sign(keeper->arg, &request, &made, &err)
                                  : err_set(&err, ERR_BUG, "no private keys here");
    ERR_clear_error(); // others have used the thread's queue while this waited
    bool is_good = rc == 0 && made.len > 0 && made.len <= room;
    if (is_good) {
        memcpy(signature, made.ptr, made.len);
        *length = made.len;
    } else {
        ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "private key: %s",
                       rc == 0 ? "signature of a wrong size" : err.text);
    }
    buf_release(&made);
    return is_good;
}

static int signing_update(void *data, const unsigned char *input, size_t size)
{
    struct signing *s = data;
    if (size > TLS_SIGN_INPUT_MAX || s->input.len + size > TLS_SIGN_INPUT_MAX)
        return 0;
    buf_add(&s->input, input, size);
    return 1;
}

static int signing_final(void *data, unsigned char *signature, size_t *length, size_t room)
{
    struct signing *s = data;
    if (signature == NULL) {
        *length = (size_t)EVP_PKEY_get_size(s->key->public_key);
        return 1;
    }
    return signing_run(s, signature, length, room);
}

/* callback: the parameters are a library's */
static int signing_once(void *data, unsigned char *signature, size_t *length, size_t room, const unsigned char *input,
                        size_t size)
{
    struct signing *s = data;
    if (signature == NULL)
        return signing_final(s, NULL, length, room);
    buf_clear(&s->input);
    return signing_update(s, input, size) && signing_run(s, signature, length, room);
}

static const OSSL_DISPATCH signature_functions[] = {FN(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
                                                    FN(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
                                                    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
                                                    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_once),
                                                    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, signing_update),
                                                    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, signing_final),
                                                    FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set_params),
                                                    FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
                                                    {0, NULL}};

// ---- The provider

static const OSSL_ALGORITHM key_algorithms[] = {
    {"RSA:rsaEncryption", "provider=" PROVIDER_NAME, key_functions, "remote RSA key"},
    {"EC:id-ecPublicKey", "provider=" PROVIDER_NAME, ec_key_functions, "remote EC key"},
    {"ED25519", "provider=" PROVIDER_NAME, key_functions, "remote ED25519 key"},
    {"ED448", "provider=" PROVIDER_NAME, key_functions, "remote ED448 key"},
    {NULL, NULL, NULL, NULL}};
static const OSSL_ALGORITHM signature_algorithms[] = {
    {"RSA:rsaEncryption", "provider=" PROVIDER_NAME, signature_functions, "remote RSA signature"},
    {"ECDSA", "provider=" PROVIDER_NAME, signature_functions, "remote ECDSA signature"},
    {"ED25519", "provider=" PROVIDER_NAME, signature_functions, "remote ED25519 signature"},
    {"ED448", "provider=" PROVIDER_NAME, signature_functions, "remote ED448 signature"},
    {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT ? key_algorithms : operation == OSSL_OP_SIGNATURE ? signature_algorithms : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provctx)
{
    *out = provider_functions;
    *provctx = (void *)(uintptr_t)handle;
    return 1;
}

static OSSL_PROVIDER *loaded[2]; // for as long as the process lives

static void unload_providers(void)
{
    for (size_t i = 0; i < 2; i++)
        OSSL_PROVIDER_unload(loaded[i]);
}

// The default provider is loaded by hand, for naming any provider ends its being loaded at need.
static int load_provider(struct err *err)
{
    if (loaded[1] != NULL)
        return 0;
    loaded[0] = OSSL_PROVIDER_load(NULL, "default");
    if (loaded[0] != NULL && OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, provider_init))
        loaded[1] = OSSL_PROVIDER_load(NULL, PROVIDER_NAME);
    if (loaded[1] == NULL)
        return tls_err(err, "cannot load the provider of remote keys");
    OPENSSL_atexit(unload_providers);
    return 0;
}

static const char *type_of(EVP_PKEY *key)
{
    static const char *const types[] = {"RSA", "EC", "ED25519", "ED448"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (EVP_PKEY_is_a(key, types[i]))
            return types[i];
    return NULL;
}

EVP_PKEY *tls_remote_key_new(X509 *leaf, const struct tls_keeper *keeper, struct err *err)
{
    EVP_PKEY *key = NULL;
    struct remote_key remote = {.public_key = X509_get0_pubkey(leaf), .keeper = keeper};
    if (load_provider(err) < 0)
        return NULL;
    const char *type = remote.public_key != NULL ? type_of(remote.public_key) : NULL;
    if (type == NULL || tls_key_id_of(remote.public_key, remote.id) < 0) {
        tls_err(err, "certificate with a public key of an unknown kind");
        return NULL;
    }
    void *from = &remote;
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_octet_ptr(IMPORT_PARAM, &from, sizeof remote),
                            OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=" PROVIDER_NAME);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) <= 0) {
        tls_err(err, "cannot make a remote key");
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}
