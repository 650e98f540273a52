// SPDX-License-Identifier: ISC
// cleanup_probe.c: address verification probes that need no delivery agent: an alias for several addresses is
// deliverable.
//
// Probing each of them would tell contradictory things about the one address that was asked about.
// Suspends: telling the verify service.
#include "cleanup/cleanup.h"
#include "lib/agent/agent.h"
#include "lib/base/log.h"
#include "lib/ipc/verify_client.h"

void cleanup_end_probe(struct cleanup_message *m)
{
    static const struct verify_answer found = {.status = VERIFY_OK, .text = STR("aliased to multiple recipients")};
    struct err err = ERR_INIT;
    struct delivery_recipient asked = {.address = m->recipients[0].original.len > 0 ? m->recipients[0].original
                                                                                    : m->recipients[0].address};
    int64_t now = clock_wall_us();
    struct delivery d = {.settings = m->daemon->settings,
                         .request = {.flags = DELIVERY_PROBE_MTA,
                                     .recipients = &asked,
                                     .recipient_count = 1,
                                     .arrival_us = m->arrival_us,
                                     .active_us = now,
                                     .request_us = now}};
    struct delivery_report report = {.status = DELIVERY_SENT, .dsn = STR("2.0.0"), .text = found.text};
    struct buf line = BUF_INIT;
    (void)!verify_client_update(m->daemon->settings, asked.address, &found,
                                &err); // a failure is logged; the next probe tries again
    delivery_add_status_line(&line, &d, 0, &report);
    log_info(STR_FMT ": %s", STR_ARG(buf_str(&m->id)), buf_cstr(&line));
    log_info(STR_FMT ": removed", STR_ARG(buf_str(&m->id)));
    buf_release(&line);
}
