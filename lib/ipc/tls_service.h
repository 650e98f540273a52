// SPDX-License-Identifier: ISC
// tls_service.h: what daemons that speak TLS ask of tlsmgr: chains of certificates, signatures, ticket keys, remembered
// sessions.
//
// Requests (see ipc.h) and their answers; "failed" {reason} answers any of them:
//   chains {files, known}             chains {generation, chain (PEM, repeated)} | same
//   name {maps, name}                 chains … | absent
//   sign {key, algorithm, digest, input}   signature {signature}
//   tickets                           tickets {seconds, name, aes, hmac (repeated; the first makes new tickets)} |
//   absent put {cache, id, session, seconds}  done       get {cache, id}   session {session} | absent      drop {cache,
//   id}  done
// tlsmgr serves only files and maps that main.cf or master.cf name. Private keys never travel.
// Suspends: everything but opening, bounded by ASK_SECONDS. Limits: KEPT_MAX idle connections, NAMES_MAX cached server
// names.
#ifndef DROMOS_IPC_TLS_SERVICE_H
#define DROMOS_IPC_TLS_SERVICE_H

#include "lib/conf/settings.h"
#include "lib/net/tls.h"

// Values of …_tls_chain_files, …_tls_cert_file and so on of one side.
struct tls_chain_files {
    struct str chain_files;
    struct str cert, key, dcert, dkey, eccert, eckey;
};
#define TLS_CHAIN_FILES(settings, prefix)                                                                              \
    ((struct tls_chain_files){(settings)->prefix##_chain_files, (settings)->prefix##_cert_file,                        \
                              (settings)->prefix##_key_file, (settings)->prefix##_dcert_file,                          \
                              (settings)->prefix##_dkey_file, (settings)->prefix##_eccert_file,                        \
                              (settings)->prefix##_eckey_file})
// One line of text that names the files: "chain FILE …", or "pairs CERT KEY …"; nothing when none is configured.
void tls_chain_files_add_text(const struct tls_chain_files *files, struct buf *text);

struct tls_service;
// `cache` is "smtpd", "smtp" or "lmtp": whose sessions are remembered. Opens nothing yet. The settings must live as
// long.
struct tls_service *tls_service_new(const struct settings *s, const char *cache);
void tls_service_free(struct tls_service *t); // NULL is fine
// For struct tls_options; lives as long as the service. SNI is served if tls_server_sni_maps is set and `cache` is
// "smtpd".
const struct tls_keeper *tls_service_keeper(struct tls_service *t);
// At what level the next handshake is traced (stream_tls_trace): as it says, or without steps and bytes when
// tls_trace_rate_limit others have been traced within the second.
int tls_service_trace_level(struct tls_service *t, int level);
#define TLS_NO_RAW_KEYS                                                                                                \
    "raw public keys (RFC 7250) are not supported here: certificates are used" // logged for *_tls_enable_rpk = yes
#define TLS_NO_TRACE "no TLS trace: too many within a second (tls_trace_rate_limit)" // what is logged then
// The chains in use, unless they are those of *generation: 1 (the caller frees each), 0 no change, -1. None configured:
// 1 and no chain.
int tls_service_chains(struct tls_service *t, const struct tls_chain_files *files, uint64_t *generation,
                       struct tls_chain **chains_r, size_t *count_r, struct err *err) CO MUST_CHECK;
// A client's sessions, by a key that says all that must be equal (server, name, policy): opaque bytes of
// stream_tls_session.
int tls_service_session_get(struct tls_service *t, struct str key, struct buf *session_r) CO; // 1, 0
void tls_service_session_put(struct tls_service *t, struct str key, struct str session) CO;
void tls_service_session_drop(struct tls_service *t, struct str key) CO;

// ---- Options from settings
// The parameters that both sides share: tls_ssl_options, tls_eecdh_auto_curves …. Strings borrow from `s` and *groups
// (the caller's, to live as long as the context).
void tls_options_from_settings(const struct settings *s, struct buf *groups, struct tls_options *o_r);
// The cipher list of a grade ("medium", "high", "null", "low", "export") without the excluded ones. -1: no such grade.
struct tls_ciphers {
    struct str grade;
    struct str excluded[3]; // lists as in …_tls_exclude_ciphers
};
int tls_cipher_list(const struct settings *s, const struct tls_ciphers *c, struct buf *list);

#endif
