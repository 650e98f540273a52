// SPDX-License-Identifier: ISC
// agent_report.h: parts of the delivery status line (inside lib/agent, and for tests).
#ifndef DROMOS_AGENT_AGENT_REPORT_H
#define DROMOS_AGENT_AGENT_REPORT_H

#include "lib/agent/agent.h"

// "0", "0.01", "0.12", "1.2", "64": two significant digits, at most `resolution_limit` of them after the point.
void delivery_add_delay(struct buf *b, int64_t us, unsigned resolution_limit);
// The four parts of delays=: before the queue manager, in it, connection set-up, transmission (microseconds).
void delivery_delays(const struct delivery_request *r, const struct delivery_report *report, int64_t now_us,
                     int64_t delays_r[4]);

#endif
