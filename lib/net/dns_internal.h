// SPDX-License-Identifier: ISC
// dns_internal.h: what the files of the resolver share: answers taken apart, names checked, the hosts file.
#ifndef DROMOS_NET_DNS_INTERNAL_H
#define DROMOS_NET_DNS_INTERNAL_H

#include "lib/base/map.h"
#include "lib/net/dns.h"

// A name that may be asked for and believed: labels of 1 to 63 letters, digits, '-' and '_', at most 253 bytes.
bool dns_name_is_valid(struct str name);

// One answer taken apart, pure: the records of `type` that belong to the answer, in order. Hostile input.
void dns_answer_parse(struct raw message, int type, struct arena *arena, struct dns_answer *answer_r);

// dns.c: asks for one type and waits. DNS_INVALID when the name cannot be asked for.
void dns_ask(struct str name, int type, struct arena *arena, int64_t deadline, struct dns_answer *answer_r) CO;

// /etc/hosts in memory.
struct dns_hosts {
    struct map names; // lower-case name -> struct dns_hosts_entry
};
struct dns_hosts_entry {
    struct net_addr *addrs;
    size_t count;
    bool is_canonical; // the first name of a line
    size_t rank;       // in the order of the file
};
void dns_hosts_parse(struct dns_hosts *h, struct str text); // malformed lines are skipped
void dns_hosts_read(struct dns_hosts *h, const char *path); // an absent file holds nothing
void dns_hosts_release(struct dns_hosts *h);
const struct dns_hosts_entry *dns_hosts_find(const struct dns_hosts *h, struct str name); // NULL: none

#endif
