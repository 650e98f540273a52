// SPDX-License-Identifier: ISC
// agent_report.c: the delivery status line of the log, and its delays.
#include "lib/agent/agent_report.h"

#include "lib/base/clock.h"
#include "lib/mail/address.h"

enum { SIGNIFICANT_DIGITS = 2, MICROSECOND_DIGITS = 6 };
#define SECOND_US 1000000

// How many digits after the point show two significant ones.
static unsigned fraction_digits(int64_t us)
{
    if (us >= 10 * (int64_t)SECOND_US)
        return 0;
    if (us >= SECOND_US)
        return SIGNIFICANT_DIGITS - 1;
    unsigned digits = SIGNIFICANT_DIGITS;
    for (int64_t place = SECOND_US / 10; place > us && digits < MICROSECOND_DIGITS; place /= 10)
        digits++;
    return digits;
}

void delivery_add_delay(struct buf *b, int64_t us, unsigned resolution_limit)
{
    if (us < 0)
        us = 0;
    unsigned digits = fraction_digits(us);
    if (digits > resolution_limit)
        digits = resolution_limit;
    int64_t unit = SECOND_US; // of the last digit shown
    for (unsigned i = 0; i < digits; i++)
        unit /= 10;
    int64_t shown = (us + unit / 2) / unit;
    while (digits > 0 && shown % 10 == 0) { // trailing zeros say nothing
        shown /= 10;
        digits--;
    }
    int64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    buf_addf(b, "%lld", (long long)(shown / scale));
    if (digits > 0)
        buf_addf(b, ".%0*lld", (int)digits, (long long)(shown % scale));
}

void delivery_delays(const struct delivery_request *r, const struct delivery_report *report, int64_t now_us,
                     int64_t delays_r[4])
{
    int64_t handed_over = report->connected_us ? report->connected_us : r->request_us;
    delays_r[0] = r->active_us - r->arrival_us;
    delays_r[1] = handed_over - r->active_us;
    delays_r[2] = 0;
    delays_r[3] = 0;
    if (report->start_us) {
        delays_r[2] = report->start_us - handed_over;
        delays_r[3] = now_us - report->start_us;
    } else if (report->connected_us) { // the connection was tried, and that was all
        delays_r[2] = now_us - handed_over;
    } else { // no connection is needed
        delays_r[3] = now_us - handed_over;
    }
}

static void add_delays(struct buf *b, const struct delivery *d, const struct delivery_report *report)
{
    int64_t now = clock_wall_us(), delays[4];
    unsigned limit = (unsigned)d->settings->delay_logging_resolution_limit;
    delivery_delays(&d->request, report, now, delays);
    buf_add_cstr(b, ", delay=");
    delivery_add_delay(b, now - d->request.arrival_us, limit);
    buf_add_cstr(b, ", delays=");
    for (int i = 0; i < 4; i++) {
        if (i)
            buf_add_char(b, '/');
        delivery_add_delay(b, delays[i], limit);
    }
}

static const char *status_word(const struct delivery *d, const struct delivery_report *report)
{
    if (d->request.flags & (DELIVERY_PROBE_MTA | DELIVERY_PROBE_USER))
        return report->status == DELIVERY_SENT ? "deliverable" : "undeliverable";
    if (report->status == DELIVERY_BOUNCED)
        return d->settings->soft_bounce ? "SOFTBOUNCE" : "bounced";
    return report->status == DELIVERY_SENT ? "sent" : "deferred";
}

void delivery_add_status_line(struct buf *b, const struct delivery *d, size_t recipient,
                              const struct delivery_report *report)
{
    const struct delivery_recipient *rcpt = &d->request.recipients[recipient];
    buf_add_cstr(b, "to=<");
    address_add_log(b, rcpt->address);
    buf_add_char(b, '>');
    if (rcpt->original.len && !str_is_nocase(rcpt->original, rcpt->address)) {
        buf_add_cstr(b, ", orig_to=<");
        address_add_log(b, rcpt->original);
        buf_add_char(b, '>');
    }
    buf_add_cstr(b, ", relay=");
    buf_add_printable(b, report->relay.len ? report->relay : STR("none"), 0);
    if (report->connection_uses > 1)
        buf_addf(b, ", conn_use=%u", report->connection_uses);
    add_delays(b, d, report);
    if (report->tls.len > 0) {
        buf_add_cstr(b, ", tls=");
        buf_add_printable(b, report->tls, 0);
    }
    buf_add_cstr(b, ", dsn=");
    buf_add_printable(b, report->dsn, 0);
    buf_addf(b, ", status=%s (", status_word(d, report));
    buf_add_printable(b, report->text, DELIVERY_TEXT_MAX);
    buf_add_char(b, ')');
}
