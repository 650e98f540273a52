// SPDX-License-Identifier: ISC
// tls_context.c: what all TLS sessions of one side share: protocols, ciphers, groups, trusted authorities, chains.
#include <openssl/rand.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

#define SEPARATORS ", \t\r\n:"

int tls_err(struct err *err, const char *format, ...)
{
    va_list ap;
    struct buf text = BUF_INIT;
    char reason[160] = "unknown reason";
    unsigned long code = ERR_peek_error();

    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    if (code != 0)
        ERR_error_string_n(code, reason, sizeof reason);
    err_set(err, ERR_PERMANENT, "%s: %s", buf_cstr(&text), reason);
    ERR_clear_error();
    buf_release(&text);
    return -1;
}

int tls_random(void *data, size_t size)
{
    return RAND_bytes(data, (int)size) == 1 ? 0 : -1;
}

// ---- Protocols

static const struct {
    const char *name;
    int version;
    uint64_t off;
} protocol_names[] = {{"SSLv2", SSL2_VERSION, 0},
                      {"SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3},
                      {"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
                      {"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
                      {"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
                      {"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3}};
enum { PROTOCOL_COUNT = sizeof protocol_names / sizeof protocol_names[0] };

static int protocol_index(struct str name)
{
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        if (str_is_nocase(name, str_from(protocol_names[i].name)))
            return i;
    return -1;
}

// A bound may be a name or a number as "0304" or "0x0304"; "" is none.
static int bound_parse(struct str text, int *version_r)
{
    unsigned version = 0;
    int known = protocol_index(text);
    if (known >= 0 || text.len == 0) {
        *version_r = known >= 0 ? protocol_names[known].version : 0;
        return 0;
    }
    if (str_starts(text, STR("0x")))
        text = str_slice(text, 2, text.len);
    if (text.len == 0 || text.len > 4)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr("0123456789abcdef", text.ptr[i] | 0x20, 16);
        if (digit == NULL)
            return -1;
        version = version * 16 + (unsigned)(digit - "0123456789abcdef");
    }
    *version_r = (int)version;
    return 0;
}

int tls_protocols_parse(struct str protocols, int *min_r, int *max_r, uint64_t *off_r)
{
    struct str word;
    unsigned wanted = 0, unwanted = 0;
    *min_r = *max_r = 0;
    while (str_token(&protocols, SEPARATORS, &word)) {
        bool is_min = str_starts(word, STR(">=")), is_max = str_starts(word, STR("<="));
        if (is_min || is_max) {
            if (bound_parse(str_slice(word, 2, word.len), is_min ? min_r : max_r) < 0)
                return -1;
            continue;
        }
        bool is_excluded = str_starts(word, STR("!"));
        int at = protocol_index(is_excluded ? str_slice(word, 1, word.len) : word);
        if (at < 0)
            return -1;
        *(is_excluded ? &unwanted : &wanted) |= 1u << at;
    }
    *off_r = 0;
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        if ((unwanted & (1u << i)) || (wanted != 0 && !(wanted & (1u << i))))
            *off_r |= protocol_names[i].off;
    return 0;
}

bool tls_protocols_are_valid(struct str protocols)
{
    int min, max;
    uint64_t off;
    return tls_protocols_parse(protocols, &min, &max, &off) == 0;
}

#define PROTOCOLS_OFF (SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3)

static int bad_protocols(struct str protocols, struct err *err)
{
    return err_set(err, ERR_PERMANENT, "invalid TLS protocol list \"" STR_FMT "\"", STR_ARG(protocols));
}

int tls_apply_protocols(SSL *ssl, struct str protocols, struct err *err)
{
    int min, max;
    uint64_t off;
    if (tls_protocols_parse(protocols, &min, &max, &off) < 0)
        return bad_protocols(protocols, err);
    SSL_clear_options(ssl, PROTOCOLS_OFF);
    SSL_set_options(ssl, off);
    if (!SSL_set_min_proto_version(ssl, min) || !SSL_set_max_proto_version(ssl, max))
        return tls_err(err, "TLS protocol list \"" STR_FMT "\"", STR_ARG(protocols));
    return 0;
}

// ---- Options by name

struct option_name {
    const char *name;
    uint64_t bits;
};
static const struct option_name ssl_option_names[] = {
    {"ENABLE_KTLS", SSL_OP_ENABLE_KTLS},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
    {"NO_ANTI_REPLAY", SSL_OP_NO_ANTI_REPLAY},
    {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
    {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
    {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
    {"NO_TICKET", SSL_OP_NO_TICKET},
    {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
    {"SERVER_PREFERENCE", SSL_OP_CIPHER_SERVER_PREFERENCE},
    {"NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC}};
static const struct option_name workaround_names[] = {
    {"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
    {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
    {"SAFARI_ECDHE_ECDSA_BUG", SSL_OP_SAFARI_ECDHE_ECDSA_BUG},
    {"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT}};
static const char *const past_workarounds[] = {"MICROSOFT_SESS_ID_BUG",
                                               "NETSCAPE_CHALLENGE_BUG",
                                               "NETSCAPE_REUSE_CIPHER_CHANGE_BUG",
                                               "SSLREF2_REUSE_CERT_TYPE_BUG",
                                               "MICROSOFT_BIG_SSLV3_BUFFER",
                                               "MSIE_SSLV2_RSA_PADDING",
                                               "SSLEAY_080_CLIENT_DH_BUG",
                                               "TLS_D5_BUG",
                                               "TLS_BLOCK_PADDING_BUG",
                                               "TLS_ROLLBACK_BUG",
                                               "NETSCAPE_CA_DN_BUG",
                                               "NETSCAPE_DEMO_CIPHER_CHANGE_BUG",
                                               "CVE-2005-2969",
                                               "CVE-2010-4180"};

static bool is_past(struct str word)
{
    for (size_t i = 0; i < sizeof past_workarounds / sizeof past_workarounds[0]; i++)
        if (str_is_nocase(word, str_from(past_workarounds[i])))
            return true;
    return false;
}

// Words of a list as bits; "0x…" gives bits by number.
static int parse_names(struct str list, const struct option_name *names, size_t count, uint64_t *bits_r)
{
    struct str word;
    *bits_r = 0;
    while (str_token(&list, SEPARATORS, &word)) {
        size_t i = 0;
        while (i < count && !str_is_nocase(word, str_from(names[i].name)))
            i++;
        if (i < count) {
            *bits_r |= names[i].bits;
        } else if (str_starts(word, STR("0x")) && word.len <= 18) {
            *bits_r |= strtoull(word.ptr, NULL, 16);
        } else if (!is_past(word)) {
            return -1;
        }
    }
    return 0;
}

static int set_options(SSL_CTX *ctx, const struct tls_options *o, struct err *err)
{
    uint64_t extra, off;
    if (parse_names(o->ssl_options, ssl_option_names, sizeof ssl_option_names / sizeof ssl_option_names[0], &extra) < 0)
        return err_set(err, ERR_PERMANENT, "invalid name in \"" STR_FMT "\" of tls_ssl_options",
                       STR_ARG(o->ssl_options));
    if (parse_names(o->disable_workarounds, workaround_names, sizeof workaround_names / sizeof workaround_names[0],
                    &off) < 0)
        return err_set(err, ERR_PERMANENT, "invalid name in \"" STR_FMT "\" of tls_disable_workarounds",
                       STR_ARG(o->disable_workarounds));
    SSL_CTX_set_options(ctx, (SSL_OP_ALL & ~off) | extra | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (o->prefers_own_order)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return 0;
}

// Groups that this library does not know are passed over: the lists of main.cf are made for several versions.
static void set_groups(SSL_CTX *ctx, struct str groups)
{
    struct buf known = BUF_INIT;
    struct str word;
    while (str_token(&groups, SEPARATORS, &word)) {
        size_t before = known.len;
        buf_addf(&known, "%s" STR_FMT, before > 0 ? ":" : "", STR_ARG(word));
        if (!SSL_CTX_set1_groups_list(ctx, buf_cstr(&known)))
            buf_truncate(&known, before);
    }
    if (known.len > 0)
        SSL_CTX_set1_groups_list(ctx, buf_cstr(&known)); // the last try above may have failed
    ERR_clear_error();
    buf_release(&known);
}

// `like` has them already: files may be out of reach by now.
static int copy_authorities(SSL_CTX *ctx, SSL_CTX *like)
{
    X509_STORE *store = SSL_CTX_get_cert_store(like);
    if (!X509_STORE_up_ref(store))
        return -1;
    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(SSL_CTX_get_client_CA_list(like)));
    return 0;
}

static int load_authorities(SSL_CTX *ctx, const struct tls_options *o, bool is_server, struct err *err)
{
    struct buf file = BUF_INIT, path = BUF_INIT;
    int rc = 0;
    buf_add_str(&file, o->ca_file);
    buf_add_str(&path, o->ca_path);
    if (file.len > 0 && !SSL_CTX_load_verify_file(ctx, buf_cstr(&file)))
        rc = tls_err(err, "cannot load trusted certificates of %s", buf_cstr(&file));
    if (rc == 0 && path.len > 0 && !SSL_CTX_load_verify_dir(ctx, buf_cstr(&path)))
        rc = tls_err(err, "cannot use the directory of trusted certificates %s", buf_cstr(&path));
    if (rc == 0 && o->append_default_ca && !SSL_CTX_set_default_verify_paths(ctx))
        rc = tls_err(err, "cannot load the system's trusted certificates");
    if (rc == 0 && is_server && file.len > 0)
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(buf_cstr(&file)));
    buf_release(&file);
    buf_release(&path);
    return rc;
}

void tls_library_init(void)
{
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

// A server's keys only sign: ciphers in which the client encrypts to the certificate's key are left out. Such a key
// would have to answer every stranger's attempt to decrypt.
void tls_cipher_list_add(struct buf *list, struct str ciphers, bool is_server)
{
    buf_add_str(list, ciphers);
    if (ciphers.len > 0 && is_server)
        buf_add_cstr(list, ":!kRSA");
}

static int set_ciphers(SSL_CTX *ctx, struct str ciphers, bool is_server, struct err *err)
{
    struct buf list = BUF_INIT;
    int rc = 0;
    tls_cipher_list_add(&list, ciphers, is_server);
    if (list.len > 0 && !SSL_CTX_set_cipher_list(ctx, buf_cstr(&list)))
        rc = tls_err(err, "TLS cipher list \"%s\"", buf_cstr(&list));
    buf_release(&list);
    return rc;
}

static int check_digest(struct str name, struct err *err)
{
    struct buf text = BUF_INIT;
    buf_add_str(&text, name);
    bool is_known = name.len == 0 || EVP_get_digestbyname(buf_cstr(&text)) != NULL;
    buf_release(&text);
    return is_known ? 0 : err_set(err, ERR_PERMANENT, "unknown fingerprint digest \"" STR_FMT "\"", STR_ARG(name));
}

static int set_up(SSL_CTX *ctx, const struct tls_options *o, bool is_server, SSL_CTX *like, struct err *err)
{
    int min, max;
    uint64_t off;
    if (tls_protocols_parse(o->protocols, &min, &max, &off) < 0)
        return bad_protocols(o->protocols, err);
    if (!SSL_CTX_set_min_proto_version(ctx, min) || !SSL_CTX_set_max_proto_version(ctx, max))
        return tls_err(err, "TLS protocol list \"" STR_FMT "\"", STR_ARG(o->protocols));
    // Opportunistic TLS takes what the peer has: which ciphers are good enough the cipher list says.
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_options(ctx, off);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); // one system call for a record
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, 100 * 1024); // of a peer's chain
    if (o->verify_depth > 0)
        SSL_CTX_set_verify_depth(ctx, o->verify_depth);
    set_groups(ctx, o->groups);
    if (check_digest(o->fingerprint_digest, err) < 0 || set_options(ctx, o, err) < 0 ||
        set_ciphers(ctx, o->ciphers, is_server, err) < 0)
        return -1;
    return like != NULL ? copy_authorities(ctx, like) : load_authorities(ctx, o, is_server, err);
}

// tls_config_file and tls_config_name: an application section of OpenSSL's own configuration.
static int load_config(const struct tls_options *o, struct err *err)
{
    struct buf file = BUF_INIT, name = BUF_INIT;
    bool is_default = o->config_file.len == 0 || str_is(o->config_file, STR("default"));
    int rc = 0;
    if (!str_is(o->config_file, STR("none")) && !(is_default && o->config_name.len == 0)) {
        buf_add_str(&file, o->config_file);
        buf_add_str(&name, o->config_name);
        if (CONF_modules_load_file(is_default ? NULL : buf_cstr(&file), name.len > 0 ? buf_cstr(&name) : NULL, 0) <= 0)
            rc = tls_err(err, "cannot load OpenSSL's configuration " STR_FMT, STR_ARG(o->config_file));
    }
    buf_release(&file);
    buf_release(&name);
    return rc;
}

// With the files of `o`, or with what `like` has read from them.
static SSL_CTX *context_new(const struct tls_options *o, bool is_server, SSL_CTX *like, struct err *err)
{
    tls_library_init();
    ERR_clear_error();
    if (like == NULL && load_config(o, err) < 0)
        return NULL;
    SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        tls_err(err, "cannot start the TLS library");
        return NULL;
    }
    if (set_up(ctx, o, is_server, like, err) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

// ---- Chains

int tls_context_use_chain(SSL_CTX *ctx, SSL *ssl, const struct tls_chain *chain, const struct tls_keeper *keeper,
                          struct err *err)
{
    STACK_OF(X509) *rest = sk_X509_new_null();
    EVP_PKEY *key = tls_remote_key_new(chain->certs[0], keeper, err);
    int rc = -1;
    if (key != NULL && rest != NULL) {
        for (size_t i = 1; i < chain->count; i++)
            sk_X509_push(rest, chain->certs[i]);
        int done = ctx != NULL ? SSL_CTX_use_cert_and_key(ctx, chain->certs[0], key, rest, 1)
                               : SSL_use_cert_and_key(ssl, chain->certs[0], key, rest, 1);
        rc = done == 1 ? 0 : tls_err(err, "cannot use the certificate of %s", chain->subject);
    }
    sk_X509_free(rest);
    EVP_PKEY_free(key);
    return rc;
}

static int use_chains(SSL_CTX *ctx, struct tls_chain *const *chains, size_t count, const struct tls_keeper *keeper,
                      struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (tls_context_use_chain(ctx, NULL, chains[i], keeper, err) < 0)
            return -1;
    return 0;
}

static int ask_certificates(int is_good, X509_STORE_CTX *store)
{
    return 1; // the session decides what an untrusted certificate may do
}

// What a verdict about a certificate rests on. Directories of authorities count by name: their files are read when they
// are needed.
static void digest_trust(SSL_CTX *ctx, const struct tls_options *o, bool takes_any_purpose, unsigned char *digest_r)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size;
    struct buf text = BUF_INIT;
    buf_addf(&text, "%d %d %d " STR_FMT "\n", takes_any_purpose, o->append_default_ca, o->verify_depth,
             STR_ARG(o->ca_path));
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (cert != NULL && X509_digest(cert, EVP_sha256(), digest, &size))
            buf_add(&text, digest, size);
    }
    if (!EVP_Digest(text.ptr, text.len, digest_r, NULL, EVP_sha256(), NULL))
        die("out of memory for TLS");
    buf_release(&text);
}

// With what `c` has read from files, once it has.
static SSL_CTX *server_context(struct tls_server_context *c, struct err *err)
{
    const struct tls_server_options *o = &c->options;
    SSL_CTX *ctx = context_new(&o->common, true, c->ctx, err);
    if (ctx == NULL)
        return NULL;
    if (c->ctx == NULL && o->asks_certificate)
        digest_trust(ctx, &o->common, o->trusts_server_certificates, c->trust);
    if (o->asks_certificate)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, ask_certificates);
    if (o->trusts_server_certificates)
        SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
    // A session of a service that asks nothing, or trusts others, proves nothing here: it is not resumed.
    SSL_CTX_set_session_id_context(ctx, c->trust, sizeof c->trust);
    tls_server_resume_init(ctx, o);
    return ctx;
}

struct tls_server_context *tls_server_context_open(const struct tls_server_options *o, struct err *err)
{
    struct tls_server_context *c = MEM_NEW(struct tls_server_context);
    c->options = *o;
    c->ctx = server_context(c, err);
    if (c->ctx != NULL)
        return c;
    mem_free(c);
    return NULL;
}

// A context of its own, for a key type that is no longer there must not stay.
int tls_server_context_set_chains(struct tls_server_context *c, struct tls_chain *const *chains, size_t count,
                                  struct err *err)
{
    SSL_CTX *ctx = server_context(c, err);
    if (ctx == NULL)
        return -1;
    if (use_chains(ctx, chains, count, c->options.common.keeper, err) < 0) {
        SSL_CTX_free(ctx);
        return -1;
    }
    SSL_CTX_free(c->ctx);
    c->ctx = ctx;
    c->chain_count = count;
    return 0;
}

bool tls_server_context_has_chains(const struct tls_server_context *c)
{
    return c->chain_count > 0;
}

void tls_server_context_close(struct tls_server_context *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->ctx);
    mem_free(c);
}

static SSL_CTX *client_context(const struct tls_options *o, SSL_CTX *like, struct err *err)
{
    SSL_CTX *ctx = context_new(o, false, like, err);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_dane_enable(ctx);
    SSL_CTX_dane_set_flags(ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    return ctx;
}

struct tls_client_context *tls_client_context_open(const struct tls_options *o, struct err *err)
{
    SSL_CTX *ctx = client_context(o, NULL, err);
    if (ctx == NULL)
        return NULL;
    struct tls_client_context *c = MEM_NEW(struct tls_client_context);
    c->ctx = ctx;
    c->options = *o;
    digest_trust(ctx, o, false, c->trust);
    return c;
}

void tls_client_context_add_trust(const struct tls_client_context *c, const struct tls_client_start *start,
                                  struct buf *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    struct buf all = BUF_INIT;
    buf_add(&all, c->trust, sizeof c->trust);
    buf_addf(&all, "%d\n" STR_FMT "\n", (int)start->check, STR_ARG(start->trust_anchors));
    for (size_t i = 0; i < start->name_count; i++)
        buf_addf(&all, STR_FMT "\n", STR_ARG(start->names[i]));
    for (size_t i = 0; i < start->tlsa_count; i++) {
        const struct tls_tlsa *r = &start->tlsa[i];
        buf_addf(&all, "\n%u %u %u %zu ", r->usage, r->selector, r->matching, r->data.len);
        buf_add(&all, r->data.ptr, r->data.len);
    }
    if (!EVP_Digest(all.ptr, all.len, digest, &size, EVP_sha256(), NULL))
        die("out of memory for TLS");
    for (unsigned i = 0; i < size; i++)
        buf_addf(text, "%02x", digest[i]);
    buf_release(&all);
}

int tls_client_context_set_chains(struct tls_client_context *c, struct tls_chain *const *chains, size_t count,
                                  struct err *err)
{
    SSL_CTX *ctx = client_context(&c->options, c->ctx, err);
    if (ctx == NULL)
        return -1;
    if (use_chains(ctx, chains, count, c->options.keeper, err) < 0) {
        SSL_CTX_free(ctx);
        return -1;
    }
    SSL_CTX_free(c->ctx);
    c->ctx = ctx;
    return 0;
}

void tls_client_context_close(struct tls_client_context *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->ctx);
    mem_free(c);
}
