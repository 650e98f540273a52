// SPDX-License-Identifier: ISC
// verify_cache.c: entries of the cache: their text, and how long they are good for.
// Trust: the table may hold anything.
#include "services/verify/verify_cache.h"

// The number before the next colon.
static bool take_number(struct str *rest, int64_t *number_r)
{
    struct str text;
    return str_cut(rest, ':', &text) && str_to_i64(text, number_r) == 0 && *number_r >= 0;
}

bool verify_entry_parse(struct str value, struct verify_entry *entry_r)
{
    struct str rest = value;
    int64_t status;

    if (!take_number(&rest, &status) || status > VERIFY_PENDING || !take_number(&rest, &entry_r->probed) ||
        !take_number(&rest, &entry_r->updated))
        return false;
    entry_r->status = (enum verify_status)status;
    entry_r->text = str_slice(rest, 0, VERIFY_TEXT_MAX);
    return true;
}

void verify_entry_add(struct buf *b, const struct verify_entry *entry)
{
    buf_addf(b, "%d:%lld:%lld:", (int)entry->status, (long long)entry->probed, (long long)entry->updated);
    buf_add_printable(b, str_slice(entry->text, 0, VERIFY_TEXT_MAX), 0);
}

// A failure that shall not be cached answers the questions of the session that waits for it.
static int64_t uncached_seconds(const struct settings *settings)
{
    return (settings->address_verify_poll_count + 1) * settings->address_verify_poll_delay;
}

static bool is_probed(const struct verify_entry *entry, int64_t now)
{
    return entry->probed > 0 && now - entry->probed < VERIFY_PROBE_SECONDS;
}

bool verify_entry_is_usable(const struct verify_entry *entry, const struct settings *settings, int64_t now)
{
    int64_t age = now - entry->updated;

    if (entry->status == VERIFY_PENDING)
        return is_probed(entry, now);
    if (entry->status == VERIFY_OK)
        return age < settings->address_verify_positive_expire_time;
    if (!settings->address_verify_negative_cache)
        return age < uncached_seconds(settings);
    return age < settings->address_verify_negative_expire_time;
}

bool verify_entry_wants_probe(const struct verify_entry *entry, const struct settings *settings, int64_t now)
{
    int64_t refresh = entry->status == VERIFY_OK ? settings->address_verify_positive_refresh_time
                                                 : settings->address_verify_negative_refresh_time;

    if (!verify_entry_is_usable(entry, settings, now))
        return true;
    return entry->status != VERIFY_PENDING && !is_probed(entry, now) && now - entry->updated >= refresh;
}

bool verify_entry_yields_to(const struct verify_entry *entry, enum verify_status found, const struct settings *settings,
                            int64_t now)
{
    return found == VERIFY_OK || entry->status != VERIFY_OK || !verify_entry_is_usable(entry, settings, now);
}
