// SPDX-License-Identifier: ISC
// smtpd_tls.h: what smtpd knows of TLS: the level, the context with its certificates, and how old they are.
#ifndef DROMOS_SMTPD_SMTPD_TLS_H
#define DROMOS_SMTPD_SMTPD_TLS_H

#include "lib/ipc/tls_service.h"

struct smtpd_tls {
    bool is_wanted;   // security level may or encrypt, or wrapper mode
    bool is_required; // nothing but a few commands without TLS
    bool is_wrapped;  // the first byte is TLS
    bool asks_certificate, requires_certificate;
    int log_level; // of all but those in:
    struct table_list *log_level_maps;
    struct tls_service *service;
    struct tls_server_context *context; // NULL: it could not be set up
    struct buf groups, ciphers;
    struct tls_chain_files files;
    bool has_files; // certificates are configured, or "none" is
    uint64_t generation;
    int64_t next_check; // clock_ms
    bool is_checking, has_failed;
    struct co_event checked;
};

// How much is logged of a client's TLS: smtpd_tls_loglevel_maps by its name, then its address; else smtpd_tls_loglevel.
int smtpd_tls_log_level(struct smtpd_tls *t, struct str client_name, struct str client_address) CO;

#endif
