// SPDX-License-Identifier: ISC
// smtpd_tls.h: what smtpd knows of TLS: the level, the context with its certificates, and how old they are.
#ifndef DROMOS_SMTPD_SMTPD_TLS_H
#define DROMOS_SMTPD_SMTPD_TLS_H

#include "lib/ipc/tls_service.h"

struct smtpd_tls {
    bool is_wanted;    // security level may or encrypt, or wrapper mode
    bool is_required;  // nothing but a few commands without TLS
    bool is_wrapped;   // the first byte is TLS
    bool asks_certificate, requires_certificate;
    int log_level;
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

#endif
