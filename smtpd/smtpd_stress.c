// SPDX-License-Identifier: ISC
// smtpd_stress.c: when every place is taken, clients that say nothing lose theirs as soon as the shorter smtpd_timeout
// of such times is over, whatever they were promised when they began to be silent.
#include "smtpd/smtpd.h"

#define TICK_MS 1000

static void drop_silent(void *arg)
{
    struct smtpd *d = arg;
    int64_t longest = d->service->settings->smtpd_timeout * 1000, now = clock_ms();
    LIST_EACH(item, &d->sessions)
    {
        struct smtpd_session *s = container_of(item, struct smtpd_session, link);
        if (s->silent_since == 0 || now - s->silent_since < longest || s->is_overdue)
            continue;
        s->is_overdue = true; // its wait sees the end of input
        shutdown(stream_fd(s->stream), SHUT_RD);
    }
    co_timer_set(d->stress_timer, d->is_stressed ? now + TICK_MS : CLOCK_NEVER);
}

void smtpd_stress(struct service_context *ctx, bool is_stressed)
{
    struct smtpd *d = ctx->state;
    d->is_stressed = is_stressed;
    if (d->stress_timer == NULL)
        d->stress_timer = co_timer_new(drop_silent, d);
    co_timer_set(d->stress_timer, is_stressed ? clock_ms() : CLOCK_NEVER);
}
