// SPDX-License-Identifier: ISC
// drain.h: the mark that `postfix drain` leaves for master: a file in process_id_directory, until `postfix start`
// removes it.
//
// While it exists master closes the services that accept mail, and with a next hop in it ("[host]:port", "domain") the
// queue manager sends all mail there. Trust: only root, or the owner of a rootless queue, can write it.
#ifndef DROMOS_CONF_DRAIN_H
#define DROMOS_CONF_DRAIN_H

#include "lib/conf/settings.h"

#define DRAIN_NEXTHOP_MAX 255

struct str drain_mark_path(const struct settings *settings, struct arena *arena);
bool drain_nexthop_is_valid(struct str nexthop); // one printable word
// 1 there (*nexthop_r may be ""), 0 not, -1 unreadable or malformed.
int drain_mark_read(const struct settings *settings, struct arena *arena, struct str *nexthop_r, struct err *err);

#endif
