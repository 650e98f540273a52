// SPDX-License-Identifier: ISC
// delivery_fields.h: the fields that delivery requests and arrival notices have in common (inside lib/ipc only).
#ifndef DROMOS_IPC_DELIVERY_FIELDS_H
#define DROMOS_IPC_DELIVERY_FIELDS_H

#include "lib/ipc/delivery.h"

#define DELIVERY_FIELD_MAX 4096 // of any text

// Adds all fields of r to the frame being built.
void delivery_fields_add(struct ipc_msg *m, const struct delivery_request *r);
// Reads them, copying into arena. Unknown fields are left alone. -1: a value is malformed.
int delivery_fields_read(const struct ipc_view *v, struct arena *arena, struct delivery_request *r_r, struct err *err);
// No control characters, at most DELIVERY_FIELD_MAX bytes.
bool delivery_text_is_clean(struct str text);
bool delivery_id_is_clean(struct str id); // letters, digits and _, 1..255

#endif
