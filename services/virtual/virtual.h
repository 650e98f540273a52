// SPDX-License-Identifier: ISC
// virtual.h: the delivery agent for mailboxes that belong to no account of the system.
#ifndef DROMOS_SERVICES_VIRTUAL_H
#define DROMOS_SERVICES_VIRTUAL_H

#include "lib/agent/mailbox.h"
#include "lib/ipc/service.h"
#include "lib/table/table.h"

struct virtual
{
    const struct settings *settings;
    struct table_list *mailbox_maps, *uid_maps, *gid_maps;
    struct mailbox_writer writer;
};

// Delivers to one recipient and settles it.
void virtual_deliver_recipient(struct virtual *v, struct delivery *d, size_t recipient,
                               const struct mailbox_content *content) CO;

#endif
