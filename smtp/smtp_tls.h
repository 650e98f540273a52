// SPDX-License-Identifier: ISC
// smtp_tls.h: TLS to other servers: what a next hop and one of its hosts need, and starting it on a session.
#ifndef DROMOS_SMTP_SMTP_TLS_H
#define DROMOS_SMTP_SMTP_TLS_H

#include "lib/ipc/tls_service.h"
#include "lib/table/table.h"
#include "lib/tlspolicy/mta_sts.h"
#include "lib/tlspolicy/tls_dane.h"
#include "lib/tlspolicy/tls_policy.h"

#define SMTP_TLS_LOG_LEVEL_MAX 4

struct smtp_client;
struct smtp_delivery;
struct smtp_destination;
struct smtp_failure;
struct smtp_host;
struct smtp_hosts;
struct smtp_profile;
struct smtp_session;

// The part of the process. Opened before the jail.
struct smtp_tls {
    enum tls_level level; // of main.cf
    int log_level;
    struct table_list *policy_maps, *per_site, *log_level_maps;
    struct buf trust_anchors;           // smtp_tls_trust_anchor_file
    struct tls_client_context *context; // NULL: no level can ask for TLS, or it could not be made
    struct buf groups;                  // text that the context borrows
    struct tls_service *service;        // NULL without the context
    bool keeps_sessions;                // smtp_tls_session_cache_database
    bool has_told_of_raw_keys;          // that there are none
    uint64_t generation;                // of our certificates
    int64_t next_refresh_ms;
    struct mta_sts_client *sts; // NULL: smtp_mta_sts = no
};
int smtp_tls_open(struct smtp_client *client, struct err *err);
void smtp_tls_close(struct smtp_client *client);
void smtp_tls_tell_of_raw_keys(struct smtp_client *client, const char *parameter); // warns, once a process

// What a next hop asks for.
struct smtp_tls_rule {
    struct tls_policy policy;
    const char *decided_by; // the parameter or standard that set the level
    struct str path;        // of dest, for messages
    enum tls_site site;     // smtp_tls_per_site by next hop
    bool has_entry;         // smtp_tls_policy_maps has the last word
    bool is_waived;         // TLS-Required: no
    struct mta_sts sts;     // mode none without a policy
};
// What one connection must reach.
struct smtp_tls_need {
    enum tls_level level;      // DANE resolved
    enum tls_level configured; // what tls= shows
    const struct smtp_tls_rule *rule;
    struct tls_dane dane;
    struct str nexthop, host;
    const char *decided_by;
    bool is_mx_secure; // nobody but the domain could say that this is its host
};
// NULL, or why nothing may be sent to this next hop.
struct smtp_failure *smtp_tls_rule_find(struct smtp_delivery *sd, const struct smtp_destination *dest,
                                        struct smtp_tls_rule *rule_r) CO;
struct smtp_failure *smtp_tls_need_find(struct smtp_delivery *sd, const struct smtp_hosts *hosts,
                                        const struct smtp_host *host, struct smtp_tls_need *need_r) CO;
// Two deliveries may share a connection when this is the same for both.
void smtp_tls_add_key(const struct smtp_delivery *sd, struct buf *key);
bool smtp_tls_may_reuse(const struct smtp_delivery *sd, const struct smtp_session *s);

// smtp_tls_start.c: the handshake, its log lines, and whether the need is met. NULL: all is well.
struct smtp_failure *smtp_tls_start(struct smtp_delivery *sd, struct smtp_session *s) CO;
void smtp_tls_keep_session(struct smtp_session *s) CO; // for resumption, when the server has had time to send tickets

// "may", "may:none", "!secure:nocertmatch" …: the tls= field. Pure; in the arena.
struct str smtp_tls_status(enum tls_level configured, const char *final, bool is_violated, struct arena *arena);

#endif
