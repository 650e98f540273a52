// SPDX-License-Identifier: ISC
// tls_internal.h: what the TLS files share, and the only header that knows OpenSSL's types.
#ifndef DROMOS_NET_TLS_INTERNAL_H
#define DROMOS_NET_TLS_INTERNAL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/net/stream_internal.h"
#include "lib/net/tls.h"

enum { TLS_CHAIN_CERTS_MAX = 10, TLS_CHAIN_BYTES_MAX = 256 * 1024, TLS_PROBLEMS_MAX = 1024 };

struct tls_chain {
    X509 *certs[TLS_CHAIN_CERTS_MAX]; // leaf first
    size_t count;
    unsigned char key_id[TLS_KEY_ID_SIZE];
    char subject[TLS_NAME_MAX + 1];
};

// One side of one connection; belongs to its stream.
struct tls {
    SSL *ssl;
    struct co_fd *fd;
    const struct tls_keeper *keeper;
    const EVP_MD *fingerprint_md;
    const struct tls_client_start *check; // during the client's handshake only
    struct buf out;                       // records made, not yet written
    struct buf problems, trace;
    struct tls_info *info;
    int saved_errno; // of the last read from the descriptor
    int log_level;
    size_t trace_size;
    bool is_ended; // the descriptor has no more
    bool is_server;
    bool wildcards_span_labels;
    bool has_failed; // no close notice can be sent
};

// tls_context.c
void tls_library_init(void);
void tls_cipher_list_add(struct buf *list, struct str ciphers, bool is_server);
int tls_context_use_chain(SSL_CTX *ctx, SSL *ssl, const struct tls_chain *chain, const struct tls_keeper *keeper,
                          struct err *err);
int tls_protocols_parse(struct str protocols, int *min_r, int *max_r, uint64_t *off_r); // off_r: SSL_OP_NO_… bits
int tls_apply_protocols(SSL *ssl, struct str protocols, struct err *err);
// err of kind PERMANENT: "what: first library error"; empties the library's queue.
int tls_err(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum { TLS_TRUST_SIZE = 32 }; // of the digest of whom a context trusts

struct tls_server_context {
    SSL_CTX *ctx;
    struct tls_server_options options;
    unsigned char trust[TLS_TRUST_SIZE]; // whose sessions count here
    size_t chain_count;
};
struct tls_client_context {
    SSL_CTX *ctx;
    struct tls_options options;
    unsigned char trust[TLS_TRUST_SIZE];
};

// tls_remote_key.c: a private key whose arithmetic happens elsewhere: the public key of `leaf`, signing by the keeper.
EVP_PKEY *tls_remote_key_new(X509 *leaf, const struct tls_keeper *keeper, struct err *err);

// tls_certificate.c
int tls_key_id_of(EVP_PKEY *key, unsigned char *id_r);
void tls_name_of(X509_NAME *name, char *text_r);        // the first CN, checked and bounded; "" without one
void tls_issuer_name_of(X509_NAME *name, char *text_r); // the same, or the organization: for logs
bool tls_has_one_name(X509_NAME *name);                 // one CN, no more: it may stand for somebody
void tls_fingerprint(const unsigned char *data, size_t size, const EVP_MD *md, char *text_r, size_t text_size);

// tls_resume.c: tickets and the cache of the server's sessions.
void tls_server_resume_init(SSL_CTX *ctx, const struct tls_server_options *o);
bool tls_session_is_current(const SSL_SESSION *session); // its certificate, if any, has not expired

// tls_verify.c
int tls_client_check_begin(struct tls *t, const struct tls_client_start *start, struct err *err);
void tls_client_check_end(struct tls *t, const struct tls_client_start *start);

// tls_info.c
void tls_info_fill(struct tls *t);

// tls_session.c: for stream.c. As read(2) and a write of everything, within the deadline.
ssize_t tls_read(struct tls *t, void *data, size_t size, int64_t deadline) CO;
int tls_write_all(struct tls *t, const void *data, size_t size, int64_t deadline) CO;
bool tls_has_input(struct tls *t);                 // plaintext or an end is there, without waiting
void tls_send_now(struct tls *t, struct str text); // if it needs no wait
void tls_free(struct tls *t);                      // says goodbye if that needs no wait

#endif
