// SPDX-License-Identifier: ISC
// tlsmgr_tickets.c: keys that seal session tickets: a new one each period, the last two kept for tickets that are out.
#include "services/tlsmgr/tlsmgr.h"

static void rotate(struct tlsmgr_tickets *t)
{
    struct tls_ticket_key key;
    if (tls_random(&key, sizeof key) < 0)
        return; // the old one serves on
    memmove(&t->keys[1], &t->keys[0], sizeof t->keys - sizeof t->keys[0]);
    t->keys[0] = key;
    tls_ticket_key_clear(&key);
    t->rotated = clock_ms();
    if (t->count < sizeof t->keys / sizeof t->keys[0])
        t->count++;
}

void tlsmgr_tickets_add(struct tlsmgr_tickets *t, struct ipc_msg *answer)
{
    if (t->count == 0 || clock_ms() - t->rotated >= t->period_ms)
        rotate(t);
    int64_t left = t->rotated + t->period_ms - clock_ms();
    ipc_add_int(answer, "seconds", left < 1000 ? 1 : left / 1000);
    for (size_t i = 0; i < t->count; i++) {
        ipc_add_str(answer, "name", str_of((const char *)t->keys[i].name, sizeof t->keys[i].name));
        ipc_add_str(answer, "aes", str_of((const char *)t->keys[i].aes, sizeof t->keys[i].aes));
        ipc_add_str(answer, "hmac", str_of((const char *)t->keys[i].hmac, sizeof t->keys[i].hmac));
    }
}

void tlsmgr_tickets_clear(struct tlsmgr_tickets *t)
{
    for (size_t i = 0; i < sizeof t->keys / sizeof t->keys[0]; i++)
        tls_ticket_key_clear(&t->keys[i]);
    t->count = 0;
}
