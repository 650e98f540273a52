// SPDX-License-Identifier: ISC
// tls.h: TLS as a property of a stream: after stream_start_tls_server or _client the stream's calls carry plaintext.
//
// A context is opened once (before the jail: it reads CA files) and shared by all sessions of a process. Private keys
// are not here: a context holds public chains, and asks a struct tls_keeper to sign, which may suspend.
// Trust: peers are hostile; certificates are parsed by OpenSSL, names taken from them are checked and bounded here.
// Suspends: handshakes; reading and flushing a stream under TLS as without. Errors as in stream.h.
// Memory: about 20 KiB for an idle session; record buffers exist only while bytes are under way.
#ifndef DROMOS_NET_TLS_H
#define DROMOS_NET_TLS_H

#include "lib/net/stream.h"

#define TLS_KEY_ID_SIZE      32 // SHA-256 of the public key (SubjectPublicKeyInfo)
#define TLS_TICKET_NAME_SIZE 16
#define TLS_CHAINS_MAX       8
#define TLS_SIGN_INPUT_MAX   (128 * 1024)
#define TLS_TRACE_MAX        (1024 * 1024)
#define TLS_NAME_MAX         255 // longest subject or issuer name that is kept

// ---- What signs, remembers and finds certificates for a context: tlsmgr, through lib/ipc/tls_client.h. Functions may
// be NULL.
struct tls_sign_request {
    unsigned char key_id[TLS_KEY_ID_SIZE];
    const char *algorithm; // "rsa", "rsa-pss", "ec", "ed25519", "ed448"
    const char *digest;    // "SHA256" …; "" for ed25519 and ed448
    struct raw input;      // what is to be signed, not yet digested
};
struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_SIZE];
    unsigned char aes[32], hmac[32];
};
struct tls_chain;
struct tls_keeper {
    void *arg;
    int (*sign)(void *arg, const struct tls_sign_request *request, struct buf *signature_r,
                struct err *err); // suspends
    // The chains for a server name that the client asked for: 1 (they stay the keeper's, and valid until something
    // suspends), 0 unknown name, -1. Suspends.
    int (*chains_for_name)(void *arg, struct str name, struct tls_chain **chains_r, size_t *count_r, struct err *err);
    // The key to make tickets with (name NULL), or the one of that name: 1, 0 none. Suspends.
    int (*ticket_key)(void *arg, const unsigned char *name, struct tls_ticket_key *key_r);
    // Sessions of clients without tickets, by session id. Suspend.
    void (*session_put)(void *arg, struct str id, struct str session);
    int (*session_get)(void *arg, struct str id, struct buf *session_r); // 1, 0
    void (*session_drop)(void *arg, struct str id);
};

// ---- Certificates: the public half of a chain.
// Parses the certificates of a PEM text, leaf first; private keys in it are passed over. NULL with err.
struct tls_chain *tls_chain_parse(struct str pem, struct err *err);
void tls_chain_free(struct tls_chain *c);
const unsigned char *tls_chain_key_id(const struct tls_chain *c);
void tls_chain_dates(const struct tls_chain *c, int64_t *not_before_r,
                     int64_t *not_after_r);               // of the leaf, wall seconds
const char *tls_chain_subject(const struct tls_chain *c); // of the leaf, its CN or first DNS name
// The certificates alone, as PEM.
void tls_chain_add_pem(const struct tls_chain *c, struct buf *pem);

// ---- Private keys: for the one process that holds them.
struct tls_key; // may be used by several threads at a time
// The first private key of a PEM text (no pass phrase). NULL with err, absent included.
struct tls_key *tls_key_parse(struct str pem, struct err *err);
void tls_key_free(struct tls_key *k);
const unsigned char *tls_key_id(const struct tls_key *k);
int tls_key_sign(struct tls_key *k, const char *algorithm, const char *digest, struct raw input,
                 struct buf *signature_r,
                 struct err *err); // blocks for the arithmetic: a job

// ---- Contexts
// What both sides configure alike (values as in main.cf). The context keeps the strings: they live as long.
struct tls_options {
    struct str ca_file, ca_path; // may be ""
    bool append_default_ca;      // the system's store, too
    struct str ciphers;          // an OpenSSL cipher list
    struct str groups;           // tls_eecdh_auto_curves and tls_ffdhe_auto_groups: unknown ones are passed over
    struct str protocols;        // ">=TLSv1.2, !TLSv1.1 …"
    struct str ssl_options, disable_workarounds; // names as in tls_ssl_options, tls_disable_workarounds
    struct str config_file, config_name;         // tls_config_file, tls_config_name
    struct str fingerprint_digest;               // "sha256"
    bool prefers_own_order;                      // tls_preempt_cipherlist
    bool wildcards_span_labels; // tls_wildcard_matches_multiple_labels: *.example.com is a.b.example.com, too
    int verify_depth;
    const struct tls_keeper *keeper; // outlives the context
};
struct tls_server_options {
    struct tls_options common;
    bool asks_certificate;           // what to do without one, or with an untrusted one, the caller decides
    bool trusts_server_certificates; // tls_trust_server_ccerts: a certificate need not be made for clients
    int64_t session_seconds;         // 0: no resumption
    bool has_session_cache;          // keeper->session_put and _get serve
    bool issues_session_ids;         // even where no session is remembered: some clients want one
    struct str ticket_cipher;        // one that tls_ticket_cipher_is_usable; "": no tickets
};
// Whether tickets can be sealed with it: CBC, blocks of 128 bits, a key of 128 to 256 bits.
bool tls_ticket_cipher_is_usable(struct str name);
struct tls_server_context;
struct tls_server_context *tls_server_context_open(const struct tls_server_options *o, struct err *err);
// The chains to offer from now on (several: RSA and ECDSA side by side); handshakes under way keep the old ones. The
// caller frees its chains.
int tls_server_context_set_chains(struct tls_server_context *c, struct tls_chain *const *chains, size_t count,
                                  struct err *err) MUST_CHECK;
