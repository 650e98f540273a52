// SPDX-License-Identifier: ISC
// smtp_profile.h: the one table of settings of the delivery agent, filled from the smtp_* or the lmtp_* parameters.
#ifndef DROMOS_SMTP_PROFILE_H
#define DROMOS_SMTP_PROFILE_H

#include "lib/conf/settings.h"

// Members named as the parameters without their prefix. Times are seconds.
#define SMTP_PROFILE_MEMBERS(MEMBER)                                                                                   \
    MEMBER(struct str, tcp_port)                                                                                       \
    MEMBER(struct str, address_verify_target)                                                                          \
    MEMBER(struct str, host_lookup)                                                                                    \
    MEMBER(struct str, dns_support_level)                                                                              \
    MEMBER(struct str, address_preference)                                                                             \
    MEMBER(struct str, bind_address)                                                                                   \
    MEMBER(struct str, bind_address6)                                                                                  \
    MEMBER(struct str, fallback_relay)                                                                                 \
    MEMBER(struct str, connection_cache_destinations)                                                                  \
    MEMBER(struct str, tls_security_level)                                                                             \
    MEMBER(struct str, tls_policy_maps)                                                                                \
    MEMBER(struct str, tls_per_site)                                                                                   \
    MEMBER(struct str, tls_ciphers)                                                                                    \
    MEMBER(struct str, tls_mandatory_ciphers)                                                                          \
    MEMBER(struct str, tls_protocols)                                                                                  \
    MEMBER(struct str, tls_mandatory_protocols)                                                                        \
    MEMBER(struct str, tls_exclude_ciphers)                                                                            \
    MEMBER(struct str, tls_mandatory_exclude_ciphers)                                                                  \
    MEMBER(struct str, tls_servername)                                                                                 \
    MEMBER(struct str, tls_trust_anchor_file)                                                                          \
    MEMBER(struct str, tls_CAfile)                                                                                     \
    MEMBER(struct str, tls_CApath)                                                                                     \
    MEMBER(struct str, tls_verify_cert_match)                                                                          \
    MEMBER(struct str, tls_secure_cert_match)                                                                          \
    MEMBER(struct str, tls_fingerprint_cert_match)                                                                     \
    MEMBER(struct str, tls_fingerprint_digest)                                                                         \
    MEMBER(struct str, tls_loglevel)                                                                                   \
    MEMBER(struct str, tls_loglevel_maps)                                                                              \
    MEMBER(struct str, tls_chain_files)                                                                                \
    MEMBER(struct str, tls_cert_file)                                                                                  \
    MEMBER(struct str, tls_dcert_file)                                                                                 \
    MEMBER(struct str, tls_eccert_file)                                                                                \
    MEMBER(struct str, tls_key_file)                                                                                   \
    MEMBER(struct str, tls_dkey_file)                                                                                  \
    MEMBER(struct str, tls_eckey_file)                                                                                 \
    MEMBER(struct str, tls_session_cache_database)                                                                     \
    MEMBER(struct str, requiretls_policy)                                                                              \
    MEMBER(struct str, sasl_password_maps)                                                                             \
    MEMBER(struct str, sasl_type)                                                                                      \
    MEMBER(struct str, sasl_password_result_delimiter)                                                                 \
    MEMBER(struct str, sasl_mechanism_filter)                                                                          \
    MEMBER(struct str, sasl_security_options)                                                                          \
    MEMBER(struct str, sasl_tls_security_options)                                                                      \
    MEMBER(struct str, sasl_tls_verified_security_options)                                                             \
    MEMBER(struct str, sasl_auth_cache_name)                                                                           \
    MEMBER(bool, sasl_auth_soft_bounce)                                                                                \
    MEMBER(int64_t, sasl_auth_cache_time)                                                                              \
    MEMBER(bool, bind_address_enforce)                                                                                 \
    MEMBER(bool, randomize_addresses)                                                                                  \
    MEMBER(bool, defer_if_no_mx_address_found)                                                                         \
    MEMBER(bool, skip_5xx_greeting)                                                                                    \
    MEMBER(bool, skip_quit_response)                                                                                   \
    MEMBER(bool, send_xforward_command)                                                                                \
    MEMBER(bool, connection_cache_on_demand)                                                                           \
    MEMBER(bool, use_tls)                                                                                              \
    MEMBER(bool, enforce_tls)                                                                                          \
    MEMBER(bool, tls_wrappermode)                                                                                      \
    MEMBER(bool, tls_enable_rpk)                                                                                       \
    MEMBER(bool, tls_enforce_peername)                                                                                 \
    MEMBER(bool, tls_enforce_sts_mx_patterns)                                                                          \
    MEMBER(bool, tls_note_starttls_offer)                                                                              \
    MEMBER(bool, tls_force_insecure_host_tlsa_lookup)                                                                  \
    MEMBER(bool, tls_connection_reuse)                                                                                 \
    MEMBER(bool, tls_block_early_mail_reply)                                                                           \
    MEMBER(bool, log_tls_feature_status)                                                                               \
    MEMBER(bool, sasl_auth_enable)                                                                                     \
    MEMBER(bool, quote_rfc821_envelope)                                                                                \
    MEMBER(int64_t, mx_address_limit)                                                                                  \
    MEMBER(int64_t, mx_session_limit)                                                                                  \
    MEMBER(int64_t, line_length_limit)                                                                                 \
    MEMBER(int64_t, tls_trace_size_limit)                                                                              \
    MEMBER(int64_t, tls_scert_verifydepth)                                                                             \
    MEMBER(int64_t, tls_session_cache_timeout)                                                                         \
    MEMBER(int64_t, starttls_timeout)                                                                                  \
    MEMBER(int64_t, connect_timeout)                                                                                   \
    MEMBER(int64_t, xforward_timeout)                                                                                  \
    MEMBER(int64_t, mail_timeout)                                                                                      \
    MEMBER(int64_t, rcpt_timeout)                                                                                      \
    MEMBER(int64_t, data_init_timeout)                                                                                 \
    MEMBER(int64_t, data_xfer_timeout)                                                                                 \
    MEMBER(int64_t, data_done_timeout)                                                                                 \
    MEMBER(int64_t, rset_timeout)                                                                                      \
    MEMBER(int64_t, quit_timeout)                                                                                      \
    MEMBER(int64_t, connection_cache_time_limit)                                                                       \
    MEMBER(int64_t, connection_reuse_time_limit)                                                                       \
    MEMBER(int64_t, connection_reuse_count_limit)

struct smtp_profile {
    bool is_lmtp;
#define MEMBER(type, name) type name;
    SMTP_PROFILE_MEMBERS(MEMBER)
#undef MEMBER
    // Named differently in the two protocols: helo_* and lhlo_*.
    struct str helo_name;
    int64_t helo_timeout;
    struct str discard_ehlo_keywords;
    // SMTP only.
    bool always_send_ehlo, never_send_ehlo;
    // LMTP only: the server is the final one, unless it says that it relays.
    bool assume_final;
};

void smtp_profile_fill(struct smtp_profile *p, const struct settings *settings, bool is_lmtp);

#endif
