// SPDX-License-Identifier: ISC
// access_client.h: the names of a client, from its address.
#ifndef DROMOS_ACCESS_ACCESS_CLIENT_H
#define DROMOS_ACCESS_ACCESS_CLIENT_H

#include "lib/access/access.h"

struct access_client {
    struct str name, reverse; // verified and unverified, "unknown" when there is none
    enum access_name_status name_status, reverse_status;
};
// Asks for the name of the address, and whether that name leads back (logged when it does not). Results live in
// `arena`.
void access_client_look_up(const struct net_addr *addr, struct arena *arena, struct access_client *client_r) CO;

#endif
