// SPDX-License-Identifier: ISC
// route_probe.c: address verification probes: their sender, and the address_verify_* parameters that route them.
#include "lib/route/route_impl.h"

// The alphabet of numbers in sender addresses: no vowels, so that they spell nothing.
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
enum { BASE = sizeof digits - 1, DIGITS_MAX = 16, EPOCHS_VALID = 1 };

static void add_epoch(struct buf *b, int64_t epoch)
{
    char text[DIGITS_MAX];
    size_t at = sizeof text;

    do
        text[--at] = digits[epoch % BASE];
    while ((epoch /= BASE) > 0 && at > 0);
    buf_add(b, text + at, sizeof text - at);
}

struct str route_probe_sender(const struct settings *settings, int64_t wall, struct arena *arena)
{
    struct str sender = str_trim(settings->address_verify_sender), local = address_local(sender), whole;
    struct buf b = BUF_INIT;

    if (sender.len == 0 || str_is(sender, STR("<>")))
        return STR("");
    if (settings->address_verify_sender_ttl <= 0)
        return sender;
    buf_add_str(&b, local);
    add_epoch(&b, wall / settings->address_verify_sender_ttl);
    buf_add_str(&b, str_slice(sender, local.len, sender.len));
    whole = arena_str(arena, buf_str(&b));
    buf_release(&b);
    return whole;
}

bool route_is_probe_sender(const struct settings *settings, struct str local)
{
    struct str base = address_local(str_trim(settings->address_verify_sender));
    int64_t ttl = settings->address_verify_sender_ttl, now = clock_wall();
    bool is_one = false;

    if (base.len == 0 || ttl <= 0 || !str_starts_nocase(local, base))
        return false;
    for (int64_t epoch = now / ttl - EPOCHS_VALID; epoch <= now / ttl && !is_one; epoch++) {
        struct buf b = BUF_INIT;
        buf_add_str(&b, base);
        add_epoch(&b, epoch > 0 ? epoch : 0);
        is_one = str_is_nocase(local, buf_str(&b));
        buf_release(&b);
    }
    return is_one;
}

int route_open_for_probes(const struct settings *settings, struct route *normal, struct route **probes_r,
                          struct err *err)
{
    struct settings *copy = MEM_NEW(struct settings);
    const struct {
        struct str *to, from;
    } changes[] = {
        {&copy->local_transport, settings->address_verify_local_transport},
        {&copy->virtual_transport, settings->address_verify_virtual_transport},
        {&copy->relay_transport, settings->address_verify_relay_transport},
        {&copy->default_transport, settings->address_verify_default_transport},
        {&copy->relayhost, settings->address_verify_relayhost},
        {&copy->transport_maps, settings->address_verify_transport_maps},
        {&copy->sender_dependent_relayhost_maps, settings->address_verify_sender_dependent_relayhost_maps},
        {&copy->sender_dependent_default_transport_maps,
         settings->address_verify_sender_dependent_default_transport_maps},
    };
    bool differs = false;

    *copy = *settings;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        differs |= !str_is(*changes[i].to, changes[i].from);
        *changes[i].to = changes[i].from;
    }
    *probes_r = differs ? route_open(copy, err) : normal;
    if (*probes_r != NULL && differs)
        (*probes_r)->own_settings = copy;
    else
        mem_free(copy);
    return *probes_r != NULL ? 0 : -1;
}
