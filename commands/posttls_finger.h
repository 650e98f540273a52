// SPDX-License-Identifier: ISC
// posttls_finger.h: the TLS probe: what its files share.
#ifndef DROMOS_COMMANDS_POSTTLS_FINGER_H
#define DROMOS_COMMANDS_POSTTLS_FINGER_H

#include "lib/conf/settings.h"
#include "lib/net/dns.h"
#include "lib/net/tls.h"
#include "lib/tlspolicy/tls_dane.h"
#include "lib/tlspolicy/tls_policy.h"

enum finger_log { // -L
    FINGER_LOG_SUMMARY = 1,
    FINGER_LOG_MATCH = 2,
    FINGER_LOG_PEER = 4,
    FINGER_LOG_CACHE = 8,
    FINGER_LOG_STEPS = 16,
    FINGER_LOG_BYTES = 32,
    FINGER_LOG_UNTRUSTED = 64,
    FINGER_LOG_VERBOSE = 128,
};
struct finger {
    struct arena arena;
    struct conf *conf;
    struct settings settings;
    // The command line.
    int family;
    bool says_nothing;  // -c
    bool prints_chain;  // -C
    bool asks_insecure; // -f
    bool is_wrapper;    // -w
    bool is_lmtp;       // -S
    bool uses_srv;      // -R
    enum tls_level level;
    unsigned log;
    int64_t connect_timeout, command_timeout;
    int64_t reconnects;     // -m
    int64_t reconnect_wait; // -r, 0: none
    struct str digest, grade, protocols, ca_file, ca_path, server_name, insecure_mx, host_lookup;
    struct str anchor_files, chain_files; // separated by newlines
    struct str cert_file, key_file;
    struct str destination;
    struct tls_words match;
    // What became of it.
    struct tls_client_context *context;
    struct tls_keeper keeper;
    struct tls_key *keys[TLS_CHAINS_MAX];
    size_t key_count;
    struct buf groups, anchors;
    int status;
};
// One server to try.
struct finger_host {
    struct str name, place; // "name[address]:port"
    struct net_addr addr;
    bool is_secure;
    struct str canonical;
};

// posttls_finger_options.c: die() on a mistake.
void finger_options(struct finger *f, int argc, char **argv);
// posttls_finger_probe.c: the whole probe, in a coroutine.
void finger_probe(struct finger *f) CO;
// posttls_finger_session.c: a conversation with one server, on a connected stream, which it frees. True: the TLS
// session is one of before.
struct finger_session {
    struct finger *f;
    const struct finger_host *host;
    struct str nexthop;
    bool is_mx_secure;
    enum tls_level level; // with DANE resolved
    struct tls_dane dane;
    struct buf session; // to resume, or empty
    struct str session_name;
    bool is_again;  // -r: a later connection
    bool is_silent; // the conversation is not told now
};
bool finger_converse(struct finger_session *s, struct stream *stream) CO;
// A line of output: "posttls-finger: TEXT".
void finger_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
