// SPDX-License-Identifier: ISC
// smtpd_attribute.h: the NAME=VALUE arguments of XCLIENT and XFORWARD. Pure: no I/O.
#ifndef DROMOS_SMTPD_SMTPD_ATTRIBUTE_H
#define DROMOS_SMTPD_SMTPD_ATTRIBUTE_H

#include "lib/base/mem.h"
#include "lib/net/addr.h"

#define SMTPD_ATTRIBUTE_MAX 255 // bytes of a value

enum smtpd_attribute_status {
    SMTPD_ATTRIBUTE_OK,
    SMTPD_ATTRIBUTE_NO_VALUE, // no "=", or nothing after it
    SMTPD_ATTRIBUTE_TOO_LONG,
    SMTPD_ATTRIBUTE_NOT_XTEXT,
};
struct smtpd_attribute {
    struct str name;                   // as sent
    struct str value;                  // decoded, in the arena; with control characters replaced
    struct str sent;                   // the value as sent
    bool is_unavailable, is_try_again; // [UNAVAILABLE], [TEMPUNAVAIL]
};
// `word` is one argument.
enum smtpd_attribute_status smtpd_attribute_parse(struct str word, struct arena *arena, struct smtpd_attribute *a_r);

// What values may be.
bool smtpd_attribute_is_host(const struct smtpd_attribute *a); // a host name
int smtpd_attribute_address(const struct smtpd_attribute *a,
                            struct net_addr *addr_r);                        // "1.2.3.4" or "IPV6:::1"; 0 or -1
int smtpd_attribute_port(const struct smtpd_attribute *a, uint16_t *port_r); // 0 or -1

#endif