bool tls_server_context_has_chains(const struct tls_server_context *c);
void tls_server_context_close(struct tls_server_context *c); // sessions under way keep what they need

struct tls_client_context;
struct tls_client_context *tls_client_context_open(const struct tls_options *o, struct err *err);
int tls_client_context_set_chains(struct tls_client_context *c, struct tls_chain *const *chains, size_t count,
                                  struct err *err) MUST_CHECK;
void tls_client_context_close(struct tls_client_context *c);

// ---- Sessions
struct tls_server_start {
    struct str ciphers;   // "" as the context says; else an OpenSSL list
    struct str protocols; // "" as the context says
    int log_level;        // of stream_tls_trace
    int64_t trace_size;   // most bytes of it; 0: TLS_TRACE_MAX
};
struct tls_tlsa {
    uint8_t usage, selector, matching;
    struct raw data;
};
enum tls_check {
    TLS_CHECK_NONE,        // encrypt only; is_trusted still tells
    TLS_CHECK_NAMES,       // chain to a CA, and one of `names`
    TLS_CHECK_FINGERPRINT, // one of `fingerprints`, of the certificate or its public key
    TLS_CHECK_DANE,        // one of the TLSA records; names serve usage 2
};
struct tls_client_start {
    struct str server_name;        // SNI, "" for none
    struct str ciphers, protocols; // "" as the context says
    enum tls_check check;
    const struct str *names; // "mx.example.com"; ".example.com" is any name below it
    size_t name_count;
    const struct str *fingerprints; // "AB:CD:…", any case
    size_t fingerprint_count;
    const struct tls_tlsa *tlsa;
    size_t tlsa_count;
    struct str trust_anchors; // PEM text: if not "", only these are trusted
    struct str session;       // from stream_tls_session earlier, with the same trust, or ""
    int log_level;
    int64_t trace_size;
};
// What a verdict about the server's certificate rests on, in hexadecimal digits: authorities, anchors, names, TLSA
// records. A session that began under other ones proves nothing.
void tls_client_context_add_trust(const struct tls_client_context *c, const struct tls_client_start *start,
                                  struct buf *text);
// Both throw away what was buffered in the clear, before the first TLS byte is read. The stream's deadline bounds the
// handshake. 0, or -1: the stream has failed; err->text says "lost connection", "-1" or the system's reason, and
// stream_tls_problems has the library's lines. A client returns 0 even when the check was not met: see is_matched.
int stream_start_tls_server(struct stream *s, struct tls_server_context *c, const struct tls_server_start *start,
                            struct err *err) CO MUST_CHECK;
int stream_start_tls_client(struct stream *s, struct tls_client_context *c, const struct tls_client_start *start,
                            struct err *err) CO MUST_CHECK;

struct tls_signature {
    char name[24];   // "RSA-PSS", "ECDSA", "ED25519", …; "" if none
    char group[32];  // curve, or ""
    char digest[16]; // "SHA256", or ""
    int bits;        // 0 if a curve says it
};
struct tls_info {
    char protocol[16], cipher[64];
    int bits_used, bits_algorithm;
    char exchange[24];       // "X25519", "ECDHE", "DHE", "RSA-…", or ""
    char exchange_group[32]; // curve, or ""
    int exchange_bits;
    struct tls_signature server, client;
    bool has_certificate; // the peer showed one
    bool is_trusted;      // it leads to a trusted CA (or DANE, or fingerprint)
    bool is_matched;      // it is the one that was asked for
    bool is_resumed;
    char subject[TLS_NAME_MAX + 1],
        issuer[TLS_NAME_MAX + 1]; // the first CN, printable, "" if none; of an issuer without, the organization
    bool has_one_name;            // `subject` is the only CN: it may stand for a user
    char fingerprint[200], key_fingerprint[200]; // "AB:CD:…"; "" if none
    char trouble[160];                           // why it is not trusted or not matched, or ""
    char server_name[TLS_NAME_MAX + 1];          // SNI that was used, or ""
};
const struct tls_info *stream_tls_info(const struct stream *s); // NULL: no TLS
// "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 …" as log lines have it.
void tls_info_add_summary(const struct tls_info *info, struct buf *line);
// The certificates that the peer sent, with their digests, as text for people. Nothing when there is none, or after
// resumption.
void stream_tls_add_chain(const struct stream *s, struct buf *text);
// The library's error lines of a failed handshake or stream, '\n' after each; "" if none. Borrowed from the stream.
struct str stream_tls_problems(const struct stream *s);
// The protocol steps that happened, '\n' after each, if log_level is 2 or more (3: with bytes in hexadecimal); the last
// line tells when there were more than trace_size allows.
struct str stream_tls_trace(const struct stream *s);
// The client's session for a later start, appended as opaque bytes: 1, 0 none (yet: TLS 1.3 tickets come after the
// first read).
int stream_tls_session(struct stream *s, struct buf *session_r);

// ---- Small helpers
bool tls_protocols_are_valid(struct str protocols);
// "cn.example" or ".example" against a certificate's DNS name, which may begin with "*.": one label, or several.
bool tls_name_matches(struct str wanted, struct str presented, bool wildcards_span_labels);
// Clears and forgets the secrets in k.
void tls_ticket_key_clear(struct tls_ticket_key *k);
int tls_random(void *data, size_t size); // 0, -1

#endif
